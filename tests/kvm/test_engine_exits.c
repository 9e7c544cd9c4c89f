/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine on KVM: exits that are no device access. MSRs that KVM leaves to
 * the user, and what KVM cannot go on with. Kernel-mode code where there is
 * some, so that a software KVM may be unable to do it.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <libfork/host.h>

#include "kvm/engine.h"
#include "lib/microvm.h"

TestSuite(engine_exits, .init = engine_need_kvm);

/* An address at which nothing is. */
#define HOLE 0x20000000UL

/* --- MSRs --- */

#define MSR 0x4bfffff0

/*
 * mov ecx, MSR; 1: rdmsr; mov [rdi], eax; mov [rdi+4], edx; inc eax; wrmsr;
 * out 0x80, al; jmp 1b
 */
static const uint8_t msr_code[] = {0xb9, 0xf0, 0xff, 0xff, 0x4b, 0x0f, 0x32,
    0x89, 0x07, 0x89, 0x57, 0x04, 0xff, 0xc0, 0x0f, 0x30, 0xe6, MICRO_PORT,
    0xeb, 0xf1};

static struct lf_domain *
fork_of_msr_code(bool exits)
{
	struct lf_fork_options options;
	struct lf_vcpu_regs regs;

	lf_fork_options_init(&options);
	options.msr_exits = exits;
	options.verify_every = 1;
	micro_regs(MICRO_COUNT, &regs);
	engine_privileged(&regs);
	return engine_fork_of_code(
	    msr_code, sizeof(msr_code), &regs, LF_IRQCHIP_NONE, &options);
}

static void
expect_msr(struct lf_domain *domain, bool write, uint64_t data)
{
	struct lf_exit exit = engine_run(domain);

	cr_assert_eq(exit.reason, LF_EXIT_MSR, "%s", lf_exit_name(&exit));
	cr_assert_eq(exit.msr.index, MSR);
	cr_assert_eq(exit.msr.write, write);
	cr_assert_eq(exit.msr.data, data, "0x%lx", exit.msr.data);
}

Test(engine_exits, unknown_msrs_are_answered_or_accessed_again)
{
	const uint64_t value = 0x1122334455667788;
	struct lf_domain *domain;
	struct lf_vcpu_regs regs;
	unsigned round, i;

	if (!microvm_device()->user_space_msr)
		cr_skip_test("this KVM keeps unknown MSRs to itself");
	domain = fork_of_msr_code(true);
	for (round = 0; round < 3; round++) {
		/* Nobody answers: it has not happened, and comes again. */
		for (i = 0; i < 3; i++)
			expect_msr(domain, false, 0);
		OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
		cr_assert_eq(regs.rip, ENGINE_CODE + 5);
		expect_msr(domain, false, 0);
		cr_assert_eq(
		    lf_domain_answer(domain, &value, 4, &error), -EINVAL);
		OK(lf_domain_answer(domain, &value, 8, &error));
		expect_msr(domain, true, value + 1);
		cr_assert_eq(engine_word(domain, MICRO_DATA), value);
		/* Once more, as nobody took it. */
		expect_msr(domain, true, value + 1);
		OK(lf_domain_answer(domain, NULL, 0, &error));
		engine_run_done(domain);
		expect_msr(domain, false, 0);
		OK(lf_domain_reset(domain, &error));
		cr_assert_eq(engine_word(domain, MICRO_DATA), 0);
	}
	lf_domain_free(domain);
}

Test(engine_exits, without_being_asked_for_unknown_msrs_fault)
{
	struct lf_domain *domain = fork_of_msr_code(false);
	struct lf_exit exit = engine_run(domain);

	/* #GP, and there is no IDT. */
	cr_assert_eq(exit.reason, LF_EXIT_SHUTDOWN, "%s", lf_exit_name(&exit));
	lf_domain_free(domain);
}

/* --- what KVM cannot go on with --- */

Test(engine_exits, what_kvm_cannot_emulate_is_shown_with_its_bytes)
{
	/* pshufb xmm0, [rbx]: no emulator of KVM's has it. */
	static const uint8_t code[] = {0x66, 0x0f, 0x38, 0x00, 0x03};
	struct lf_vcpu_regs regs;
	struct lf_domain *domain;
	struct lf_exit exit;
	unsigned round;

	micro_regs(MICRO_COUNT, &regs);
	regs.rbx = HOLE;
	domain = engine_fork_of_code(
	    code, sizeof(code), &regs, LF_IRQCHIP_NONE, NULL);
	for (round = 0; round < 3; round++) {
		exit = engine_run(domain);
		cr_assert_eq(
		    exit.reason, LF_EXIT_ERROR, "%s", lf_exit_name(&exit));
		cr_assert_eq(exit.internal.rip, ENGINE_CODE);
		if (microvm_device()->emulation_failure_bytes) {
			cr_assert_geq(exit.internal.insn_len, sizeof(code));
			cr_assert_eq(
			    memcmp(exit.internal.insn, code, sizeof(code)), 0);
			cr_assert_not_null(
			    strstr(lf_domain_reason(domain), "66 0f 38 00 03"),
			    "%s", lf_domain_reason(domain));
		}
		cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_CRASHED);
		cr_assert_eq(lf_domain_run(domain, &exit, &error), -EINVAL);
		OK(lf_domain_reset(domain, &error));
		OK(lf_domain_verify(domain, &error));
	}
	lf_domain_free(domain);
}
