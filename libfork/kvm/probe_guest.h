/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest of a few instructions in 64-bit mode, for measuring what KVM does:
 * 64 KiB of memory at address 0, the first 2 MiB mapped one to one, so that
 * addresses from 64 KiB on have no memory behind them.
 */
#ifndef KVM_PROBE_GUEST_H
#define KVM_PROBE_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "cpu/state.h"

struct kvm_device;
struct vcpu;
struct vm;

#define PROBE_GUEST_CODE  0x4000 /* where code is put */
#define PROBE_GUEST_DATA  0x8000
#define PROBE_GUEST_STACK 0xf000
#define PROBE_GUEST_HOLE  0x20000 /* no memory */

struct probe_guest {
	struct vm *vm;
	struct vcpu *vcpu; /* the one that is used now */
	uint8_t *ram;
};

/* Makes a VM with so many vCPUs and VM_CAP_x; the first one is chosen. */
int probe_guest_init(struct probe_guest *guest, const struct kvm_device *device,
    unsigned vcpus, uint32_t caps, struct lf_error *error);
void probe_guest_done(struct probe_guest *guest);

/*
 * Puts code at PROBE_GUEST_CODE and the vCPU there, at privilege level 0, or 3
 * with access to all ports. `regs` (may be NULL) gives the other registers.
 */
int probe_guest_load(struct probe_guest *guest, const uint8_t *code, size_t len,
    unsigned cpl, const struct cpu_regs *regs, struct lf_error *error);

#endif
