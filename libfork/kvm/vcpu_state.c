/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state table's way to and from KVM: one pair of functions per group of
 * cpu/groups.def, called in the table's order. What a policy holds back from
 * KVM is in held.c.
 */
#include "kvm/vcpu_state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <x86intrin.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/arch.h"
#include "cpu/msr.h"
#include "kvm/held.h"
#include "kvm/internal.h"
#include "kvm/state_msrs.h"

DEFINE_CLEANUP(struct cpu_state *, cpu_state_free);

_Static_assert(sizeof(struct cpu_events) == sizeof(struct kvm_vcpu_events) &&
		   offsetof(struct cpu_events, sipi_vector) ==
		       offsetof(struct kvm_vcpu_events, sipi_vector) &&
		   offsetof(struct cpu_events, exception_payload) ==
		       offsetof(struct kvm_vcpu_events, exception_payload),
    "events are handed to KVM in place");
_Static_assert(sizeof(struct cpu_debugregs) == sizeof(struct kvm_debugregs) &&
		   offsetof(struct cpu_debugregs, dr7) ==
		       offsetof(struct kvm_debugregs, dr7),
    "debug registers are handed to KVM in place");
_Static_assert(
    sizeof(((struct cpu_lapic *)0)->regs) == sizeof(struct kvm_lapic_state),
    "the LAPIC page is handed to KVM in place");
_Static_assert(
    sizeof(struct cpu_msr) == sizeof(struct kvm_msr_entry) &&
	offsetof(struct cpu_msrs, entry) == offsetof(struct kvm_msrs, entries),
    "MSRs are handed to KVM in place");
_Static_assert(sizeof(struct cpu_nested) == sizeof(struct kvm_nested_state) &&
		   offsetof(struct cpu_nested, header) ==
		       offsetof(struct kvm_nested_state, hdr),
    "the nested state's header is handed to KVM in place");
_Static_assert(CPU_NESTED_GUEST_MODE == KVM_STATE_NESTED_GUEST_MODE,
    "flags of the nested state are KVM's");
_Static_assert(CPU_MP_HALTED == KVM_MP_STATE_HALTED &&
		   CPU_MP_UNINITIALIZED == KVM_MP_STATE_UNINITIALIZED,
    "run states are KVM's");
_Static_assert(CPU_SHADOW_STI == KVM_X86_SHADOW_INT_STI &&
		   CPU_SHADOW_MOV_SS == KVM_X86_SHADOW_INT_MOV_SS,
    "interrupt shadows are KVM's");

struct cpu_state *
vcpu_state_new(const struct kvm_device *device)
{
	return cpu_state_new(device->xsave_len);
}

uint64_t
vcpu_state_host_tsc(void)
{
	return __rdtsc();
}

void
vcpu_set_pv_clock(struct vcpu *vcpu, bool pv_clock)
{
	vcpu->pv_clock = pv_clock;
}

/* --- mp_state --- */

static int
get_mp_state(struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	struct kvm_mp_state mp_state;
	int rc;

	rc = vcpu_try(
	    vcpu, KVM_GET_MP_STATE, &mp_state, "get its run state", error);
	if (rc < 0)
		return rc;
	state->mp_state = vcpu->parked ? CPU_MP_HALTED : mp_state.mp_state;
	return 0;
}

/*
 * Without a LAPIC inside it, KVM knows only vCPUs that run: a halted one is
 * then parked by us alone.
 */
static int
set_mp_state(struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	struct kvm_mp_state mp_state = {load->state->mp_state};

	vcpu->parked = mp_state.mp_state == CPU_MP_HALTED &&
		       (vcpu->interrupts == VCPU_INTERRUPTS_BLOCK ||
			   vcpu->vm->irqchip == VM_IRQCHIP_NONE);
	if (vcpu->vm->irqchip == VM_IRQCHIP_NONE)
		mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	return vcpu_try(
	    vcpu, KVM_SET_MP_STATE, &mp_state, "set its run state", error);
}

/* --- regs, sregs --- */

static int
get_regs(struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	return vcpu_peek_regs(vcpu, &state->regs, error);
}

