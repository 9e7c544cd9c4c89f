/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forks a guest of 12 bytes, runs it, resets it 100,000 times and prints the
 * rate. cc reset.c $(pkg-config --cflags --libs libfork); ./a.out [COUNT]
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <libfork/libfork.h>

static struct lf_error error;

static void
must(int rc)
{
	if (rc < 0)
		errx(1, "%s", error.message);
}

/* Three levels of page tables, the last with a page of 2 MiB, and the code,
 * again: incq 0x6000; out %al,$0x80; jmp again */
static unsigned long memory[0x8000 / 8] = {[0x1000 / 8] = 0x2000 | 7,
    [0x2000 / 8] = 0x3000 | 7,
    [0x3000 / 8] = 0x87,
    [0x4000 / 8] = 0x60002504ff48,
    0xf4eb80e6};

int
main(int argc, char **argv)
{
	struct lf_vcpu_regs regs = {.rip = 0x4000,
	    .rflags = 0x3002 /* IOPL */,
	    .cr0 = 0x80050033,
	    .cr3 = 0x1000,
	    .cr4 = 0x620,
	    .efer = 0xd01};
	struct lf_snapshot_builder *parts;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	struct lf_exit stop;
	long i, count = argc > 1 ? atol(argv[1]) : 100000;
	time_t begin;

	regs.cs = (struct lf_segment){0, 0xffffffff, 0x33, 0xa0fb};
	regs.tr = (struct lf_segment){0, 0x67, 0x40, 0x8b};
	regs.ss = (struct lf_segment){0, 0xffffffff, 0x2b, 0xc0f3};
	regs.ds = regs.es = regs.fs = regs.gs = regs.ss;
	must(lf_snapshot_builder_new(&parts, &error));
	must(lf_snapshot_builder_add_buffer(
	    parts, memory, sizeof(memory), sizeof(memory), &error));
	must(lf_snapshot_builder_add_range(
	    parts, 0, sizeof(memory), 0, 0, 0, &error));
	must(lf_snapshot_builder_add_vcpu(parts, &regs, &error));
	must(lf_snapshot_builder_finish(parts, &snapshot, &error));

	must(lf_domain_fork(snapshot, NULL, &domain, &error));
	for (begin = time(NULL), i = 0; i < count; i++) {
		must(lf_domain_run(domain, &stop, &error));
		must(lf_domain_reset(domain, &error));
	}
	printf("%ld a second; the last one ended in: %s\n",
	    count / (time(NULL) - begin + 1), lf_exit_name(&stop));
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
	lf_snapshot_builder_free(parts);
	return 0;
}
