/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Odd moments in which a vCPU can be frozen: an exception or an NMI waiting, in
 * the shadow of STI or MOV SS, halted, its timer armed, breakpoints set, other
 * page tables. Each can be loaded and verified, is missed when its group is
 * left out, and comes back, alone and together with others, whatever the vCPU
 * did meanwhile.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/arch.h"
#include "cpu/msr.h"
#include "lib/count.h"
#include "lib/microvm.h"

#define VECTOR_GP 13
#define VECTOR_PF 14
#define LAPIC_SVR 0x0f0

struct moment {
	const char *name;
	enum cpu_group_index group;
	/* Moments of one kind exclude each other. */
	enum { EVENT = 1, SHADOW, RUN_STATE, OTHER } kind;
	void (*make)(struct cpu_state *state);
};

static void
pending_exception(struct cpu_state *state)
{
	state->events.exception.pending = 1;
	state->events.exception.nr = VECTOR_PF;
	state->events.exception.has_error_code = 1;
	state->events.exception.error_code = 6;
	state->events.exception_has_payload = 1;
	state->events.exception_payload = 0x7ffff000;
}

static void
injected_exception(struct cpu_state *state)
{
	state->events.exception.injected = 1;
	state->events.exception.nr = VECTOR_GP;
	state->events.exception.has_error_code = 1;
}

static void
injected_interrupt(struct cpu_state *state)
{
	state->events.interrupt.injected = 1;
	state->events.interrupt.nr = 0x50;
}

static void
pending_nmi(struct cpu_state *state)
{
	state->events.nmi.pending = 1;
}

static void
inside_nmi(struct cpu_state *state)
{
	state->events.nmi.masked = 1;
}

static void
after_sti(struct cpu_state *state)
{
	state->events.interrupt.shadow = CPU_SHADOW_STI;
}

static void
after_mov_ss(struct cpu_state *state)
{
	state->events.interrupt.shadow = CPU_SHADOW_MOV_SS;
}

static void
halted(struct cpu_state *state)
{
	state->mp_state = CPU_MP_HALTED;
}

static void
armed_timer(struct cpu_state *state)
{
	cpu_lapic_write(&state->lapic, LAPIC_SVR, 0x1ff);
	cpu_lapic_write(&state->lapic, CPU_LAPIC_LVT_TIMER, 0x20040);
	cpu_lapic_write(&state->lapic, CPU_LAPIC_TIMER_INITIAL, 100000);
}

static void
expired_timer(struct cpu_state *state)
{
	armed_timer(state);
	cpu_lapic_set_pending(&state->lapic, 0x40, true);
}

static void
breakpoints(struct cpu_state *state)
{
	state->debugregs.db[0] = 0x12345;
	state->debugregs.db[3] = 0x54321;
	state->debugregs.dr7 = 0x482;
}

static void
other_tables(struct cpu_state *state)
{
	state->sregs.cr3 = MICRO_FREE;
	state->sregs.cr2 = 0xdead000;
}

static void
system_call(struct cpu_state *state)
{
	cr_assert_eq(cpu_state_set_msr(state, MSR_LSTAR, 0x1234, NULL), 0);
	cr_assert_eq(
	    cpu_state_set_msr(state, MSR_STAR, 0x33000800000000, NULL), 0);
}

static void
vectors(struct cpu_state *state)
{
	/* XMM7 and ST3 of the legacy area; both parts in use. */
	memset(state->xsave.bytes + 160 + 7 * 16, 0xa5, 16);
	memset(state->xsave.bytes + 32 + 3 * 16, 0x5a, 10);
	state->xsave.bytes[512] |= 3;
}

/* The upper half of YMM7, and the guest may use it. */
static void
avx(struct cpu_state *state)
{
	memset(state->xsave.bytes + microvm_avx_offset() + (size_t)7 * 16, 0xc3,
	    16);
	state->xsave.bytes[512] |= 7;
	state->sregs.cr4 |= CR4_OSXSAVE;
	state->xcrs.xcr0 = 7;
}

