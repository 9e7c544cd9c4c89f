/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MSRs and the time stamp counter between KVM and the state table.
 */
#include "kvm/state_msrs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/msr.h"
#include "kvm/held.h"
#include "kvm/internal.h"

/* --- msrs --- */

/* MSRs that KVM gives and takes but does not list (kvm_get_msr_common). */
static const struct msr_range {
	uint32_t first, last;
} unlisted[] = {
    {0x200, 0x20f},                                 /* variable MTRRs */
    {0x250, 0x250}, {0x258, 0x259}, {0x268, 0x26f}, /* fixed MTRRs */
    {0x2ff, 0x2ff},                                 /* MTRR default type */
};

/* The same for Hyper-V's interrupt controller, where there is one. */
static const struct msr_range synic[] = {
    {MSR_HV_SCONTROL, MSR_HV_SIMP},
    {MSR_HV_SINT0, MSR_HV_SINT15},
    {MSR_HV_STIMER0_CONFIG, MSR_HV_STIMER3_COUNT},
};

_Static_assert(KVM_DEVICE_MSRS_MAX + 128 <= CPU_MSRS_MAX,
    "a state has room for all that KVM lists, and for those above");

/* The TSC is a group of its own; APIC base and EFER are system registers. */
static bool
elsewhere(uint32_t index)
{
	return index == MSR_TSC || index == MSR_APIC_BASE || index == MSR_EFER;
}

static void
list_msr(struct cpu_msrs *list, uint32_t index)
{
	uint32_t i;

	if (elsewhere(index) || list->count == CPU_MSRS_MAX)
		return;
	for (i = 0; i < list->count; i++)
		if (list->entry[i].index == index)
			return;
	list->entry[list->count++] = (struct cpu_msr){.index = index};
}

static void
list_ranges(struct cpu_msrs *list, const struct msr_range *ranges, size_t count)
{
	uint32_t index;
	size_t i;

	for (i = 0; i < count; i++)
		for (index = ranges[i].first; index <= ranges[i].last; index++)
			list_msr(list, index);
}

/* KVM refuses calls with 256 or more (MAX_IO_MSRS in arch/x86/kvm/x86.c). */
#define CALL_MAX 255U

static uint32_t
in_one_call(uint32_t count)
{
	return count < CALL_MAX ? count : CALL_MAX;
}

/*
 * KVM stops at the first MSR that it does not give to this guest (its CPUID
 * may lack the feature) and says how many it gave: that one is left out and
 * the rest asked again.
 */
static int
get_listed(struct vcpu *vcpu, struct cpu_msrs *list, struct lf_error *error)
{
	uint32_t done = 0;
	struct cpu_msrs scratch, *part = &scratch;

	while (done < list->count) {
		int r;

		part->count = in_one_call(list->count - done);
		memcpy(part->entry, &list->entry[done],
		    part->count * sizeof(part->entry[0]));
		r = vcpu_try(vcpu, KVM_GET_MSRS, part, "get MSRs", error);
		if (r < 0)
			return r;
		memcpy(&list->entry[done], part->entry,
		    r * sizeof(part->entry[0]));
		done += r;
		if ((uint32_t)r < part->count) {
			list->count--;
			memmove(&list->entry[done], &list->entry[done + 1],
			    (list->count - done) * sizeof(list->entry[0]));
		}
	}
	return 0;
}

int
state_get_msrs(
    struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	const struct kvm_device *device = vcpu->device;
	cleanup_free struct cpu_msrs *list = sys.calloc(1, sizeof(*list));
	uint32_t i;
	int rc;

	if (list == NULL)
		return error_nomem(error);
	for (i = 0; i < device->msr_count; i++)
		list_msr(list, device->msrs[i]);
	list_ranges(list, unlisted, sizeof(unlisted) / sizeof(unlisted[0]));
	if (vcpu->vm->caps & VM_CAP_HYPERV_SYNIC)
		list_ranges(list, synic, sizeof(synic) / sizeof(synic[0]));
	rc = get_listed(vcpu, list, error);
	if (rc < 0)
		return rc;
	state->msrs.count = 0;
	for (i = 0; i < list->count; i++) {
		rc = cpu_state_set_msr(
		    state, list->entry[i].index, list->entry[i].value, error);
		if (rc < 0)
			return rc;
	}
	held_report_msrs(vcpu, state);
	return 0;
}

