/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine on KVM, group by group of what a reset brings back: the guest
 * changes it, a reset undoes that, and one that leaves the group out is found
 * by verification, which names it.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "kvm/engine.h"
#include "lib/microvm.h"

TestSuite(engine_groups, .init = engine_need_kvm);

#define DONE      0xe6, MICRO_PORT
#define CODE(...) .code = {__VA_ARGS__}, .len = sizeof((uint8_t[]){__VA_ARGS__})

static const struct group_case {
	const char *name;
	unsigned group;
	bool kernel; /* at CPL 0, which a software KVM may not do right */
	bool idle;   /* ends by halting */
	uint8_t code[32];
	unsigned len;
	const char *found; /* in verification's message */
} cases[] = {
    /* mov [rdi], rsp */
    {"memory", LF_RESET_MEMORY, CODE(0x48, 0x89, 0x27, DONE),
	.found = "memory differs"},
    /* mov rbx, 42 */
    {"registers", LF_RESET_REGS, CODE(0x48, 0xc7, 0xc3, 42, 0, 0, 0, DONE),
	.found = "rbx"},
    /* fldpi; movq xmm3, rsp */
    {"FPU", LF_RESET_FPU, CODE(0xd9, 0xeb, 0x66, 0x48, 0x0f, 0x6e, 0xdc, DONE),
	.found = "FPU"},
    /* wrmsr LSTAR */
    {"MSRs", LF_RESET_MSRS, .kernel = true,
	CODE(0xb9, 0x82, 0, 0, 0xc0, 0xb8, 0x34, 0x12, 0, 0, 0x31, 0xd2, 0x0f,
	    0x30, DONE),
	.found = "MSR"},
    /* mov dr3, rsp */
    {"debug registers", LF_RESET_DEBUG, .kernel = true,
	CODE(0x0f, 0x23, 0xdc, DONE), .found = "debug registers"},
    /* sti; hlt */
    {"run state", LF_RESET_INTERRUPTS, .kernel = true, .idle = true,
	CODE(0xfb, 0xf4), .found = "run state"},
    /* rdtsc; edx += 0x1000; wrmsr TSC */
    {"TSC", LF_RESET_TSC, .kernel = true,
	CODE(0x0f, 0x31, 0x81, 0xc2, 0, 0x10, 0, 0, 0xb9, 0x10, 0, 0, 0, 0x0f,
	    0x30, DONE),
	.found = "time stamp counter"},
};

static struct lf_domain *
fork_of(const struct group_case *c, unsigned groups)
{
	struct lf_fork_options options;
	struct lf_vcpu_regs regs;

	lf_fork_options_init(&options);
	options.reset_groups = groups;
	micro_regs(MICRO_COUNT, &regs);
	if (c->kernel)
		engine_privileged(&regs);
	return engine_fork_of_code(
	    c->code, c->len, &regs, LF_IRQCHIP_LAPIC, &options);
}

static void
change(struct lf_domain *domain, const struct group_case *c)
{
	struct lf_exit exit = engine_run(domain);

	cr_assert_eq(exit.reason, c->idle ? LF_EXIT_IDLE : LF_EXIT_IO, "%s: %s",
	    c->name, lf_exit_name(&exit));
	if (!c->idle)
		OK(lf_domain_answer(domain, NULL, 0, &error));
}

static void
check_group(const struct group_case *c)
{
	struct lf_domain *domain = fork_of(c, LF_RESET_ALL);
	unsigned round;

	for (round = 0; round < 3; round++) {
		change(domain, c);
		cr_assert_eq(lf_domain_verify(domain, &error), -EILSEQ,
		    "%s: nothing was changed", c->name);
		OK(lf_domain_reset(domain, &error));
		cr_assert_eq(lf_domain_verify(domain, &error), 0, "%s: %s",
		    c->name, error.message);
	}
	lf_domain_free(domain);

	domain = fork_of(c, LF_RESET_ALL & ~c->group);
	change(domain, c);
	OK(lf_domain_reset(domain, &error));
	cr_assert_eq(lf_domain_verify(domain, &error), -EILSEQ,
	    "%s: left out and not found", c->name);
	cr_assert_not_null(
	    strstr(error.message, c->found), "%s: %s", c->name, error.message);
	lf_domain_free(domain);
}

Test(engine_groups, each_comes_back_and_is_missed_when_left_out)
{
	bool native = microvm_why_not_native()[0] == '\0';
	unsigned groups = 0;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].kernel && !native)
			continue;
		check_group(&cases[i]);
		groups |= cases[i].group;
	}
	if (native)
		cr_assert_eq(groups, LF_RESET_ALL, "a group has no case");
}
