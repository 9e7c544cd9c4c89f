/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of kvm/ share: the insides of VMs and vCPUs, and ioctls.
 * Included by kvm/ only, because it brings in <linux/kvm.h>.
 */
#ifndef KVM_INTERNAL_H
#define KVM_INTERNAL_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/chips.h"
#include "cpu/state.h"
#include "kvm/device.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

struct walk;

/* A device access that a vCPU stands in. */
struct access {
	bool pending;
	bool answered;
	bool msr;
	bool mmio;
	bool write;
	uint8_t size;
	uint32_t count;
	uint64_t address; /* port, gpa or MSR */
	uint8_t *data;    /* in the vCPU's run page; NULL for an MSR */
};

/* MSRs that KVM must not get now, with the values that the guest has. */
#define VCPU_HELD_MAX 32

struct vcpu {
	struct vm *vm;
	const struct kvm_device *device;
	int fd;
	unsigned index;
	uint32_t apic_id;
	struct kvm_run *run;

	/* run->s.regs.regs are the vCPU's registers. */
	bool regs_valid;
	uint64_t iopl;  /* RFLAGS.IOPL as set last */
	bool all_ports; /* KVM gets IOPL 3 instead (vcpu_allow_ports()) */
	/* Halted with nothing that could wake it: not given to KVM. */
	bool parked;
	struct access access;
	/* Registers before the instruction whose MMIO read came first. */
	struct cpu_regs before;
	bool before_valid;

	enum vcpu_interrupts interrupts;
	bool pv_clock;
	struct vcpu_debug debug;
	uint32_t debug_control; /* what KVM was told last */

	/* What the policy keeps from KVM (vcpu_state.c). */
	struct cpu_msr held[VCPU_HELD_MAX];
	unsigned held_count;
	uint32_t held_lvt_timer, held_timer_initial, held_timer_current;
	bool timer_held;
	bool held_timer_pending; /* it had expired: its vector waits */
	uint64_t tsc_offset;     /* set last */
	uint32_t tsc_khz;
	bool tsc_scaled; /* the guest's TSC runs at another rate than ours */

	struct kvm_dirty_gfn *ring;
	uint32_t ring_entries;
	uint32_t ring_collected; /* free-running counts of entries */
	uint32_t ring_given;

	/* Stopping (vcpu.c) and looking for halts (watch.c). */
	atomic_bool stop;
	atomic_int runner;    /* thread inside vcpu_run(); 0: none */
	atomic_uint runs_seq; /* odd while in KVM_RUN and watched */
	unsigned watched_seq; /* the watcher's own */
	struct vcpu *watch_next, *watch_prev;
	bool watched;

	struct vcpu_counters counters;
};

struct vm {
	const struct kvm_device *device;
	int fd;
	enum vm_irqchip irqchip;
	uint32_t caps;
	uint64_t ioctls; /* of the VM itself */
	/* When, by the host's clock, the guest's was set: between the two. */
	struct {
		uint64_t from, to;
	} clock_set;
	/* Vectors that the PIT that was set raises by itself. */
	uint8_t pit_vectors[CPU_PIT_VECTORS];
	unsigned pit_vector_count;
	uint32_t ring_marked; /* entries given back that KVM was not told of */
	struct vm_memslot *slots;
	unsigned slot_count, slot_room;
	unsigned vcpu_count;
	struct vcpu *vcpu[];
};

/* ioctl that is repeated when a signal comes: 0 or more, or negative errno. */
int kvm_ioctl(int fd, unsigned long request, void *arg);
int vm_ioctl(struct vm *vm, unsigned long request, void *arg);
int vcpu_ioctl(struct vcpu *vcpu, unsigned long request, void *arg);

/* As vcpu_ioctl; a failure is reported as "vCPU N: cannot WHAT". */
int vcpu_try(struct vcpu *vcpu, unsigned long request, void *arg,
    const char *what, struct lf_error *error);

/* enter.c: one KVM_RUN; 0 or negative errno. */
int vcpu_enter(struct vcpu *vcpu);
/* One KVM_RUN that only ends the access: does not enter the guest. */
int vcpu_run_immediate(struct vcpu *vcpu);
/* Whether KVM_RUN returns at once. */
void vcpu_set_immediate(struct vcpu *vcpu, bool immediate);

/* page_regs.c: true when registers wait in the run page. */
static inline bool
vcpu_staged(const struct vcpu *vcpu)
{
	return vcpu->run->kvm_dirty_regs != 0;
}

/* Lays registers, system registers and events into the run page. */
void vcpu_stage(struct vcpu *vcpu, const struct cpu_state *state);
/* Gives KVM the registers that wait in the run page. */
int vcpu_flush(struct vcpu *vcpu, struct lf_error *error);
/* As vcpu_get_regs, but also inside an access, as KVM shows them. */
int vcpu_peek_regs(
    struct vcpu *vcpu, struct cpu_regs *regs, struct lf_error *error);
int vcpu_peek_sregs(
    struct vcpu *vcpu, struct cpu_sregs *sregs, struct lf_error *error);
/* KVM_SET_REGS, with the IOPL that the vCPU runs with. */
int vcpu_put_regs(
    struct vcpu *vcpu, const struct cpu_regs *regs, struct lf_error *error);
int vcpu_put_sregs(
    struct vcpu *vcpu, const struct cpu_sregs *sregs, struct lf_error *error);
/* Which VALID flags this KVM takes with these events. */
uint32_t vcpu_events_flags(
    const struct vcpu *vcpu, const struct cpu_events *events);
/* Reads linear memory; returns the bytes read before the first hole. */
size_t vcpu_read_gva(struct vcpu *vcpu, const struct cpu_sregs *sregs,
    uint64_t gva, void *buf, size_t len);
int vcpu_walk(struct vcpu *vcpu, const struct cpu_sregs *sregs, uint64_t gva,
    struct walk *ret, struct lf_error *error);

/*
 * access.c: forgets the access, because `groups` of a state with `regs` are
 * loaded next.
 */
int vcpu_forget(struct vcpu *vcpu, uint32_t groups, const struct cpu_regs *regs,
    struct lf_error *error);

/* exit.c: turns the run page's exit into `exit`. False: nothing to tell. */
bool exit_decode(struct vcpu *vcpu, struct lf_exit *exit);

/* guest_debug.c: tells KVM what is wanted now, if it was told otherwise. */
int guest_debug_apply(struct vcpu *vcpu, bool again, struct lf_error *error);

/* vcpu.c */
int vcpu_new(struct vm *vm, unsigned index, uint32_t apic_id,
    const struct vm_recipe *recipe, struct lf_error *error);
void vcpu_free(struct vcpu *vcpu);

/* measure.c: find out about device->msr_filter and device->tsc_offset. */
int measure_msr_filter(struct kvm_device *device, struct lf_error *error);
int measure_tsc(struct kvm_device *device, struct lf_error *error);

/* manners.c */
int manners_measure(struct kvm_device *device, struct lf_error *error);

#endif
