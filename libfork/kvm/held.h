/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a vCPU's policy holds back from KVM. The guest's state has it, KVM does
 * not get it: PV clock MSRs, with which KVM would write guest memory behind a
 * reset's back (the frozen page and the right TSC are a correct clock), and
 * armed timers where timers are not wanted. `keep` takes it out of what is
 * loaded and remembers it; `report` puts it back into what was read. So it is
 * with what this KVM does not know and a fork cannot use.
 *
 * Where KVM leaves chosen MSRs to us (VM_CAP_HOLD_x), the guest's own reads
 * and writes of them are answered here, so that KVM never has a value of
 * theirs. Elsewhere a guest's write reaches KVM: it counts as the guest's, and
 * the next load takes it away.
 */
#ifndef KVM_HELD_H
#define KVM_HELD_H

#include <stdbool.h>

#include "cpu/state.h"

struct vcpu;
struct vm;

void held_keep_lapic(struct vcpu *vcpu, struct cpu_lapic *lapic);
void held_report_lapic(const struct vcpu *vcpu, struct cpu_lapic *lapic);

/*
 * Fills `given` with the MSRs for KVM. With `deadline_later` the deadline
 * timer is only disarmed: whoever sets the TSC arms it.
 */
void held_keep_msrs(struct vcpu *vcpu, const struct cpu_msrs *msrs,
    struct cpu_msrs *given, bool deadline_later);
void held_report_msrs(const struct vcpu *vcpu, struct cpu_state *state);

/* Tells KVM which MSRs `caps` (VM_CAP_HOLD_x) leave to us. */
int held_filter(struct vm *vm, uint32_t caps, struct lf_error *error);

/*
 * Answers the access of such an MSR that the run page's exit is about: #GP for
 * one that the vCPU's state did not have.
 */
void held_answer(struct vcpu *vcpu);

#endif
