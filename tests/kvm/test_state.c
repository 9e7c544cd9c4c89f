/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPU state: the guest changes each group, loading brings it back, and a
 * group that is left out is found by verifying. What must not reach KVM (PV
 * clock, timers) is still the guest's.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cpu/arch.h"
#include "cpu/msr.h"
#include "lib/microvm.h"

#define EFER_SVME         (1ULL << 12)
#define MSR_PAT           0x277
#define LAPIC_LDR         0xd0

#define APIC_BASE_X2APIC  (1ULL << 10)
#define APIC_BASE_ENABLED (1ULL << 11)

#define DONE              0xe6, MICRO_DONE_PORT
#define CODE(...)                    \
	.code = {__VA_ARGS__, DONE}, \
	.len = sizeof((uint8_t[]){__VA_ARGS__, DONE})

struct group_case {
	enum cpu_group_index group;
	unsigned cpl; /* 0 needs a KVM that runs kernel-mode code */
	uint8_t code[48];
	unsigned len;
	bool svm;  /* needs nested virtualization, switched on at the start */
	bool avx;  /* needs AVX, switched on at the start */
	bool idle; /* ends by halting */
};

static const struct group_case cases[] = {
    /* sti; hlt */
    {CPU_INDEX_MP_STATE, 0, CODE(0xfb, 0xf4), .idle = true},
    /* mov rbx, 42 */
    {CPU_INDEX_REGS, 3, CODE(0x48, 0xc7, 0xc3, 0x2a, 0, 0, 0)},
    /* mov cr2, rbp */
    {CPU_INDEX_SREGS, 0,
	CODE(0x48, 0xbd, 1, 2, 3, 4, 0, 0, 0, 0, 0x0f, 0x22, 0xd5)},
    /* clgi */
    {CPU_INDEX_NESTED, 0, CODE(0x0f, 0x01, 0xdd), .svm = true},
    /* fldpi; movq xmm3, rsp */
    {CPU_INDEX_XSAVE, 3, CODE(0xd9, 0xeb, 0x66, 0x48, 0x0f, 0x6e, 0xdc)},
    /* vpcmpeqd ymm3, ymm3, ymm3 */
    {CPU_INDEX_XSAVE, 3, CODE(0xc5, 0xe5, 0x76, 0xdb), .avx = true},
    /* cr4 |= OSXSAVE; xcr0 = 3 */
    {CPU_INDEX_XCRS, 0,
	CODE(0x0f, 0x20, 0xe0, 0x0d, 0, 0, 4, 0, 0x0f, 0x22, 0xe0, 0x31, 0xc9,
	    0x31, 0xd2, 0xb8, 3, 0, 0, 0, 0x0f, 0x01, 0xd1)},
    /* mov dr3, rsp */
    {CPU_INDEX_DEBUGREGS, 0, CODE(0x0f, 0x23, 0xdc)},
    /* local APIC's LDR = 0x05000000 */
    {CPU_INDEX_LAPIC, 3, CODE(0xb8, 0xd0, 0, 0xe0, 0xfe, 0xc7, 0, 0, 0, 0, 5)},
    /* wrmsr LSTAR */
    {CPU_INDEX_MSRS, 0,
	CODE(0xb9, 0x82, 0, 0, 0xc0, 0xb8, 0x34, 0x12, 0, 0, 0x31, 0xd2, 0x0f,
	    0x30)},
    /* rdtsc; edx += 0x1000; wrmsr TSC */
    {CPU_INDEX_TSC, 0,
	CODE(0x0f, 0x31, 0x81, 0xc2, 0, 0x10, 0, 0, 0xb9, 0x10, 0, 0, 0, 0x0f,
	    0x30)},
    /* an NMI to itself, which stays pending */
    {CPU_INDEX_EVENTS, 0,
	CODE(0xb8, 0x10, 3, 0xe0, 0xfe, 0xc7, 0, 0, 0, 0, 0, 0xb8, 0, 3, 0xe0,
	    0xfe, 0xc7, 0, 0, 0x44, 0, 0)},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static const struct vm_recipe recipe = {
    .vcpus = 1, .irqchip = VM_IRQCHIP_LAPIC};

static bool
can_run(const struct group_case *c)
{
	if (c->svm && (!microvm_device()->nested_state ||
			  cpu_cpuid_find(
			      &microvm_device()->cpuid, 0x8000000a, 0) == NULL))
		return false;
	if (c->avx && microvm_avx_offset() == 0)
		return false;
	return c->cpl != 0 || microvm_why_not_native()[0] == '\0';
}

static struct cpu_state *
take(struct vcpu *vcpu)
{
	struct cpu_state *state = vcpu_state_new(microvm_device());
	struct lf_error error;

	cr_assert_eq(vcpu_state_get(vcpu, CPU_GROUP_ALL, state, &error), 0,
	    "%s", error.message);
	return state;
}

static void
load(struct vcpu *vcpu, uint32_t groups, const struct cpu_state *state)
{
	struct lf_error error;

	cr_assert_eq(
	    vcpu_state_set(vcpu, groups, state, vcpu_state_host_tsc(), &error),
	    0, "%s", error.message);
}

/*
 * QEMU's TCG does not intercept XSETBV: in the lab the guest's XCR0 is the
 * host's business and KVM never sees it. Then it is changed by loading.
 */
static void
change_xcr0_if_unseen(struct vcpu *vcpu, const struct cpu_state *before)
{
	struct cpu_state *state = take(vcpu);

	if (state->xcrs.xcr0 == before->xcrs.xcr0) {
		state->xcrs.xcr0 = 3;
		load(vcpu, CPU_GROUP_XCRS, state);
	}
	cpu_state_free(state);
}

static void
check_group(struct microvm *micro, const struct group_case *c)
{
	struct vcpu *vcpu = vm_vcpu(micro->vm, 0);
	const char *title = cpu_group_title(c->group);
	uint32_t bit = 1U << c->group;
	struct cpu_state *state;
	struct lf_error error = {0};
	struct lf_exit exit;
	unsigned i;

	microvm_code(micro, c->code, c->len);
	microvm_start(micro, 0, c->cpl, 0);
	state = take(vcpu);
	if (c->svm)
		state->sregs.efer |= EFER_SVME;
	if (c->avx)
		state->sregs.cr4 |= CR4_OSXSAVE;
	/*
	 * x87, SSE, AVX. Else another than the host's, so that the KVM in the
	 * lab, which does not see a guest's XSETBV, puts the host's back.
	 */
	state->xcrs.xcr0 = c->avx ? 7 : 1;
	for (i = 0; i < 3; i++) {
		/* Once by ioctls, then by the run page. */
		load(vcpu, CPU_GROUP_ALL, state);
		cr_assert_eq(
		    vcpu_state_verify(vcpu, CPU_GROUP_ALL, state, &error), 0,
		    "%s: %s", title, error.message);
		microvm_run(micro, 0, &exit);
		cr_assert_eq(exit.reason, c->idle ? LF_EXIT_IDLE : LF_EXIT_IO,
		    "%s: %s", title, lf_exit_name(&exit));

		if (c->group == CPU_INDEX_XCRS)
			change_xcr0_if_unseen(vcpu, state);
		load(vcpu, CPU_GROUP_ALL & ~bit, state);
		cr_assert_eq(
		    vcpu_state_verify(vcpu, CPU_GROUP_ALL, state, &error),
		    -EBADMSG, "%s: left out and not found", title);
		cr_assert_not_null(strstr(error.message, title),
		    "%s: left out, found is: %s", title, error.message);
	}
	load(vcpu, CPU_GROUP_ALL, state);
	cr_assert_eq(vcpu_state_verify(vcpu, CPU_GROUP_ALL, state, &error), 0,
	    "%s: %s", title, error.message);
	cpu_state_free(state);
}

Test(state, each_group_comes_back_and_is_missed_when_left_out)
{
	struct microvm micro;
	struct lf_error error;
	unsigned i, ran = 0;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	cr_assert_eq(vcpu_set_interrupts(
			 vm_vcpu(micro.vm, 0), VCPU_INTERRUPTS_BLOCK, &error),
	    0, "%s", error.message);
	for (i = 0; i < CASES; i++) {
		if (!can_run(&cases[i]))
			continue;
		check_group(&micro, &cases[i]);
		ran++;
	}
	cr_log_info("%u of %zu groups", ran, CASES);
	microvm_done(&micro);
	cr_assert_geq(ran, 3);
}

Test(state, an_msr_that_the_host_lacks_is_named)
{
	struct microvm micro;
	struct cpu_state *state;
	struct lf_error error;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	state = take(vm_vcpu(micro.vm, 0));
	cr_assert_eq(cpu_state_set_msr(state, 0xdeadbeef, 0x17, &error), 0);
	cr_assert_eq(vcpu_state_set(vm_vcpu(micro.vm, 0), CPU_GROUP_ALL, state,
			 vcpu_state_host_tsc(), &error),
	    -ENOTSUP);
	cr_assert_str_eq(error.message,
	    "vCPU 0: this host's KVM does not take MSR 0xdeadbeef with value "
	    "0x17");
	cpu_state_free(state);
	microvm_done(&micro);
}

/* Of a host with more registers; what is left out must not be lost. */
Test(state, vector_state_that_this_host_has_no_room_for_is_refused)
{
	struct cpu_state *state, *larger;
	struct microvm micro;
	struct lf_error error;
	uint32_t len;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	len = microvm_device()->xsave_len;
	larger = cpu_state_new(len + 64);
	state = take(vm_vcpu(micro.vm, 0));
	memcpy(larger->xsave.bytes, state->xsave.bytes, len);
	larger->groups = CPU_GROUP_XSAVE;
	load(vm_vcpu(micro.vm, 0), CPU_GROUP_XSAVE, larger);
	larger->xsave.bytes[len] = 1;
	cr_assert_eq(vcpu_state_set(vm_vcpu(micro.vm, 0), CPU_GROUP_XSAVE,
			 larger, vcpu_state_host_tsc(), &error),
	    -ENOSPC);
	cr_assert_not_null(
	    strstr(error.message, "the host saves fewer registers"), "%s",
	    error.message);
	cpu_state_free(larger);
	cpu_state_free(state);
	microvm_done(&micro);
}

/* Linux since 6.2 has KVM without it as a choice. */
Test(state, system_managements_base_is_the_guests_also_where_kvm_has_none)
{
	struct microvm micro;
	struct cpu_state *state;
	struct lf_error error;
	uint64_t base = 0;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	state = take(vm_vcpu(micro.vm, 0));
	cr_assert_eq(cpu_state_set_msr(state, MSR_SMBASE, 0xa0000, &error), 0);
	load(vm_vcpu(micro.vm, 0), CPU_GROUP_ALL, state);
	cr_assert_eq(vcpu_state_verify(
			 vm_vcpu(micro.vm, 0), CPU_GROUP_ALL, state, &error),
	    0, "%s", error.message);
	cpu_state_free(state);
	state = take(vm_vcpu(micro.vm, 0));
	cr_assert(cpu_state_msr(state, MSR_SMBASE, &base));
	cr_assert_eq(base, 0xa0000);
	cpu_state_free(state);
	microvm_done(&micro);
}

/*
 * KVM takes registers that wait in the run page only when it goes on to run
 * the vCPU, but writes that page also when it does not.
 */
Test(state, of_a_vcpu_that_waits_to_be_started_is_not_lost_by_a_run)
{
	const struct vm_recipe two = {.vcpus = 2, .irqchip = VM_IRQCHIP_LAPIC};
	struct microvm micro;
	struct cpu_state *state, *found;
	struct vcpu *vcpu;
	struct lf_exit exit;
	unsigned i;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &two);
	vcpu = vm_vcpu(micro.vm, 1);
	state = take(vcpu);
	state->mp_state = CPU_MP_UNINITIALIZED;
	/* Once by ioctls, then by the run page. */
	for (i = 0; i < 3; i++) {
		state->regs.rbx = 0x1111 * (i + 1);
		load(vcpu, CPU_GROUP_ALL, state);
		vcpu_stop(vcpu);
		microvm_run(&micro, 1, &exit);
		cr_assert_eq(exit.reason, LF_EXIT_INTERRUPTED);
		found = take(vcpu);
		cr_assert_eq(found->mp_state, CPU_MP_UNINITIALIZED,
		    "load %u: %u", i, found->mp_state);
		cr_assert_eq(found->regs.rbx, state->regs.rbx, "load %u: 0x%lx",
		    i, found->regs.rbx);
		cpu_state_free(found);
	}
	cpu_state_free(state);
	microvm_done(&micro);
}

