/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holding back timers and PV clock MSRs (Documentation/virt/kvm/api.rst:
 * KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR).
 */
#include "kvm/held.h"

#include "base/error.h"
#include "base/sys.h"
#include "cpu/msr.h"
#include "kvm/internal.h"

static bool
timers_held(const struct vcpu *vcpu)
{
	return vcpu->interrupts != VCPU_INTERRUPTS_ALL;
}

/* What is held, by the capability that holds the guest's own writes: in the
 * ranges that KVM's filter wants, bit n of `mask` for MSR `first` + n. */
static const struct {
	uint32_t cap;
	uint32_t first, count;
	uint32_t mask;
} held_msrs[] = {
    {VM_CAP_HOLD_CLOCKS, MSR_KVM_WALL_CLOCK, 2, 0x3},
    /* Without 5, whether KVM polls when the vCPU halts: no memory in it. */
    {VM_CAP_HOLD_CLOCKS, MSR_KVM_WALL_CLOCK_NEW, 8, 0xdf},
    {VM_CAP_HOLD_CLOCKS, MSR_HV_REFERENCE_TSC, 1, 0x1},
    {VM_CAP_HOLD_TIMERS, MSR_HV_STIMER0_CONFIG, 8, 0xff},
};

#define HELD_RANGES (sizeof(held_msrs) / sizeof(held_msrs[0]))

_Static_assert(HELD_RANGES <= KVM_MSR_FILTER_MAX_RANGES, "KVM takes so many");

/* The VM_CAP_HOLD_x that an MSR is held by under the vCPU's policy, or 0. */
static uint32_t
held_by(const struct vcpu *vcpu, uint32_t index)
{
	uint32_t wanted = (vcpu->pv_clock ? 0 : VM_CAP_HOLD_CLOCKS) |
			  (timers_held(vcpu) ? VM_CAP_HOLD_TIMERS : 0);
	size_t i;

	for (i = 0; i < HELD_RANGES; i++) {
		uint32_t n = index - held_msrs[i].first;

		if (n < held_msrs[i].count && (held_msrs[i].mask & 1U << n))
			return held_msrs[i].cap & wanted;
	}
	return 0;
}

/*
 * Where system management begins, in a KVM that has none (CONFIG_KVM_SMM is a
 * choice since Linux 6.2): nothing here could use it, so it is only carried.
 */
static bool
nowhere(const struct vcpu *vcpu, uint32_t index)
{
	return index == MSR_SMBASE && !vcpu->device->smm;
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
	vcpu->held_timer_pending = cpu_lapic_pending(
	    lapic, vcpu->held_lvt_timer & CPU_LAPIC_LVT_VECTOR);
	cpu_lapic_silence_timer(lapic);
}

void
held_report_lapic(const struct vcpu *vcpu, struct cpu_lapic *lapic)
{
	if (!vcpu->timer_held)
		return;
	if (vcpu->held_timer_pending)
		cpu_lapic_set_pending(
		    lapic, vcpu->held_lvt_timer & CPU_LAPIC_LVT_VECTOR, true);
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

		uint32_t cap = held_by(vcpu, msr.index);

		if (nowhere(vcpu, msr.index)) {
			remember(vcpu, &msr);
			continue;
		}
		if (cap != 0) {
			remember(vcpu, &msr);
			if (vcpu->vm->caps & cap)
				continue;
			/* The guest may have written it. */
			msr.value = 0;
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

/*
 * Zero is what KVM has as long as the guest did not write another value; what
 * KVM does not know at all is what it was.
 */
void
held_report_msrs(const struct vcpu *vcpu, struct cpu_state *state)
{
	uint64_t value;
	unsigned i;

	for (i = 0; i < vcpu->held_count; i++) {
		const struct cpu_msr *msr = &vcpu->held[i];

		if (nowhere(vcpu, msr->index) ||
		    (cpu_state_msr(state, msr->index, &value) && value == 0))
			cpu_state_set_msr(state, msr->index, msr->value, NULL);
	}
}

int
held_filter(struct vm *vm, uint32_t caps, struct lf_error *error)
{
	struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_ALLOW};
	uint8_t allowed[HELD_RANGES];
	unsigned n = 0;
	size_t i;
	int r;

	for (i = 0; i < HELD_RANGES; i++) {
		if ((held_msrs[i].cap & caps) == 0)
			continue;
		allowed[n] = (uint8_t)~held_msrs[i].mask;
		filter.ranges[n] = (struct kvm_msr_filter_range){
		    .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
		    .nmsrs = held_msrs[i].count,
		    .base = held_msrs[i].first,
		    .bitmap = &allowed[n],
		};
		n++;
	}
	r = vm_ioctl(vm, KVM_X86_SET_MSR_FILTER, &filter);
	if (r < 0)
		return error_sys(error, -r,
		    "KVM: cannot keep MSRs of clocks and timers from it");
	return 0;
}

/* KVM's first two MSRs have an old and a new number each. */
static uint32_t
by_new_number(uint32_t index)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
		return MSR_KVM_WALL_CLOCK_NEW;
	case MSR_KVM_SYSTEM_TIME:
		return MSR_KVM_SYSTEM_TIME_NEW;
	default:
		return index;
	}
}

void
held_answer(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint32_t index = by_new_number(run->msr.index);
	unsigned i;

	run->msr.error = 1;
	for (i = 0; i < vcpu->held_count; i++) {
		struct cpu_msr *msr = &vcpu->held[i];

		if (by_new_number(msr->index) != index)
			continue;
		if (run->exit_reason == KVM_EXIT_X86_WRMSR)
			msr->value = run->msr.data;
		else
			run->msr.data = msr->value;
		run->msr.error = 0;
	}
}