static int
set_regs(struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	vcpu->regs_valid = false;
	vcpu->iopl = load->state->regs.rflags & RFLAGS_IOPL;
	return vcpu_put_regs(vcpu, &load->state->regs, error);
}

static int
get_sregs(struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	return vcpu_peek_sregs(vcpu, &state->sregs, error);
}

static int
set_sregs(struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	return vcpu_put_sregs(vcpu, &load->state->sregs, error);
}

/* --- nested --- */

static int
get_nested(struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	int r;

	memset(&state->nested, 0, sizeof(state->nested));
	if (!vcpu->device->nested_state)
		return 0;
	state->nested.size = sizeof(state->nested);
	r = vcpu_ioctl(vcpu, KVM_GET_NESTED_STATE, &state->nested);
	if (r == -E2BIG)
		return error_set(error, ENOTSUP,
		    "vCPU %u runs a nested guest, which cannot be forked; "
		    "stop the guest's own VMs first",
		    vcpu->index);
	if (r < 0)
		return error_sys(error, -r,
		    "vCPU %u: cannot get nested virtualization", vcpu->index);
	return 0;
}

static int
set_nested(struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	const struct cpu_nested *nested = &load->state->nested;

	if (nested->size == 0 || !vcpu->device->nested_state)
		return 0;
	return vcpu_try(vcpu, KVM_SET_NESTED_STATE, (void *)nested,
	    "set nested virtualization", error);
}

/* --- xsave, xcrs, debugregs --- */

static int
get_xsave(struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	unsigned long request = vcpu->device->xsave_len > CPU_XSAVE_MIN
				    ? KVM_GET_XSAVE2
				    : KVM_GET_XSAVE;

	if (state->xsave.len < vcpu->device->xsave_len)
		return error_set(error, ENOSPC,
		    "vCPU %u: %u bytes of vector state, room for %u",
		    vcpu->index, vcpu->device->xsave_len, state->xsave.len);
	return vcpu_try(vcpu, request, state->xsave.bytes,
	    "get FPU and vector registers", error);
}

/* KVM reads as many bytes as it would give: a shorter image is filled up. */
static int
set_xsave(struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	const struct cpu_xsave *xsave = &load->state->xsave;
	cleanup_free uint8_t *longer = NULL;
	void *bytes = xsave->bytes;
	int rc;

	rc = cpu_xsave_check_fits(xsave, vcpu->device->xsave_len, error);
	if (rc < 0)
		return rc;
	if (xsave->len < vcpu->device->xsave_len) {
		longer = sys.calloc(1, vcpu->device->xsave_len);
		if (longer == NULL)
			return error_nomem(error);
		bytes = memcpy(longer, xsave->bytes, xsave->len);
	}
	return vcpu_try(
	    vcpu, KVM_SET_XSAVE, bytes, "set FPU and vector registers", error);
}

static int
get_xcrs(struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	struct kvm_xcrs xcrs;
	unsigned i;
	int rc;

	rc = vcpu_try(vcpu, KVM_GET_XCRS, &xcrs, "get XCRs", error);
	state->xcrs.xcr0 = 0;
	for (i = 0; rc == 0 && i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++)
		if (xcrs.xcrs[i].xcr == 0)
			state->xcrs.xcr0 = xcrs.xcrs[i].value;
	return rc;
}

static int
set_xcrs(struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	struct kvm_xcrs xcrs = {.nr_xcrs = 1};

	xcrs.xcrs[0].value = load->state->xcrs.xcr0;
	return vcpu_try(vcpu, KVM_SET_XCRS, &xcrs, "set XCRs", error);
}

static int
get_debugregs(
    struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	return vcpu_try(vcpu, KVM_GET_DEBUGREGS, &state->debugregs,
	    "get debug registers", error);
}

static int
set_debugregs(
    struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	return vcpu_try(vcpu, KVM_SET_DEBUGREGS,
	    (void *)&load->state->debugregs, "set debug registers", error);
}

/* --- lapic --- */