/* KVM takes and gives less than 256 in one call (MAX_IO_MSRS). */
Test(state, more_msrs_than_one_call_takes_are_loaded)
{
	struct microvm micro;
	struct cpu_state *state;
	struct lf_error error;
	uint64_t pat = 0;
	uint32_t i;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	state = take(vm_vcpu(micro.vm, 0));
	cr_assert(cpu_state_msr(state, MSR_PAT, &pat));
	for (i = 0; i < CPU_MSRS_MAX - 1; i++)
		state->msrs.entry[i] =
		    (struct cpu_msr){.index = MSR_PAT, .value = pat};
	state->msrs.entry[i] =
	    (struct cpu_msr){.index = 0xdeadbeef, .value = 0x17};
	state->msrs.count = CPU_MSRS_MAX - 1;
	load(vm_vcpu(micro.vm, 0), CPU_GROUP_MSRS, state);
	/* The last one counts as much as the first. */
	state->msrs.count = CPU_MSRS_MAX;
	cr_assert_eq(vcpu_state_set(vm_vcpu(micro.vm, 0), CPU_GROUP_MSRS, state,
			 vcpu_state_host_tsc(), &error),
	    -ENOTSUP);
	cr_assert_not_null(
	    strstr(error.message, "0xdeadbeef"), "%s", error.message);
	cpu_state_free(state);
	microvm_done(&micro);
}

