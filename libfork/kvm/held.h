/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a vCPU's policy holds back from KVM. The guest's state has it, KVM does
 * not get it: PV clock MSRs, with which KVM would write guest memory behind a
 * reset's back (the frozen page and the right TSC are a correct clock), and
 * armed timers where timers are not wanted. `keep` takes it out of what is
 * loaded and remembers it; `report` puts it back into what was read, unless
 * the guest has changed it meanwhile.
 */
#ifndef KVM_HELD_H
#define KVM_HELD_H

#include <stdbool.h>

#include "cpu/state.h"

struct vcpu;

void held_keep_lapic(struct vcpu *vcpu, struct cpu_lapic *lapic);
void held_report_lapic(const struct vcpu *vcpu, struct cpu_lapic *lapic);

/*
 * Fills `given` with the MSRs for KVM. With `deadline_later` the deadline
 * timer is only disarmed: whoever sets the TSC arms it.
 */
void held_keep_msrs(struct vcpu *vcpu, const struct cpu_msrs *msrs,
    struct cpu_msrs *given, bool deadline_later);
void held_report_msrs(const struct vcpu *vcpu, struct cpu_state *state);

#endif
