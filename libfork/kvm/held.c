/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holding back timers and PV clock MSRs.
 */
#include "kvm/held.h"

#include "cpu/msr.h"
#include "kvm/internal.h"

static bool
timers_held(const struct vcpu *vcpu)
{
	return vcpu->interrupts != VCPU_INTERRUPTS_ALL;
}

static bool
is_pv_clock(uint32_t index)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_SYSTEM_TIME_NEW:
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_STEAL_TIME:
	case MSR_KVM_PV_EOI_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		return true;
	default:
		return false;
	}
}

void
held_keep_lapic(struct vcpu *vcpu, struct cpu_lapic *lapic)
{
	vcpu->timer_held = timers_held(vcpu);
	if (!vcpu->timer_held)
		return;
	vcpu->held_lvt_timer = cpu_lapic_read(lapic, CPU_LAPIC_LVT_TIMER);
	vcpu->held_timer_initial =
	    cpu_lapic_read(lapic, CPU_LAPIC_TIMER_INITIAL);
	vcpu->held_timer_current =
	    cpu_lapic_read(lapic, CPU_LAPIC_TIMER_CURRENT);
	cpu_lapic_silence_timer(lapic);
}

void
held_report_lapic(const struct vcpu *vcpu, struct cpu_lapic *lapic)
{
	if (!vcpu->timer_held)
		return;
	if (cpu_lapic_read(lapic, CPU_LAPIC_LVT_TIMER) ==
	    (vcpu->held_lvt_timer | CPU_LAPIC_LVT_MASKED))
		cpu_lapic_write(
		    lapic, CPU_LAPIC_LVT_TIMER, vcpu->held_lvt_timer);
	if (cpu_lapic_read(lapic, CPU_LAPIC_TIMER_INITIAL) != 0)
		return;
	cpu_lapic_write(
	    lapic, CPU_LAPIC_TIMER_INITIAL, vcpu->held_timer_initial);
	cpu_lapic_write(
	    lapic, CPU_LAPIC_TIMER_CURRENT, vcpu->held_timer_current);
}

static void
remember(struct vcpu *vcpu, const struct cpu_msr *msr)
{
	if (vcpu->held_count < VCPU_HELD_MAX)
		vcpu->held[vcpu->held_count++] = *msr;
}

void
held_keep_msrs(struct vcpu *vcpu, const struct cpu_msrs *msrs,
    struct cpu_msrs *given, bool deadline_later)
{
	uint32_t i;

	given->count = 0;
	vcpu->held_count = 0;
	for (i = 0; i < msrs->count; i++) {
		struct cpu_msr msr = msrs->entry[i];

		if (!vcpu->pv_clock && is_pv_clock(msr.index)) {
			remember(vcpu, &msr);
			continue;
		}
		if (msr.index == MSR_TSC_DEADLINE) {
			if (timers_held(vcpu))
				remember(vcpu, &msr);
			if (timers_held(vcpu) || deadline_later)
				msr.value = 0;
		}
		given->entry[given->count++] = msr;
	}
}

/* Zero is what KVM has as long as the guest did not write another value. */
void
held_report_msrs(const struct vcpu *vcpu, struct cpu_state *state)
{
	uint64_t value;
	unsigned i;

	for (i = 0; i < vcpu->held_count; i++) {
		const struct cpu_msr *msr = &vcpu->held[i];

		if (cpu_state_msr(state, msr->index, &value) && value == 0)
			cpu_state_set_msr(state, msr->index, msr->value, NULL);
	}
}