/* KVM writes the clock's page when it has the MSR and the vCPU runs. */
static bool
clock_page_written(struct microvm *micro, bool pv_clock)
{
	static const uint8_t code[] = {DONE, 0xeb, 0xfc};
	struct vcpu *vcpu = vm_vcpu(micro->vm, 0);
	struct cpu_state *state;
	struct lf_error error;
	struct lf_exit exit;
	uint64_t value;
	unsigned i;
	bool written = false;

	microvm_clear(micro);
	microvm_code(micro, code, sizeof(code));
	microvm_start(micro, 0, 3, 0);
	state = take(vcpu);
	cr_assert_eq(cpu_state_set_msr(state, MSR_KVM_SYSTEM_TIME_NEW,
			 MICRO_FREE | 1, &error),
	    0);
	vcpu_set_pv_clock(vcpu, pv_clock);
	load(vcpu, CPU_GROUP_ALL, state);
	microvm_run(micro, 0, &exit);
	for (i = 0; i < 32; i++)
		written = written || micro->ram[MICRO_FREE + i] != 0;
	cr_assert_eq(vcpu_answer_nobody(vcpu, &error), 0);
	cpu_state_free(state);
	state = take(vcpu);
	cr_assert(cpu_state_msr(state, MSR_KVM_SYSTEM_TIME_NEW, &value));
	cr_assert_eq(value, MICRO_FREE | 1);
	cpu_state_free(state);
	return written;
}

