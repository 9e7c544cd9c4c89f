/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which interrupts reach a fork, by policy: the guest irq.c arms its timer,
 * sends IPIs and NMIs, faults, shoots down another vCPU's TLB. Kernel-mode
 * code, so on hardware or in the lab.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <string.h>

#include "guest/micro/irq.h"
#include "lib/microvm.h"

static void
skip_without_native(void)
{
	if (microvm_why_not_native()[0] != '\0')
		cr_skip_test("%s", microvm_why_not_native());
}

static struct irq_shared *
shared(struct microvm *micro)
{
	return (struct irq_shared *)(micro->ram + MICRO_SHARED);
}

static struct vm_recipe
recipe_of(unsigned vcpus)
{
	return (struct vm_recipe){.vcpus = vcpus, .irqchip = VM_IRQCHIP_LAPIC};
}

/* A parent whose vCPU n has run up to the point where it says done. */
static void
make_parent(struct microvm *micro, unsigned vcpus, const enum irq_job *jobs)
{
	const struct vm_recipe recipe = recipe_of(vcpus);
	struct lf_exit exit;
	struct lf_error error;
	unsigned i;

	microvm_init(micro, &recipe);
	microvm_load(micro, "irq");
	for (i = 0; i < vcpus; i++) {
		microvm_start(micro, i, 0, jobs[i]);
		microvm_run(micro, i, &exit);
		cr_assert_eq(
		    exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
		cr_assert_eq(
		    vcpu_answer_nobody(vm_vcpu(micro->vm, i), &error), 0);
		cr_assert_eq(vcpu_settle(vm_vcpu(micro->vm, i), &error), 0,
		    "%s", error.message);
	}
}

/* Runs a fork until a counter of it is above `wanted`. */
static void
fork_and_reach(struct microvm *fork, struct microvm *parent, unsigned vcpus,
    enum vcpu_interrupts interrupts, size_t counter, uint64_t wanted)
{
	const struct vm_recipe recipe = recipe_of(vcpus);

	microvm_fork(fork, parent, &recipe, interrupts);
	cr_assert(microvm_run_until(fork,
		      (volatile uint64_t *)(fork->ram + MICRO_SHARED + counter),
		      wanted),
	    "the counter at %zu is not above %lu", counter, wanted);
}

#define COUNTER(member) offsetof(struct irq_shared, member)

static void
fork_and_run(struct microvm *fork, struct microvm *parent, unsigned vcpus,
    enum vcpu_interrupts interrupts, unsigned milliseconds)
{
	const struct vm_recipe recipe = recipe_of(vcpus);

	microvm_fork(fork, parent, &recipe, interrupts);
	microvm_run_for(fork, milliseconds);
}

Test(interrupts, an_armed_timer_arrives_only_where_all_do)
{
	static const enum irq_job job = IRQ_ARM;
	struct microvm parent, fork;

	skip_without_native();
	make_parent(&parent, 1, &job);

	fork_and_reach(&fork, &parent, 1, VCPU_INTERRUPTS_BLOCK,
	    COUNTER(cpu[0].loops), 100);
	microvm_run_for(&fork, 100);
	cr_assert_gt(shared(&fork)->cpu[0].fault, 0);
	cr_assert_eq(shared(&fork)->cpu[0].timer, 0);
	microvm_done(&fork);

	/* And for longer than the timer takes. */
	fork_and_reach(
	    &fork, &parent, 1, VCPU_INTERRUPTS_IPI, COUNTER(cpu[0].fault), 100);
	microvm_run_for(&fork, 100);
	cr_assert_eq(shared(&fork)->cpu[0].timer, 0);
	microvm_done(&fork);

	fork_and_reach(
	    &fork, &parent, 1, VCPU_INTERRUPTS_ALL, COUNTER(cpu[0].timer), 1);
	microvm_done(&fork);
	microvm_done(&parent);
}

Test(interrupts, an_ipi_and_an_nmi_are_held_back_by_block_only)
{
	static const enum irq_job job = IRQ_SELF;
	struct microvm parent, fork;

	skip_without_native();
	make_parent(&parent, 1, &job);

	fork_and_reach(&fork, &parent, 1, VCPU_INTERRUPTS_BLOCK,
	    COUNTER(cpu[0].loops), 100);
	cr_assert_eq(shared(&fork)->cpu[0].fault, 1);
	cr_assert_gt(shared(&fork)->cpu[0].loops, 0);
	cr_assert_eq(shared(&fork)->cpu[0].ipi, 0);
	cr_assert_eq(shared(&fork)->cpu[0].nmi, 0);
	microvm_done(&fork);

	fork_and_reach(
	    &fork, &parent, 1, VCPU_INTERRUPTS_IPI, COUNTER(cpu[0].loops), 100);
	cr_assert_eq(shared(&fork)->cpu[0].ipi, 1);
	cr_assert_eq(shared(&fork)->cpu[0].nmi, 1);
	cr_assert_eq(shared(&fork)->cpu[0].fault, 1);
	microvm_done(&fork);

	fork_and_reach(
	    &fork, &parent, 1, VCPU_INTERRUPTS_ALL, COUNTER(cpu[0].loops), 100);
	cr_assert_eq(shared(&fork)->cpu[0].ipi, 1);
	cr_assert_eq(shared(&fork)->cpu[0].nmi, 1);
	microvm_done(&fork);
	microvm_done(&parent);
}

Test(interrupts, ipis_between_vcpus_go_on_under_ipi)
{
	static const enum irq_job jobs[] = {IRQ_PING, IRQ_COUNT};
	struct microvm parent, fork;

	skip_without_native();
	make_parent(&parent, 2, jobs);
	fork_and_reach(
	    &fork, &parent, 2, VCPU_INTERRUPTS_IPI, COUNTER(rounds), 5);
	cr_assert_geq(shared(&fork)->cpu[1].ipi, shared(&fork)->rounds);
	microvm_done(&fork);
	/* What the policy is for: blocked, the sender waits for ever. */
	fork_and_run(&fork, &parent, 2, VCPU_INTERRUPTS_BLOCK, 100);
	cr_assert_eq(shared(&fork)->rounds, 0);
	microvm_done(&fork);
	microvm_done(&parent);
}

Test(interrupts, a_tlb_shootdown_completes_under_ipi)
{
	static const enum irq_job jobs[] = {IRQ_SHOOTDOWN, IRQ_READER};
	struct microvm parent, fork;

	skip_without_native();
	make_parent(&parent, 2, jobs);
	fork_and_reach(
	    &fork, &parent, 2, VCPU_INTERRUPTS_IPI, COUNTER(rounds), 5);
	cr_assert_gt(shared(&fork)->cpu[1].loops, 0);
	cr_assert_eq(shared(&fork)->stale, 0);
	microvm_done(&fork);
	fork_and_run(&fork, &parent, 2, VCPU_INTERRUPTS_BLOCK, 100);
	cr_assert_eq(shared(&fork)->rounds, 0);
	microvm_done(&fork);
	microvm_done(&parent);
}

/* A halted vCPU whose timer goes on under `all` is woken by it. */
Test(interrupts, a_halted_vcpu_is_woken_where_all_arrive)
{
	static const enum irq_job job = IRQ_ARM_HALT;
	struct microvm parent, fork;

	skip_without_native();
	make_parent(&parent, 1, &job);
	fork_and_reach(
	    &fork, &parent, 1, VCPU_INTERRUPTS_ALL, COUNTER(cpu[0].wakeups), 1);
	microvm_done(&fork);
	microvm_done(&parent);
}

/*
 * A vCPU that halts with an interrupt pending and blocked: KVM would spin. It
 * is found and parked, and from then on never given to KVM.
 */
Test(interrupts, a_halt_with_something_pending_is_found_and_parked)
{
	/* IPI 0x50 to itself, with interrupts off; then sti; hlt; for ever. */
	static const uint8_t code[] = {
	    0xb8, 0x10, 0x03, 0xe0, 0xfe,       /* mov eax, ICR high */
	    0xc7, 0x00, 0x00, 0x00, 0x00, 0x00, /* mov [rax], 0 */
	    0xb8, 0xf0, 0x00, 0xe0, 0xfe,       /* mov eax, SVR */
	    0xc7, 0x00, 0xff, 0x01, 0x00, 0x00, /* mov [rax], 0x1ff */
	    0xb8, 0x00, 0x03, 0xe0, 0xfe,       /* mov eax, ICR */
	    0xc7, 0x00, 0x50, 0x40, 0x00, 0x00, /* mov [rax], 0x4050 */
	    0xfb, 0xf4, 0xeb, 0xfd,             /* sti; 1: hlt; jmp 1b */
	};
	const struct vm_recipe recipe = recipe_of(1);
	struct microvm micro;
	struct cpu_state *state;
	struct lf_exit exit;
	struct lf_error error;
	struct vcpu *vcpu;
	uint64_t runs;
	unsigned i;

	skip_without_native();
	microvm_init(&micro, &recipe);
	microvm_code(&micro, code, sizeof(code));
	vcpu = vm_vcpu(micro.vm, 0);
	cr_assert_eq(vcpu_set_interrupts(vcpu, VCPU_INTERRUPTS_BLOCK, &error),
	    0, "%s", error.message);
	microvm_start(&micro, 0, 0, 0);
	/* Not found, this would never end. */
	microvm_run(&micro, 0, &exit);
	cr_assert_eq(exit.reason, LF_EXIT_IDLE, "%s", lf_exit_name(&exit));

	runs = vcpu_counters(vcpu)->runs;
	for (i = 0; i < 100; i++) {
		microvm_run(&micro, 0, &exit);
		cr_assert_eq(exit.reason, LF_EXIT_IDLE);
	}
	cr_assert_eq(vcpu_counters(vcpu)->runs, runs);

	/* Its state says halted, behind the HLT, with the IPI waiting. */
	state = vcpu_state_new(microvm_device());
	cr_assert_eq(vcpu_state_get(vcpu, CPU_GROUP_ALL, state, &error), 0);
	cr_assert_eq(state->mp_state, CPU_MP_HALTED);
	cr_assert_eq(state->regs.rip, MICRO_IMAGE + sizeof(code) - 2);
	cr_assert_eq(cpu_lapic_read(&state->lapic, 0x220), 1U << 16);
	cpu_state_free(state);
	microvm_done(&micro);
}
