/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine on KVM: what a fork of a micro-guest changed is undone by a reset,
 * its memory is where the map says, its exits are answered. Verification is on
 * wherever it is not itself what is tested.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "kvm/engine.h"
#include "lib/count.h"

TestSuite(engine, .init = engine_need_kvm);

/* --- reset --- */

static void
property(enum lf_reset_method method)
{
	const uint64_t ram = 16 * MIB;
	struct lf_snapshot *snapshot = engine_writing(ram);
	struct lf_domain *domain = engine_fork_verified(snapshot, method);
	unsigned long round, rounds = test_count(500, 100000);

	for (round = 0; round < rounds; round++) {
		unsigned times = 1 + (unsigned)random() % 2;

		while (times-- > 0) {
			engine_random_writes(domain, ram);
			engine_run_done(domain);
		}
		OK(lf_domain_reset(domain, &error));
	}
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, adaptive_reset_undoes_arbitrary_writes)
{
	property(LF_RESET_ADAPTIVE);
}

Test(engine, bitmap_reset_undoes_arbitrary_writes)
{
	property(LF_RESET_BITMAP);
}

Test(engine, dontneed_reset_undoes_arbitrary_writes)
{
	property(LF_RESET_DONTNEED);
}

Test(engine, code_that_the_guest_modified_is_the_old_code_after_a_reset)
{
	struct lf_snapshot *snapshot = engine_writing(4 * MIB);
	struct lf_domain *domain =
	    engine_fork_verified(snapshot, LF_RESET_ADAPTIVE);
	unsigned round;

	for (round = 0; round < 20; round++) {
		struct lf_vcpu_regs regs;
		/* hlt over the first instruction: the next pass crashes. */
		const struct micro_write list[2] = {{MICRO_CODE, 1, 0xf4}};
		struct lf_exit exit;

		OK(lf_memory_write(
		    domain, MICRO_LIST, list, sizeof(list), &error));
		engine_run_done(domain);
		exit = engine_run(domain);
		cr_assert_eq(
		    exit.reason, LF_EXIT_SHUTDOWN, "%s", lf_exit_name(&exit));
		cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_CRASHED);
		cr_assert_eq(lf_domain_run(domain, &exit, &error), -EINVAL);
		cr_assert_str_eq(error.message,
		    "a domain that is crashed cannot be run (reset)");
		OK(lf_domain_reset(domain, &error));
		cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_PAUSED);
		OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
		cr_assert_eq(regs.rip, MICRO_CODE);
	}
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, a_ring_that_overflows_in_one_run_loses_nothing)
{
	struct lf_snapshot *snapshot = engine_touching(4096, 32 * MIB);
	struct lf_domain *domain =
	    engine_fork_verified(snapshot, LF_RESET_ADAPTIVE);
	struct lf_counters counters;
	unsigned round, page;

	for (round = 0; round < 3; round++) {
		engine_run_done(domain);
		for (page = 0; page < 4096; page++)
			cr_assert_eq(
			    engine_word(domain, MICRO_DATA + page * 4096UL), 1);
		OK(lf_domain_reset(domain, &error));
	}
	lf_domain_counters(domain, &counters);
	cr_assert_gt(counters.ring_drains, 4096);
	/* With nested paging a page walk counts as a write of the tables. */
	cr_assert_geq(counters.set_pages, 4096);
	cr_assert_leq(counters.set_pages, 4096 + 4);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, hot_pages_are_written_without_faults)
{
	struct lf_snapshot *snapshot = engine_touching(64, 16 * MIB);
	struct lf_domain *domain =
	    engine_fork_verified(snapshot, LF_RESET_ADAPTIVE);
	struct lf_counters before, after;
	unsigned round;

	engine_run_done(domain);
	OK(lf_domain_reset(domain, &error));
	lf_domain_counters(domain, &before);
	for (round = 0; round < 90; round++) {
		engine_run_done(domain);
		OK(lf_domain_reset(domain, &error));
	}
	lf_domain_counters(domain, &after);
	cr_assert_eq(after.faults, before.faults);
	cr_assert_eq(after.pages_restored - before.pages_restored, 5760);
	cr_assert_geq(after.set_pages, 64);
	cr_assert_leq(after.set_pages, 64 + 4);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, counters_tell_what_was_done)
{
	enum { PAGES = 16, AGE = 100 };
	struct lf_snapshot *snapshot = engine_touching(PAGES, 16 * MIB);
	struct lf_domain *domain = engine_fork(snapshot);
	struct lf_counters now, before;
	unsigned i;

	lf_domain_counters(domain, &now);
	cr_assert_eq(now.runs, 0);
	cr_assert_eq(now.resets, 0);
	cr_assert_eq(now.faults, 0);
	cr_assert_eq(now.set_pages, 0);
	cr_assert_gt(now.ioctls, 0, "the fork's own");

	engine_run_done(domain);
	OK(lf_domain_reset(domain, &error));
	before = now;
	lf_domain_counters(domain, &now);
	cr_assert_geq(now.runs, 1);
	cr_assert_eq(now.resets, 1);
	cr_assert_geq(now.faults, PAGES);
	cr_assert_eq(now.set_pages, now.faults);
	cr_assert_eq(now.pages_restored + now.pages_unchanged, now.set_pages);
	cr_assert_geq(now.pages_restored, PAGES);
	cr_assert_eq(now.pages_dropped, 0);
	cr_assert_gt(now.ioctls, before.ioctls);

	/* Nothing runs: what was hot is found unchanged, and shared at last. */
	for (i = 0; i <= AGE; i++)
		OK(lf_domain_reset(domain, &error));
	before = now;
	lf_domain_counters(domain, &now);
	cr_assert_eq(now.runs, before.runs);
	cr_assert_eq(now.resets, AGE + 2);
	cr_assert_eq(now.faults, before.faults);
	cr_assert_eq(now.pages_restored, before.pages_restored);
	cr_assert_geq(now.pages_unchanged - before.pages_unchanged,
	    (AGE - 1) * before.set_pages);
	cr_assert_eq(now.pages_dropped, before.set_pages);
	cr_assert_eq(now.set_pages, 0);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, what_libfork_writes_is_undone_as_well)
{
	struct lf_snapshot *snapshot = engine_touching(1, 16 * MIB);
	enum lf_reset_method method;

	for (method = LF_RESET_ADAPTIVE; method <= LF_RESET_DONTNEED;
	     method++) {
		struct lf_domain *domain =
		    engine_fork_verified(snapshot, method);
		char text[9000];

		memset(text, 'x', sizeof(text));
		OK(lf_memory_write(
		    domain, 0x400ffe, text, sizeof(text), &error));
		cr_assert_eq(engine_word(domain, 0x402000), 0x7878787878787878);
		engine_run_done(domain);
		OK(lf_domain_reset(domain, &error));
		cr_assert_eq(engine_word(domain, 0x402000), 0);
		lf_domain_free(domain);
	}
	lf_snapshot_unref(snapshot);
}