Test(state, the_pv_clock_is_the_guests_but_not_kvms)
{
	struct microvm micro;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	cr_assert_not(clock_page_written(&micro, false));
	cr_assert(clock_page_written(&micro, true));
	microvm_done(&micro);
}

/*
 * The guest itself writes an MSR, reads it back into RAX:RDX and is done. It
 * is kernel-mode code of a few instructions: any KVM emulates those at least.
 */
static uint64_t
write_msr(struct microvm *micro, uint32_t index, uint64_t value)
{
	uint8_t code[] = {0xb9, 0, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xba, 0, 0, 0, 0,
	    0x0f, 0x30, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x32, DONE};
	struct vcpu *vcpu = vm_vcpu(micro->vm, 0);
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);
	struct cpu_regs regs;
	struct lf_error error;
	struct lf_exit exit;

	memcpy(&code[1], &index, sizeof(index));
	memcpy(&code[6], &low, sizeof(low));
	memcpy(&code[11], &high, sizeof(high));
	microvm_code(micro, code, sizeof(code));
	microvm_start(micro, 0, 0, 0);
	microvm_run(micro, 0, &exit);
	cr_assert_eq(exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
	cr_assert_eq(vcpu_answer_nobody(vcpu, &error), 0);
	cr_assert_eq(vcpu_get_regs(vcpu, &regs, &error), 0);
	return regs.rdx << 32 | regs.rax;
}