static const struct moment moments[] = {
    {"pending exception", CPU_INDEX_EVENTS, EVENT, pending_exception},
    {"injected exception", CPU_INDEX_EVENTS, EVENT, injected_exception},
    {"injected interrupt", CPU_INDEX_EVENTS, EVENT, injected_interrupt},
    {"pending NMI", CPU_INDEX_EVENTS, EVENT, pending_nmi},
    {"inside an NMI", CPU_INDEX_EVENTS, EVENT, inside_nmi},
    {"after STI", CPU_INDEX_EVENTS, SHADOW, after_sti},
    {"after MOV SS", CPU_INDEX_EVENTS, SHADOW, after_mov_ss},
    {"halted", CPU_INDEX_MP_STATE, RUN_STATE, halted},
    {"armed timer", CPU_INDEX_LAPIC, RUN_STATE, armed_timer},
    {"expired timer", CPU_INDEX_LAPIC, RUN_STATE, expired_timer},
    {"breakpoints", CPU_INDEX_DEBUGREGS, OTHER, breakpoints},
    {"other page tables", CPU_INDEX_SREGS, OTHER, other_tables},
    {"system calls", CPU_INDEX_MSRS, OTHER, system_call},
    {"vector registers", CPU_INDEX_XSAVE, OTHER, vectors},
    {"AVX registers", CPU_INDEX_XSAVE, OTHER, avx},
};

#define MOMENTS (sizeof(moments) / sizeof(moments[0]))

static bool
is_possible(const struct moment *moment)
{
	return moment->make != avx || microvm_avx_offset() != 0;
}

static const struct vm_recipe recipe = {
    .vcpus = 1, .irqchip = VM_IRQCHIP_LAPIC};

static struct lf_error error;

static void
need_kvm(void)
{
	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	srandom(7);
}

TestSuite(moments, .init = need_kvm);

static void
load(struct vcpu *vcpu, uint32_t groups, const struct cpu_state *state,
    const char *name)
{
	cr_assert_eq(
	    vcpu_state_set(vcpu, groups, state, vcpu_state_host_tsc(), &error),
	    0, "%s: %s", name, error.message);
}

static void
verify(struct vcpu *vcpu, const struct cpu_state *state, const char *name)
{
	cr_assert_eq(vcpu_state_verify(vcpu, CPU_GROUP_ALL, state, &error), 0,
	    "%s: %s", name, error.message);
}

/*
 * A vCPU at CPL 3 that changes registers and vectors and says done, for ever:
 * inc rbx; add r9, rax; movq xmm7, rbx; out; jmp.
 */
static struct cpu_state *
begin(struct microvm *micro)
{
	static const uint8_t code[] = {0x48, 0xff, 0xc3, 0x49, 0x01, 0xc1, 0x66,
	    0x48, 0x0f, 0x6e, 0xfb, 0xe6, MICRO_DONE_PORT, 0xeb, 0xf1};
	struct cpu_state *state = vcpu_state_new(microvm_device());
	struct vcpu *vcpu;

	microvm_init(micro, &recipe);
	vcpu = vm_vcpu(micro->vm, 0);
	cr_assert_eq(vcpu_set_interrupts(vcpu, VCPU_INTERRUPTS_BLOCK, &error),
	    0, "%s", error.message);
	microvm_code(micro, code, sizeof(code));
	microvm_start(micro, 0, 3, 0);
	cr_assert_eq(vcpu_state_get(vcpu, CPU_GROUP_ALL, state, &error), 0,
	    "%s", error.message);
	return state;
}

static struct cpu_state *
copy_of(const struct cpu_state *state)
{
	struct cpu_state *copy = cpu_state_new(state->xsave.len);
	uint8_t *bytes = copy->xsave.bytes;

	memcpy(bytes, state->xsave.bytes, state->xsave.len);
	*copy = *state;
	copy->xsave.bytes = bytes;
	return copy;
}