static int
get_lapic(struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	int rc;

	memset(&state->lapic, 0, sizeof(state->lapic));
	if (vcpu->vm->irqchip == VM_IRQCHIP_NONE)
		return 0;
	rc = vcpu_try(vcpu, KVM_GET_LAPIC, state->lapic.regs,
	    "get the local APIC", error);
	if (rc < 0)
		return rc;
	state->lapic.present = 1;
	held_report_lapic(vcpu, &state->lapic);
	return 0;
}

static int
set_lapic(struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	struct cpu_lapic lapic;

	if (!load->state->lapic.present)
		return 0;
	if (vcpu->vm->irqchip == VM_IRQCHIP_NONE)
		return error_set(error, EINVAL,
		    "vCPU %u: the state has a local APIC, the VM has none",
		    vcpu->index);
	lapic = load->state->lapic;
	held_keep_lapic(vcpu, &lapic);
	return vcpu_try(
	    vcpu, KVM_SET_LAPIC, lapic.regs, "set the local APIC", error);
}

/* --- events --- */

static int
get_events(struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error)
{
	int rc = vcpu_flush(vcpu, error);

	if (rc < 0)
		return rc;
	return vcpu_try(vcpu, KVM_GET_VCPU_EVENTS, &state->events,
	    "get pending events", error);
}

static int
set_events(struct vcpu *vcpu, const struct load *load, struct lf_error *error)
{
	struct cpu_events events = load->state->events;

	events.flags = vcpu_events_flags(vcpu, &events);
	return vcpu_try(
	    vcpu, KVM_SET_VCPU_EVENTS, &events, "set pending events", error);
}

/* --- the table --- */

/* MSRs and the TSC have a file of their own (state_msrs.c). */
#define get_msrs state_get_msrs
#define set_msrs state_set_msrs
#define get_tsc  state_get_tsc
#define set_tsc  state_set_tsc