/* The value in the state; that of the policy is loaded before and after. */
static void
check_own_write(struct microvm *micro, uint32_t index, uint64_t value)
{
	struct vcpu *vcpu = vm_vcpu(micro->vm, 0);
	struct cpu_state *before = take(vcpu), *found;
	struct lf_error error;
	uint64_t now;

	load(vcpu, CPU_GROUP_ALL, before);
	cr_assert_eq(write_msr(micro, index, value), value, "MSR 0x%x", index);
	found = take(vcpu);
	cr_assert(cpu_state_msr(found, index, &now), "MSR 0x%x", index);
	cr_assert_eq(now, value, "MSR 0x%x: 0x%lx", index, now);
	if (index == MSR_KVM_SYSTEM_TIME) {
		cr_assert(cpu_state_msr(found, MSR_KVM_SYSTEM_TIME_NEW, &now));
		cr_assert_eq(now, value, "two numbers of one MSR");
	}
	load(vcpu, CPU_GROUP_ALL & ~CPU_GROUP_MSRS, before);
	cr_assert_eq(
	    vcpu_state_verify(vcpu, CPU_GROUP_MSRS, before, &error), -EBADMSG);
	load(vcpu, CPU_GROUP_ALL, before);
	cr_assert_eq(vcpu_state_verify(vcpu, CPU_GROUP_ALL, before, &error), 0,
	    "MSR 0x%x: %s", index, error.message);
	cpu_state_free(before);
	cpu_state_free(found);
}

static bool
free_memory_written(const struct microvm *micro)
{
	unsigned i;

	for (i = 0; i < 4096; i++)
		if (micro->ram[MICRO_FREE + i] != 0)
			return true;
	return false;
}

/*
 * Where KVM can leave them to libfork, it never sees what the guest writes and
 * never writes the guest's memory. Elsewhere it does, and a load ends it.
 */
Test(state, clock_msrs_that_the_guest_writes_are_its_own_and_undone)
{
	static const uint32_t writing[] = {
	    MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_SYSTEM_TIME};
	/* With bits that switch something on; KVM has the rest as it is. */
	static const struct {
		uint32_t index;
		uint64_t value;
	} quiet[] = {
	    {MSR_KVM_STEAL_TIME, MICRO_FREE | 1},
	    {MSR_KVM_PV_EOI_EN, MICRO_FREE | 1},
	    {MSR_KVM_ASYNC_PF_EN, MICRO_FREE | 9},
	    {MSR_KVM_WALL_CLOCK_NEW, MICRO_FREE},
	    {MSR_KVM_WALL_CLOCK, MICRO_FREE},
	};
	struct vm_recipe holding = recipe;
	struct microvm micro;
	unsigned i;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	for (i = 0; i < 2; i++)
		check_own_write(&micro, writing[i], MICRO_FREE | 1);
	cr_assert(free_memory_written(&micro));
	microvm_done(&micro);

	if (!microvm_device()->msr_filter)
		cr_skip_test("KVM here cannot leave chosen MSRs to libfork");
	holding.caps = VM_CAP_HOLD_CLOCKS;
	microvm_init(&micro, &holding);
	for (i = 0; i < 2; i++)
		check_own_write(&micro, writing[i], MICRO_FREE | 1);
	for (i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++)
		check_own_write(&micro, quiet[i].index, quiet[i].value);
	cr_assert_not(free_memory_written(&micro));
	microvm_done(&micro);
}

/* Hyper-V's timers are held as the LAPIC's, its clock page as KVM's. */
Test(state, hyperv_timers_that_the_guest_writes_are_its_own_and_undone)
{
	const struct vm_recipe holding = {
	    .vcpus = 1,
	    .irqchip = VM_IRQCHIP_LAPIC,
	    .caps =
		VM_CAP_HOLD_CLOCKS | VM_CAP_HOLD_TIMERS | VM_CAP_HYPERV_SYNIC,
	};
	struct microvm micro;
	struct lf_error error;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	if (!microvm_device()->hyperv_synic || !microvm_device()->msr_filter)
		cr_skip_test("KVM here has no Hyper-V timers, or cannot leave "
			     "chosen MSRs to libfork");
	microvm_init(&micro, &holding);
	cr_assert_eq(vcpu_set_interrupts(
			 vm_vcpu(micro.vm, 0), VCPU_INTERRUPTS_IPI, &error),
	    0);
	check_own_write(&micro, MSR_HV_REFERENCE_TSC, MICRO_FREE | 1);
	/* Auto-enabled, message to SINT 2; in 1 microsecond. */
	check_own_write(&micro, MSR_HV_STIMER0_CONFIG, 2 << 16 | 1 << 3);
	check_own_write(&micro, MSR_HV_STIMER0_CONFIG + 1, 10);
	check_own_write(&micro, MSR_HV_STIMER3_COUNT, 10);
	cr_assert_not(free_memory_written(&micro));
	microvm_done(&micro);
}

