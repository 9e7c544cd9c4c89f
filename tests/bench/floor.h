/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The floor of the engine's benchmarks: a VM made, loaded, run and restored by
 * the bare system calls that nobody can do without, with nothing around them.
 */
#ifndef TESTS_BENCH_FLOOR_H
#define TESTS_BENCH_FLOOR_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/state.h"
#include "kvm/device.h"
#include "snapshot/snapshot.h"

struct floor_vm {
	int vm, vcpu;
	struct kvm_run *run;
	void *ring;
	size_t run_bytes, ring_bytes;
	uint8_t *memory;
	uint64_t ram_bytes;
};

/* What floor VMs are made like: a completed micro-guest snapshot. */
struct floor_recipe {
	const struct kvm_device *device;
	const struct cpu_state *state;
	struct cpu_cpuid cpuid; /* as a vCPU gets it */
	int ram_fd;
	uint64_t ram_bytes;
	uint32_t ring_entries; /* 0: no ring, no logging */
};

void floor_recipe_init(struct floor_recipe *recipe,
    const struct lf_snapshot *snapshot, uint32_t ring_entries);

/* VM, capabilities, vCPU with its mappings, CPUID. */
void floor_shell(const struct floor_recipe *recipe, struct floor_vm *vm);
/* One mapping, one memslot. */
void floor_memory(const struct floor_recipe *recipe, struct floor_vm *vm);
/* One ioctl per group of state; all = false: registers in the run page. */
void floor_load(
    const struct floor_recipe *recipe, struct floor_vm *vm, bool all);
/* KVM_RUN until the guest's port access; it is not completed. */
void floor_run(struct floor_vm *vm);
void floor_free(struct floor_vm *vm);

#endif
