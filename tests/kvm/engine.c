/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots of the micro-guest, their forks, and what is done with them over
 * and over again.
 */
#include <config.h>

#include "kvm/engine.h"

#include <stdlib.h>

struct lf_error error;

void
engine_need_kvm(void)
{
	const char *why;

	if (!micro_usable(&why))
		cr_skip_test("%s", why);
	srandom(42);
}

struct lf_snapshot *
engine_touching(uint64_t pages, uint64_t ram)
{
	struct lf_vcpu_regs regs;

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = pages;
	regs.rax = 1;
	return micro_snapshot(ram, &regs, 1);
}

struct lf_snapshot *
engine_writing(uint64_t ram)
{
	struct lf_vcpu_regs regs;

	micro_regs(MICRO_WRITES, &regs);
	return micro_snapshot(ram, &regs, 1);
}

struct lf_domain *
engine_fork_with(
    struct lf_snapshot *snapshot, const struct lf_fork_options *options)
{
	struct lf_domain *domain;

	OK(lf_domain_fork(snapshot, options, &domain, &error));
	return domain;
}

struct lf_domain *
engine_fork(struct lf_snapshot *snapshot)
{
	return engine_fork_with(snapshot, NULL);
}

struct lf_domain *
engine_fork_verified(struct lf_snapshot *snapshot, enum lf_reset_method method)
{
	struct lf_fork_options options;

	lf_fork_options_init(&options);
	options.reset_method = method;
	options.verify_every = 1;
	return engine_fork_with(snapshot, &options);
}

struct lf_domain *
engine_fork_of_code(const void *code, size_t len,
    const struct lf_vcpu_regs *regs, enum lf_irqchip irqchip,
    const struct lf_fork_options *options)
{
	struct lf_snapshot_builder *builder = micro_builder(4 * MIB);
	struct lf_vcpu_regs begin = *regs;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;

	OK(lf_snapshot_builder_add_buffer(builder, code, len, 4096, &error));
	OK(lf_snapshot_builder_add_range(
	    builder, ENGINE_CODE, 4096, 1, 0, 0, &error));
	begin.rip = ENGINE_CODE;
	OK(lf_snapshot_builder_add_vcpu(builder, &begin, &error));
	OK(lf_snapshot_builder_set_irqchip(builder, irqchip, &error));
	OK(lf_snapshot_builder_finish(builder, &snapshot, &error));
	lf_snapshot_builder_free(builder);
	domain = engine_fork_with(snapshot, options);
	lf_snapshot_unref(snapshot);
	return domain;
}

void
engine_privileged(struct lf_vcpu_regs *regs)
{
	regs->cs.selector = 0x08;
	regs->cs.access = 0xa09b;
	regs->ss.selector = 0x10;
	regs->ss.access = 0xc093;
}

struct lf_exit
engine_run(struct lf_domain *domain)
{
	struct lf_exit exit;

	OK(lf_domain_run(domain, &exit, &error));
	return exit;
}

void
engine_run_done(struct lf_domain *domain)
{
	struct lf_exit exit = engine_run(domain);

	cr_assert_eq(exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
	cr_assert_eq(exit.io.port, MICRO_PORT);
	OK(lf_domain_answer(domain, NULL, 0, &error));
}

uint64_t
engine_word(struct lf_domain *domain, uint64_t gpa)
{
	uint64_t value;

	OK(lf_memory_read(domain, gpa, &value, sizeof(value), &error));
	return value;
}

void
engine_set_word(struct lf_domain *domain, uint64_t gpa, uint64_t value)
{
	OK(lf_memory_write(domain, gpa, &value, sizeof(value), &error));
}

/* Page tables, code that has run, low memory, and everything above. */
static uint64_t
random_place(uint64_t ram, uint64_t len)
{
	switch (random() % 8) {
	case 0: /* the page directory, behind the entries in use */
		return 0x3000 + 8 * 256 + (uint64_t)random() % 1000;
	case 1: /* behind the code */
		return MICRO_CODE + 2048 + (uint64_t)random() % 1000;
	case 2:
		return 0x100000 + (uint64_t)random() % (MIB - len);
	default:
		return MICRO_DATA +
		       (uint64_t)random() % (ram - MICRO_DATA - len);
	}
}

void
engine_random_writes(struct lf_domain *domain, uint64_t ram)
{
	struct micro_write list[33] = {0};
	unsigned count = (unsigned)random() % 32, i;

	for (i = 0; i < count; i++) {
		uint64_t gpa = random_place(ram, 20000);

		list[i].len = gpa < 0x100000 ? 1 + (uint64_t)random() % 24
					     : 1 + (uint64_t)random() % 20000;
		list[i].gpa = gpa;
		list[i].byte = (uint64_t)random() & 0xff;
	}
	OK(lf_memory_write(domain, MICRO_LIST, list, sizeof(list), &error));
}