static const struct {
	int (*get)(
	    struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error);
	int (*set)(
	    struct vcpu *vcpu, const struct load *load, struct lf_error *error);
} rows[CPU_GROUP_COUNT] = {
#define CPU_GROUP(NAME, member, title) \
	[CPU_INDEX_##NAME] = {get_##member, set_##member},
#include "cpu/groups.def"
#undef CPU_GROUP
};

int
vcpu_state_get(struct vcpu *vcpu, uint32_t groups, struct cpu_state *state,
    struct lf_error *error)
{
	unsigned i;
	int rc;

	if (vcpu->access.pending) {
		rc = vcpu_settle(vcpu, error);
		if (rc < 0)
			return rc;
	}
	for (i = 0; i < CPU_GROUP_COUNT; i++) {
		if ((groups & (1U << i)) == 0)
			continue;
		rc = rows[i].get(vcpu, state, error);
		if (rc < 0)
			return rc;
		state->groups |= 1U << i;
	}
	return 0;
}

/*
 * A vCPU that waits for INIT and SIPI. KVM_RUN does not take its registers from
 * the run page, but writes the page all the same (kvm_arch_vcpu_ioctl_run). The
 * first vCPU never waits, nor does one without a LAPIC.
 */
static bool
may_wait_to_be_started(
    const struct vcpu *vcpu, uint32_t groups, const struct cpu_state *state)
{
	if (groups & CPU_GROUP_MP_STATE)
		return state->mp_state == CPU_MP_UNINITIALIZED;
	return vcpu->index != 0 && vcpu->vm->irqchip != VM_IRQCHIP_NONE;
}

#define STAGED_GROUPS (CPU_GROUP_REGS | CPU_GROUP_SREGS | CPU_GROUP_EVENTS)

/*
 * Registers, system registers and events may wait in the run page only all
 * together, and only where their place in the order does not matter: KVM takes
 * them after everything else, so the APIC base must be the present one. PDPTRs
 * have no place there.
 */
static bool
can_stage(
    const struct vcpu *vcpu, uint32_t groups, const struct cpu_state *state)
{
	return vcpu->device->sync_regs &&
	       (groups & STAGED_GROUPS) == STAGED_GROUPS &&
	       (state->sregs.flags & CPU_SREGS_PDPTRS_VALID) == 0 &&
	       vcpu->run->apic_base == state->sregs.apic_base &&
	       !vcpu->debug.single_step &&
	       !may_wait_to_be_started(vcpu, groups, state);
}

int
vcpu_state_set(struct vcpu *vcpu, uint32_t groups,
    const struct cpu_state *state, uint64_t host_tsc, struct lf_error *error)
{
	struct load load = {.state = state, .host_tsc = host_tsc};
	bool stage;
	unsigned i;
	int rc;

	groups &= state->groups;
	load.sets_tsc = (groups & CPU_GROUP_TSC) != 0;
	if (vcpu->access.pending) {
		rc = vcpu_forget(vcpu, groups, &state->regs, error);
		if (rc < 0)
			return rc;
	}
	/*
	 * Without a LAPIC only we know that it is halted, and new registers
	 * set it going, as vcpu_set_regs() does.
	 */
	if ((groups & CPU_GROUP_REGS) != 0 &&
	    vcpu->vm->irqchip == VM_IRQCHIP_NONE)
		vcpu->parked = false;
	stage = can_stage(vcpu, groups, state);
	if (!stage) {
		rc = vcpu_flush(vcpu, error);
		if (rc < 0)
			return rc;
	}
	for (i = 0; i < CPU_GROUP_COUNT; i++) {
		if ((groups & (1U << i)) == 0 ||
		    (stage && (STAGED_GROUPS & (1U << i)) != 0))
			continue;
		rc = rows[i].set(vcpu, &load, error);
		if (rc < 0)
			return rc;
	}
	if (stage)
		vcpu_stage(vcpu, state);
	if ((groups & CPU_GROUP_REGS) && vcpu->debug.single_step)
		return guest_debug_apply(vcpu, true, error);
	return 0;
}

/*
 * The PIT goes on while no vCPU runs: that one of its vectors has come to wait
 * is no difference.
 */
static void
ignore_pit(const struct vm *vm, const struct cpu_state *wanted,
    struct cpu_state *found)
{
	unsigned i;

	for (i = 0; i < vm->pit_vector_count; i++)
		cpu_lapic_set_pending(&found->lapic, vm->pit_vectors[i],
		    cpu_lapic_pending(&wanted->lapic, vm->pit_vectors[i]));
}

int
vcpu_state_take(
    struct vcpu *vcpu, struct cpu_state **ret_state, struct lf_error *error)
{
	cleanup(cpu_state_free_p) struct cpu_state *state = NULL;
	int rc;

	state = vcpu_state_new(vcpu->device);
	if (state == NULL)
		return error_nomem(error);
	rc = vcpu_state_get(vcpu, CPU_GROUP_ALL, state, error);
	if (rc == 0)
		*ret_state = take_ptr(state);
	return rc;
}

int
vcpu_state_verify(struct vcpu *vcpu, uint32_t groups,
    const struct cpu_state *wanted, struct lf_error *error)
{
	cleanup(cpu_state_free_p) struct cpu_state *found = NULL;
	int rc;

	found = vcpu_state_new(vcpu->device);
	if (found == NULL)
		return error_nomem(error);
	groups &= wanted->groups;
	rc = vcpu_state_get(vcpu, groups, found, error);
	ignore_pit(vcpu->vm, wanted, found);
	if (rc == 0)
		rc = cpu_state_compare(
		    wanted, found, groups & ~CPU_GROUP_TSC, error);
	/* A load computes the offset anew: this load's is the right one. */
	if (rc == 0 && (groups & CPU_GROUP_TSC) && found->tsc.has_offset &&
	    found->tsc.offset != vcpu->tsc_offset)
		rc = error_set(error, EBADMSG,
		    "time stamp counter differs: offset 0x%" PRIx64
		    ", 0x%" PRIx64 " was loaded",
		    found->tsc.offset, vcpu->tsc_offset);
	if (rc < 0)
		return error_prefix(error, rc, "vCPU %u", vcpu->index);
	return 0;
}
