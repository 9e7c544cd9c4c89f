/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One vCPU's state between QEMU's stream and the table of cpu/state.h, the
 * way QEMU itself moves it into and out of KVM (target/i386/kvm/kvm.c,
 * hw/i386/kvm/apic.c).
 *
 * What QEMU's stream cannot say is not lost silently: the functions list it
 * where it happens. Known: the code of an exception that is about to be
 * delivered is not in the stream, so a fault is left out and raised again by
 * its instruction; the interrupt shadow of STI and MOV SS is not in the stream
 * of a QEMU with KVM.
 */
#ifndef QEMU_CPU_TRANSLATE_H
#define QEMU_CPU_TRANSLATE_H

#include <stdbool.h>

#include <libfork/error.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "qemu/apic_section.h"
#include "qemu/cpu_section.h"

/* The sections of one vCPU. */
struct qemu_vcpu {
	struct qemu_cpu cpu;
	struct qemu_apic apic;
	struct qemu_cpu_common common;
	/*
	 * The stream is a TCG's: FPU registers are numbered physically, a
	 * halt and the interrupt shadow are not where KVM's QEMU has them.
	 */
	bool tcg;
	/*
	 * The guest's physical address bits (CPUID leaf 0x80000008), to be set
	 * by who knows them; 0: unknown. Above them the stream has masks of
	 * MTRRs filled with ones, and KVM wants zeros.
	 */
	uint8_t phys_bits;
	/*
	 * QEMU's clock (timer_section.h) at the instant that is written, to be
	 * set by who writes: a timer that the fork set anew begins then.
	 */
	int64_t clock;
};

/*
 * Reads the sections of vCPU `index` (QEMU numbers their instances from 0).
 * -ENOENT when there are none.
 */
int qemu_vcpu_load(const struct stream *stream, unsigned index, bool tcg,
    struct qemu_vcpu *ret_vcpu, struct lf_error *error);

/*
 * Fills `state`, which holds a fresh vCPU's state of this host with the
 * guest's CPUID: MSRs that the stream does not carry keep their value there.
 * `cpuid` gives the layout of the XSAVE image (leaf 0xd). -ENOTSUP names state
 * that cannot run without its QEMU (a nested guest, an image too small for a
 * component in use).
 */
int qemu_vcpu_to_state(const struct qemu_vcpu *vcpu,
    const struct cpu_cpuid *cpuid, struct cpu_state *state,
    struct lf_error *error);

/*
 * Writes `state` over what was loaded; the rest stays the parent's. -ENOTSUP
 * names state that the stream has no place for.
 */
int qemu_vcpu_from_state(struct qemu_vcpu *vcpu, const struct cpu_cpuid *cpuid,
    const struct cpu_state *state, struct lf_error *error);

#endif