Test(engine, a_group_left_out_is_found_by_verification)
{
	struct lf_fork_options options;
	struct lf_snapshot *snapshot;
	struct lf_vcpu_regs regs;
	struct lf_domain *domain;

	micro_regs(MICRO_FPU, &regs);
	regs.rbx = 0x1122334455667788;
	snapshot = micro_snapshot(4 * MIB, &regs, 1);
	lf_fork_options_init(&options);
	domain = engine_fork_with(snapshot, &options);
	engine_run_done(domain);
	OK(lf_domain_reset(domain, &error));
	OK(lf_domain_verify(domain, &error));
	lf_domain_free(domain);

	options.reset_groups &= ~LF_RESET_FPU;
	domain = engine_fork_with(snapshot, &options);
	engine_run_done(domain);
	OK(lf_domain_reset(domain, &error));
	cr_assert_eq(lf_domain_verify(domain, &error), -EILSEQ);
	cr_assert_not_null(strstr(error.message, "FPU"), "%s", error.message);
	lf_domain_free(domain);

	options.reset_groups = LF_RESET_ALL & ~LF_RESET_MEMORY;
	domain = engine_fork_with(snapshot, &options);
	engine_set_word(domain, 0x300000, 5);
	OK(lf_domain_reset(domain, &error));
	cr_assert_eq(lf_domain_verify(domain, &error), -EILSEQ);
	cr_assert_str_eq(error.message,
	    "memory differs from the snapshot: at 0x300000 it has 0x05, the "
	    "snapshot 0x00");
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

/* --- map --- */

Test(engine, ranges_files_and_holes_are_where_the_map_says)
{
	struct lf_snapshot_builder *builder = micro_builder(4 * MIB);
	struct lf_vcpu_regs regs;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	struct lf_exit exit;
	struct micro_write list[4] = {0};
	int file;

	file =
	    lf_snapshot_builder_add_buffer(builder, "rom!", 4, 1 * MIB, &error);
	OK(file);
	/* One part writable at two places, another one read-only. */
	OK(lf_snapshot_builder_add_range(
	    builder, 0x1000000, 0x10000, 1, 0x10000, 0, &error));
	OK(lf_snapshot_builder_add_range(
	    builder, 0x2000000, 0x10000, 1, 0x10000, 0, &error));
	OK(lf_snapshot_builder_add_range(
	    builder, 0x3000000, 0x10000, 1, 0, LF_RANGE_READONLY, &error));
	micro_regs(MICRO_WRITES, &regs);
	OK(lf_snapshot_builder_add_vcpu(builder, &regs, &error));
	OK(lf_snapshot_builder_finish(builder, &snapshot, &error));
	lf_snapshot_builder_free(builder);

	domain = engine_fork_verified(snapshot, LF_RESET_ADAPTIVE);
	list[0] = (struct micro_write){0x1000ff8, 8, 0x11};
	list[1] = (struct micro_write){0x200fff8, 8, 0x22};
	OK(lf_memory_write(domain, MICRO_LIST, list, sizeof(list), &error));
	engine_run_done(domain);
	cr_assert_eq(engine_word(domain, 0x2000ff8), 0x1111111111111111);
	cr_assert_eq(engine_word(domain, 0x100fff8), 0x2222222222222222);
	OK(lf_domain_reset(domain, &error));
	cr_assert_eq(engine_word(domain, 0x2000ff8), 0);

	/* A write to read-only memory and one to a hole exit. */
	list[0] = (struct micro_write){0x3000000, 1, 0x33};
	list[1].len = 0;
	OK(lf_memory_write(domain, MICRO_LIST, list, sizeof(list), &error));
	exit = engine_run(domain);
	cr_assert_eq(exit.reason, LF_EXIT_MMIO);
	cr_assert_eq(exit.mmio.gpa, 0x3000000);
	cr_assert(exit.mmio.write);
	cr_assert_eq(exit.mmio.data[0], 0x33);
	OK(lf_domain_reset(domain, &error));
	list[0].gpa = 0x1800000;
	OK(lf_memory_write(domain, MICRO_LIST, list, sizeof(list), &error));
	exit = engine_run(domain);
	cr_assert_eq(exit.reason, LF_EXIT_MMIO);
	cr_assert_eq(exit.mmio.gpa, 0x1800000);
	cr_assert_eq(
	    engine_word(domain, 0x3000000) & 0xffffffff, 0x216d6f72, "rom!");
	OK(lf_domain_reset(domain, &error));
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, regions_are_shared_with_the_guest_and_never_reset)
{
	int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
	int fd = memfd_create("region", MFD_CLOEXEC);
	struct lf_region regions[2] = {
	    {.gpa = MICRO_DATA + 0x1000, .length = 0x2000, .fd = fd},
	    {.gpa = 0x40000000 - 0x2000, .length = 0x2000, .fd = -1},
	};
	struct lf_snapshot *snapshot = engine_touching(4, 16 * MIB), *frozen;
	struct lf_fork_options options;
	struct lf_domain *domain, *child;
	uint64_t *segment = shmat(id, NULL, 0);
	uint64_t value;

	shmctl(id, IPC_RMID, NULL);
	cr_assert_eq(ftruncate(fd, 8192), 0);
	regions[1].address = segment;
	lf_fork_options_init(&options);
	options.verify_every = 1;
	options.regions = regions;
	options.region_count = 2;
	domain = engine_fork_with(snapshot, &options);

	engine_run_done(domain);
	cr_assert_eq(pread(fd, &value, 8, 0x1000), 8);
	cr_assert_eq(value, 1, "the guest wrote into the file");
	engine_set_word(domain, 0x40000000 - 0x2000, 77);
	cr_assert_eq(segment[0], 77);
	segment[1] = 78;
	cr_assert_eq(engine_word(domain, 0x40000000 - 0x2000 + 8), 78);
	OK(lf_domain_reset(domain, &error));
	cr_assert_eq(engine_word(domain, MICRO_DATA), 0);
	cr_assert_eq(engine_word(domain, MICRO_DATA + 0x1000), 1);
	cr_assert_eq(engine_word(domain, MICRO_DATA + 0x2000), 1);
	cr_assert_eq(engine_word(domain, MICRO_DATA + 0x3000), 0);
	cr_assert_eq(segment[0], 77);

	/* A snapshot has what the guest sees, as memory of its own. */
	OK(lf_domain_freeze(domain, &frozen, &error));
	child = engine_fork_verified(frozen, LF_RESET_ADAPTIVE);
	cr_assert_eq(engine_word(child, MICRO_DATA + 0x2000), 1);
	engine_run_done(child);
	OK(lf_domain_reset(child, &error));
	lf_domain_free(child);
	lf_domain_free(domain);
	lf_snapshot_unref(frozen);
	lf_snapshot_unref(snapshot);
	shmdt(segment);
	close(fd);
}

/* --- exits --- */

Test(engine, an_access_that_nobody_answers_is_made_again)
{
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	struct lf_vcpu_regs regs;
	struct lf_exit exit;
	unsigned i;

	micro_regs(MICRO_IN, &regs);
	snapshot = micro_snapshot(4 * MIB, &regs, 1);
	domain = engine_fork(snapshot);
	for (i = 0; i < 3; i++) {
		exit = engine_run(domain);
		cr_assert_eq(exit.reason, LF_EXIT_IO);
		cr_assert(!exit.io.write);
		cr_assert_eq(exit.io.size, 1);
	}
	OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
	cr_assert_geq(regs.rip, MICRO_CODE);
	cr_assert_eq(lf_domain_answer(domain, "ab", 2, &error), -EINVAL);
	exit = engine_run(domain);
	OK(lf_domain_answer(domain, "a", 1, &error));
	engine_run_done(domain);
	cr_assert_eq(engine_word(domain, MICRO_DATA), 'a');
	exit = engine_run(domain);
	cr_assert(!exit.io.write);
	OK(lf_domain_reset(domain, &error));
	exit = engine_run(domain);
	cr_assert(!exit.io.write);
	OK(lf_domain_answer(domain, "b", 1, &error));
	engine_run_done(domain);
	cr_assert_eq(engine_word(domain, MICRO_DATA), 'b');
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, policies_ignore_and_crash)
{
	useconds_t wait_us = 500;
	struct lf_fork_options options;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	struct lf_vcpu_regs regs;
	struct lf_exit exit;

	micro_regs(MICRO_IN, &regs);
	snapshot = micro_snapshot(4 * MIB, &regs, 1);
	lf_fork_options_init(&options);
	options.io_policy = LF_IO_CRASH;
	domain = engine_fork_with(snapshot, &options);
	exit = engine_run(domain);
	cr_assert_eq(exit.reason, LF_EXIT_IO);
	cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_CRASHED);
	cr_assert_str_eq(lf_domain_reason(domain),
	    "device access without a device model: port read: 0x80, 1 byte");
	lf_domain_free(domain);

	options.io_policy = LF_IO_IGNORE;
	domain = engine_fork_with(snapshot, &options);
	while (engine_word(domain, MICRO_DATA) == 0) {
		cr_assert_lt(wait_us, 40000000);
		OK(lf_domain_unpause(domain, &error));
		usleep(wait_us *= 2);
		OK(lf_domain_pause(domain, &error));
	}
	cr_assert_eq(engine_word(domain, MICRO_DATA), 0xff);
	lf_domain_free(domain);

	options.io_policy = LF_IO_LAUNCH;
	cr_assert_eq(
	    lf_domain_fork(snapshot, &options, &domain, &error), -ENOTSUP);
	lf_snapshot_unref(snapshot);
}