Test(state, timers_are_the_guests_but_not_kvms)
{
	struct microvm micro;
	struct vcpu *vcpu;
	struct cpu_state *state, *found;
	struct lf_error error;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	vcpu = vm_vcpu(micro.vm, 0);
	state = take(vcpu);
	cpu_lapic_write(&state->lapic, 0xf0, 0x1ff);
	cpu_lapic_write(&state->lapic, CPU_LAPIC_LVT_TIMER, 0x20040);
	cpu_lapic_write(&state->lapic, CPU_LAPIC_TIMER_INITIAL, 1000);
	cpu_lapic_write(&state->lapic, 0x3e0, 0xb);
	/* Expired before: its interrupt waits. */
	cpu_lapic_set_pending(&state->lapic, 0x40, true);
	cr_assert_eq(vcpu_set_interrupts(vcpu, VCPU_INTERRUPTS_IPI, &error), 0);
	load(vcpu, CPU_GROUP_ALL, state);
	found = take(vcpu);
	cr_assert_eq(
	    cpu_lapic_read(&found->lapic, CPU_LAPIC_LVT_TIMER), 0x20040);
	cr_assert_eq(
	    cpu_lapic_read(&found->lapic, CPU_LAPIC_TIMER_INITIAL), 1000);
	cr_assert(cpu_lapic_pending(&found->lapic, 0x40));
	cr_assert_eq(vcpu_state_verify(vcpu, CPU_GROUP_ALL, state, &error), 0,
	    "%s", error.message);
	cpu_state_free(state);
	cpu_state_free(found);
	microvm_done(&micro);
}

/*
 * A LAPIC is loaded under the APIC base that its registers are laid out for,
 * also when the base was changed since the vCPU ran.
 */
static void
check_base(struct microvm *micro, uint64_t base)
{
	static const uint8_t done[] = {DONE};
	struct vcpu *vcpu = vm_vcpu(micro->vm, 0);
	struct cpu_state *state;
	struct cpu_sregs other;
	struct lf_error error;
	struct lf_exit exit;

	microvm_code(micro, done, sizeof(done));
	microvm_start(micro, 0, 3, 0);
	state = take(vcpu);
	cpu_lapic_write(&state->lapic, LAPIC_LDR, 0x05000000);
	load(vcpu, CPU_GROUP_ALL, state);
	microvm_run(micro, 0, &exit);
	load(vcpu, CPU_GROUP_ALL, state);

	other = state->sregs;
	other.apic_base = base;
	cr_assert_eq(
	    vcpu_set_sregs(vcpu, &other, &error), 0, "%s", error.message);
	load(vcpu, CPU_GROUP_ALL, state);
	microvm_run(micro, 0, &exit);
	cr_assert_eq(vcpu_state_verify(vcpu, CPU_GROUP_LAPIC, state, &error), 0,
	    "base was 0x%" PRIx64 ": %s", base, error.message);
	cpu_state_free(state);
}

Test(state, a_lapic_is_loaded_under_its_own_base)
{
	struct microvm micro;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	microvm_init(&micro, &recipe);
	check_base(&micro, 0xfee00900 | APIC_BASE_X2APIC);
	check_base(&micro, 0xfee00900 & ~APIC_BASE_ENABLED);
	microvm_done(&micro);
}

Test(state, the_tsc_goes_on_where_the_state_says)
{
	const uint64_t wanted = 1ULL << 45;
	struct microvm micro;
	struct vcpu *vcpu;
	struct cpu_state *state, *found;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	if (!microvm_device()->tsc_offset)
		cr_skip_test("the TSC's offset has no effect here");
	microvm_init(&micro, &recipe);
	vcpu = vm_vcpu(micro.vm, 0);
	state = take(vcpu);
	state->tsc.tsc = wanted;
	load(vcpu, CPU_GROUP_TSC, state);
	found = take(vcpu);
	cr_assert_geq(found->tsc.tsc, wanted);
	/* Less than a second later. */
	cr_assert_lt(found->tsc.tsc - wanted, 1000ULL * found->tsc.khz);
	cpu_state_free(state);
	cpu_state_free(found);
	microvm_done(&micro);
}
