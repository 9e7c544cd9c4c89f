/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What KVM says it can do, and is believed only when it was seen to work: MSRs
 * that it leaves to us, and the TSC's offset. How it behaves at device accesses
 * is measured in manners.c.
 */
#include "base/error.h"
#include "cpu/msr.h"
#include "kvm/internal.h"
#include "kvm/probe_guest.h"
#include "kvm/vcpu_state.h"

/*
 * A write of the clock's MSR, at privilege level 0, with the value 2: should
 * it reach KVM, it switches nothing on there.
 */
static int
try_clock_msr(struct kvm_device *device, struct probe_guest *guest,
    struct lf_error *error)
{
	static const uint8_t code[] = {
	    0xb9, 0x01, 0x4d, 0x56, 0x4b, /* mov ecx, SYSTEM_TIME_NEW */
	    0xb8, 0x02, 0x00, 0x00, 0x00, /* mov eax, 2 */
	    0x31, 0xd2,                   /* xor edx, edx */
	    0x0f, 0x30,                   /* wrmsr */
	    0xe6, 0x80,                   /* out 0x80, al */
	};
	struct vcpu *vcpu = guest->vcpu;
	struct lf_exit exit;
	int rc;

	vcpu->held[0] = (struct cpu_msr){.index = MSR_KVM_SYSTEM_TIME_NEW};
	vcpu->held_count = 1;
	rc = probe_guest_load(guest, code, sizeof(code), 0, NULL, error);
	if (rc == 0)
		rc = vcpu_run(vcpu, &exit, error);
	device->msr_filter = rc == 0 && vcpu->held[0].value == 2;
	return rc;
}

int
measure_msr_filter(struct kvm_device *device, struct lf_error *error)
{
	struct probe_guest guest;
	int rc;

	if (!device->msr_filter)
		return 0;
	rc = probe_guest_init(&guest, device, 1, VM_CAP_HOLD_CLOCKS, error);
	if (rc == 0)
		rc = try_clock_msr(device, &guest, error);
	probe_guest_done(&guest);
	return rc;
}

/*
 * What the TSC's offset is for: the guest's TSC reads as it was set. Anything
 * within a second of the wanted value passes, a TSC that was not moved is
 * hours away.
 */
static int
try_tsc(struct kvm_device *device, struct probe_guest *guest,
    struct lf_error *error)
{
	const uint64_t wanted = 1ULL << 40;
	const uint64_t tolerance = 1ULL << 33;
	struct cpu_state *state = vcpu_state_new(device);
	uint64_t now = 0;
	int rc;

	if (state == NULL)
		return error_nomem(error);
	device->tsc_offset = true;
	if (vcpu_state_get(guest->vcpu, CPU_GROUP_TSC, state, NULL) < 0) {
		device->tsc_offset = false;
		cpu_state_free(state);
		return 0;
	}
	state->tsc.tsc = wanted;
	rc = vcpu_state_set(
	    guest->vcpu, CPU_GROUP_TSC, state, vcpu_state_host_tsc(), NULL);
	if (rc == 0)
		rc = vcpu_state_get(guest->vcpu, CPU_GROUP_TSC, state, NULL);
	now = state->tsc.tsc;
	device->tsc_offset = rc == 0 && now - wanted < tolerance;
	cpu_state_free(state);
	return 0;
}

int
measure_tsc(struct kvm_device *device, struct lf_error *error)
{
	struct probe_guest guest;
	int rc = probe_guest_init(&guest, device, 1, 0, error);

	if (rc == 0)
		rc = try_tsc(device, &guest, error);
	probe_guest_done(&guest);
	return rc;
}
