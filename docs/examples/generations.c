/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forks of forks: a guest counts in its memory; it is frozen after every
 * hundred steps, and each snapshot is forked again. Then all generations are
 * asked where they began, in an order that has nothing to do with their age.
 */
#include <stdio.h>
#include <stdlib.h>

#include <libfork/libfork.h>

#define GENERATIONS 5
#define COUNTER     0x6000

static struct lf_error error;

static void
must(int rc)
{
	if (rc < 0) {
		fprintf(stderr, "%s\n", error.message);
		exit(1);
	}
}

/* The guest of reset.c. */
static struct lf_snapshot *
first_snapshot(void)
{
	static const unsigned char code[] = {0x48, 0xff, 0x04, 0x25, 0x00, 0x60,
	    0x00, 0x00, 0xe6, 0x80, 0xeb, 0xf4, 0x90};
	static unsigned long tables[0x4000 / 8];
	struct lf_segment data = {0, 0xffffffff, 0x2b, 0xc0f3};
	struct lf_vcpu_regs regs = {.rip = 0x4000,
	    .rflags = 0x3002,
	    .cs = {0, 0xffffffff, 0x33, 0xa0fb},
	    .ss = data,
	    .ds = data,
	    .es = data,
	    .fs = data,
	    .gs = data,
	    .tr = {0, 0x67, 0x40, 0x8b},
	    .cr0 = 0x80050033,
	    .cr3 = 0x1000,
	    .cr4 = 0x620,
	    .efer = 0xd01,
	    .apic_base = 0xfee00900};
	struct lf_snapshot_builder *builder;
	struct lf_snapshot *snapshot;

	tables[0x1000 / 8] = 0x2000 | 7;
	tables[0x2000 / 8] = 0x3000 | 7;
	tables[0x3000 / 8] = 0x87;
	must(lf_snapshot_builder_new(&builder, &error));
	must(lf_snapshot_builder_add_buffer(
	    builder, tables, sizeof(tables), 0x4000, &error));
	must(lf_snapshot_builder_add_buffer(
	    builder, code, sizeof(code), 0x10000, &error));
	must(
	    lf_snapshot_builder_add_range(builder, 0, 0x4000, 0, 0, 0, &error));
	must(lf_snapshot_builder_add_range(
	    builder, 0x4000, 0x10000, 1, 0, 0, &error));
	must(lf_snapshot_builder_add_vcpu(builder, &regs, &error));
	must(lf_snapshot_builder_finish(builder, &snapshot, &error));
	lf_snapshot_builder_free(builder);
	return snapshot;
}

/* Lets the guest make `count` steps; its port access says one is done. */
static void
step(struct lf_domain *domain, unsigned count)
{
	struct lf_exit stop;

	while (count-- > 0) {
		must(lf_domain_run(domain, &stop, &error));
		must(lf_domain_answer(domain, NULL, 0, &error));
	}
}

static unsigned long
counter(struct lf_domain *domain)
{
	unsigned long value;

	must(lf_memory_read(domain, COUNTER, &value, sizeof(value), &error));
	return value;
}

int
main(void)
{
	static const unsigned order[GENERATIONS] = {3, 0, 4, 1, 2};
	struct lf_snapshot *snapshots[GENERATIONS + 1];
	struct lf_domain *domains[GENERATIONS];
	unsigned i;

	snapshots[0] = first_snapshot();
	for (i = 0; i < GENERATIONS; i++) {
		must(lf_domain_fork(snapshots[i], NULL, &domains[i], &error));
		step(domains[i], 100);
		must(lf_domain_freeze(domains[i], &snapshots[i + 1], &error));
		must(lf_domain_thaw(domains[i], &error));
	}
	for (i = 0; i < GENERATIONS; i++) {
		unsigned n = order[i];

		printf("generation %u stands at %lu,", n, counter(domains[n]));
		must(lf_domain_reset(domains[n], &error));
		printf(" began at %lu\n", counter(domains[n]));
		lf_domain_free(domains[n]);
		lf_snapshot_unref(snapshots[n]);
	}
	lf_snapshot_unref(snapshots[GENERATIONS]);
	return 0;
}