static int
one_msr(struct vcpu *vcpu, unsigned long request, uint32_t index,
    uint64_t *value, struct lf_error *error)
{
	union {
		struct kvm_msrs list;
		uint8_t room[sizeof(struct kvm_msrs) +
			     sizeof(struct kvm_msr_entry)];
	} msrs = {.list.nmsrs = 1};
	int r;

	msrs.list.entries[0].index = index;
	msrs.list.entries[0].data = *value;
	r = vcpu_try(vcpu, request, &msrs,
	    request == KVM_GET_MSRS ? "get an MSR" : "set an MSR", error);
	if (r < 0)
		return r;
	if (r != 1)
		return error_set(error, ENOTSUP,
		    "vCPU %u: this host's KVM has no MSR 0x%x", vcpu->index,
		    index);
	*value = msrs.list.entries[0].data;
	return 0;
}

/*
 * KVM stops at the first MSR that it does not take. Some it gives and does not
 * take (those of features that this guest's CPUID lacks); they are there with
 * the wanted value already, or else this host lacks something. Returns how many
 * are dealt with.
 */
static int
set_some(struct vcpu *vcpu, struct cpu_msrs *given, struct lf_error *error)
{
	const struct cpu_msr *refused;
	uint64_t present = 0;
	int done = vcpu_try(vcpu, KVM_SET_MSRS, given, "set MSRs", error);

	if (done < 0 || (uint32_t)done == given->count)
		return done;
	refused = &given->entry[done];
	if (one_msr(vcpu, KVM_GET_MSRS, refused->index, &present, NULL) < 0 ||
	    present != refused->value)
		return error_set(error, ENOTSUP,
		    "vCPU %u: this host's KVM does not take MSR 0x%x with "
		    "value 0x%" PRIx64,
		    vcpu->index, refused->index, refused->value);
	return done + 1;
}

int
state_set_msrs(
    struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	struct cpu_msrs scratch, *given = &scratch;
	uint32_t count;
	int rc;

	held_keep_msrs(vcpu, &load->state->msrs, given, load->sets_tsc);
	for (count = given->count; count > 0;) {
		given->count = in_one_call(count);
		rc = set_some(vcpu, given, error);
		if (rc < 0)
			return rc;
		count -= (uint32_t)rc;
		memmove(given->entry, &given->entry[rc],
		    count * sizeof(given->entry[0]));
	}
	return 0;
}

/* --- tsc --- */

static int
tsc_offset_ioctl(struct vcpu *vcpu, unsigned long request, uint64_t *offset,
    const char *what, struct lf_error *error)
{
	struct kvm_device_attr attr = {
	    .group = KVM_VCPU_TSC_CTRL,
	    .attr = KVM_VCPU_TSC_OFFSET,
	    .addr = (uintptr_t)offset,
	};

	return vcpu_try(vcpu, request, &attr, what, error);
}

int
state_get_tsc(
    struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	int rc;

	memset(&state->tsc, 0, sizeof(state->tsc));
	state->tsc.khz = vcpu->tsc_khz;
	state->tsc.has_offset = vcpu->device->tsc_offset;
	rc = one_msr(vcpu, KVM_GET_MSRS, MSR_TSC, &state->tsc.tsc, error);
	if (rc == 0 && state->tsc.has_offset)
		rc = tsc_offset_ioctl(vcpu, KVM_GET_DEVICE_ATTR,
		    &state->tsc.offset, "get the TSC offset", error);
	return rc;
}

/*
 * The TSC is set by its offset, never by its value: KVM takes a value written
 * within a second of the expected one for an attempt to synchronize and
 * ignores it (kvm_synchronize_tsc). With scaling, the offset is found from
 * what the guest's TSC reads now, so that no ratio has to be computed here.
 */
int
state_set_tsc(
    struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	uint64_t wanted = load->state->tsc.tsc;
	uint64_t offset = wanted - load->host_tsc, now = 0, deadline;
	int rc = 0;

	if (!vcpu->device->tsc_offset)
		return 0;
	if (vcpu->tsc_scaled) {
		rc = tsc_offset_ioctl(vcpu, KVM_GET_DEVICE_ATTR, &offset,
		    "get the TSC offset", error);
		if (rc == 0)
			rc = one_msr(vcpu, KVM_GET_MSRS, MSR_TSC, &now, error);
		offset += wanted - now;
	}
	if (rc == 0)
		rc = tsc_offset_ioctl(vcpu, KVM_SET_DEVICE_ATTR, &offset,
		    "set the TSC offset", error);
	if (rc < 0)
		return rc;
	vcpu->tsc_offset = offset;
	/* Armed only now that the TSC it is compared with is right. */
	if ((load->state->groups & CPU_GROUP_MSRS) == 0 ||
	    vcpu->interrupts != VCPU_INTERRUPTS_ALL ||
	    !cpu_state_msr(load->state, MSR_TSC_DEADLINE, &deadline) ||
	    deadline == 0)
		return 0;
	return one_msr(vcpu, KVM_SET_MSRS, MSR_TSC_DEADLINE, &deadline, error);
}