/* Loads where nothing waits, and lets it run up to the exit. */
static void
run_plain(struct microvm *micro, const struct cpu_state *plain)
{
	struct lf_exit exit;

	load(vm_vcpu(micro->vm, 0), CPU_GROUP_ALL, plain, "plain");
	microvm_run(micro, 0, &exit);
	cr_assert_eq(exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
}

Test(moments, each_comes_back_and_is_missed_when_left_out)
{
	struct microvm micro;
	struct cpu_state *plain = begin(&micro), *odd;
	struct vcpu *vcpu = vm_vcpu(micro.vm, 0);
	size_t i;

	for (i = 0; i < MOMENTS; i++) {
		const struct moment *moment = &moments[i];
		const char *title = cpu_group_title(moment->group);

		if (!is_possible(moment))
			continue;
		odd = copy_of(plain);
		moment->make(odd);
		run_plain(&micro, plain);
		load(vcpu, CPU_GROUP_ALL, odd, moment->name);
		verify(vcpu, odd, moment->name);

		run_plain(&micro, plain);
		load(vcpu, CPU_GROUP_ALL & ~(1U << moment->group), odd,
		    moment->name);
		cr_assert_eq(
		    vcpu_state_verify(vcpu, CPU_GROUP_ALL, odd, &error),
		    -EBADMSG, "%s: left out and not found", moment->name);
		cr_assert_not_null(strstr(error.message, title), "%s: %s",
		    moment->name, error.message);

		load(vcpu, CPU_GROUP_ALL, odd, moment->name);
		verify(vcpu, odd, moment->name);
		/* And away from it. */
		load(vcpu, CPU_GROUP_ALL, plain, moment->name);
		verify(vcpu, plain, moment->name);
		cpu_state_free(odd);
	}
	cpu_state_free(plain);
	microvm_done(&micro);
}

/* Some moments at once, one of each kind but the last. */
static struct cpu_state *
random_moment(const struct cpu_state *plain, char name[256])
{
	struct cpu_state *odd = copy_of(plain);
	unsigned kinds = 0;
	size_t i;

	name[0] = '\0';
	for (i = 0; i < MOMENTS; i++) {
		const struct moment *moment = &moments[i];

		if (random() % 3 != 0 || !is_possible(moment) ||
		    (moment->kind != OTHER && (kinds & 1U << moment->kind)))
			continue;
		kinds |= 1U << moment->kind;
		moment->make(odd);
		strcat(strcat(name, moment->name), ", ");
	}
	odd->regs.rbx = (uint64_t)random();
	odd->regs.r9 = (uint64_t)random() << 32;
	return odd;
}

Test(moments, any_of_them_together_come_back_after_whatever_was_done)
{
	struct microvm micro;
	struct cpu_state *plain = begin(&micro);
	struct vcpu *vcpu = vm_vcpu(micro.vm, 0);
	unsigned long round, rounds = test_count(500, 100000);
	char name[256];

	for (round = 0; round < rounds; round++) {
		struct cpu_state *odd = random_moment(plain, name);
		unsigned times = 1 + (unsigned)random() % 3;

		while (times-- > 0) {
			load(vcpu, CPU_GROUP_ALL, odd, name);
			verify(vcpu, odd, name);
			if (random() % 2 == 0)
				run_plain(&micro, plain);
		}
		cpu_state_free(odd);
	}
	cpu_state_free(plain);
	microvm_done(&micro);
}

/*
 * The shadow itself: the instruction behind STI or MOV SS exits, is taken
 * back, and stands in the shadow again.
 */
Test(moments, an_access_in_a_shadow_is_taken_back_into_it)
{
	static const struct {
		uint8_t code[8];
		uint8_t shadow;
	} cases[] = {
	    {{0xfb, 0xe6, MICRO_DONE_PORT}, CPU_SHADOW_STI},
	    {{0x8e, 0xd0, 0xe6, MICRO_DONE_PORT}, CPU_SHADOW_MOV_SS},
	};
	struct microvm micro;
	struct cpu_state *state, *again;
	struct lf_exit exit;
	struct vcpu *vcpu;
	size_t i;

	if (microvm_why_not_native()[0] != '\0')
		cr_skip_test("%s", microvm_why_not_native());
	for (i = 0; i < 2; i++) {
		microvm_init(&micro, &recipe);
		vcpu = vm_vcpu(micro.vm, 0);
		microvm_code(&micro, cases[i].code, sizeof(cases[i].code));
		microvm_start(&micro, 0, 0, 0);
		state = vcpu_state_new(microvm_device());
		again = vcpu_state_new(microvm_device());
		cr_assert_eq(
		    vcpu_state_get(vcpu, CPU_GROUP_ALL, state, &error), 0);
		state->regs.rflags &= ~(uint64_t)RFLAGS_IF;
		state->regs.rax = MICRO_KERNEL_DS;
		load(vcpu, CPU_GROUP_ALL, state, "start");
		microvm_run(&micro, 0, &exit);
		cr_assert_eq(
		    exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
		cr_assert_eq(vcpu_state_get(vcpu, CPU_GROUP_ALL, again, &error),
		    0, "%s", error.message);
		cr_assert(
		    again->events.interrupt.shadow & cases[i].shadow, "%zu", i);
		load(vcpu, CPU_GROUP_ALL, again, "shadow");
		verify(vcpu, again, "shadow");
		microvm_run(&micro, 0, &exit);
		cr_assert_eq(exit.reason, LF_EXIT_IO);
		load(vcpu, CPU_GROUP_ALL, again, "shadow");
		verify(vcpu, again, "shadow");
		cpu_state_free(state);
		cpu_state_free(again);
		microvm_done(&micro);
	}
}
