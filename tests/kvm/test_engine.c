/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine on KVM: forks of a micro-guest run, are reset, frozen and forked
 * again. Verification is on wherever it is not itself what is tested.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libfork/libfork.h>

#include "lib/count.h"
#include "lib/micro.h"

#define MIB 1048576UL

static struct lf_error error;

#define OK(call)                                                         \
	do {                                                             \
		int ok_rc = (call);                                      \
		cr_assert_geq(ok_rc, 0, "%s: %s", #call, error.message); \
	} while (0)

static void
need_kvm(void)
{
	const char *why;

	if (!micro_usable(&why))
		cr_skip_test("%s", why);
	srandom(42);
}

TestSuite(engine, .init = need_kvm);

static struct lf_snapshot *
touching(uint64_t pages, uint64_t ram)
{
	struct lf_vcpu_regs regs;

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = pages;
	regs.rax = 1;
	return micro_snapshot(ram, &regs, 1);
}

static struct lf_snapshot *
writing(uint64_t ram)
{
	struct lf_vcpu_regs regs;

	micro_regs(MICRO_WRITES, &regs);
	return micro_snapshot(ram, &regs, 1);
}

static struct lf_domain *
fork_with(struct lf_snapshot *snapshot, const struct lf_fork_options *options)
{
	struct lf_domain *domain;

	OK(lf_domain_fork(snapshot, options, &domain, &error));
	return domain;
}

static struct lf_domain *
fork_plain(struct lf_snapshot *snapshot)
{
	return fork_with(snapshot, NULL);
}

static struct lf_domain *
fork_verified(struct lf_snapshot *snapshot, enum lf_reset_method method)
{
	struct lf_fork_options options;

	lf_fork_options_init(&options);
	options.reset_method = method;
	options.verify_every = 1;
	return fork_with(snapshot, &options);
}

static struct lf_exit
run(struct lf_domain *domain)
{
	struct lf_exit exit;

	OK(lf_domain_run(domain, &exit, &error));
	return exit;
}

/* Runs until the guest says that it is done. */
static void
run_done(struct lf_domain *domain)
{
	struct lf_exit exit = run(domain);

	cr_assert_eq(exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
	cr_assert_eq(exit.io.port, MICRO_PORT);
	OK(lf_domain_answer(domain, NULL, 0, &error));
}

static uint64_t
word(struct lf_domain *domain, uint64_t gpa)
{
	uint64_t value;

	OK(lf_memory_read(domain, gpa, &value, sizeof(value), &error));
	return value;
}

static void
set_word(struct lf_domain *domain, uint64_t gpa, uint64_t value)
{
	OK(lf_memory_write(domain, gpa, &value, sizeof(value), &error));
}

/* --- reset --- */

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

static void
random_writes(struct lf_domain *domain, uint64_t ram)
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

static void
property(enum lf_reset_method method)
{
	const uint64_t ram = 16 * MIB;
	struct lf_snapshot *snapshot = writing(ram);
	struct lf_domain *domain = fork_verified(snapshot, method);
	unsigned long round, rounds = test_count(500, 100000);

	for (round = 0; round < rounds; round++) {
		unsigned times = 1 + (unsigned)random() % 2;

		while (times-- > 0) {
			random_writes(domain, ram);
			run_done(domain);
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
	struct lf_snapshot *snapshot = writing(4 * MIB);
	struct lf_domain *domain = fork_verified(snapshot, LF_RESET_ADAPTIVE);
	unsigned round;

	for (round = 0; round < 20; round++) {
		struct lf_vcpu_regs regs;
		/* hlt over the first instruction: the next pass crashes. */
		const struct micro_write list[2] = {{MICRO_CODE, 1, 0xf4}};
		struct lf_exit exit;

		OK(lf_memory_write(
		    domain, MICRO_LIST, list, sizeof(list), &error));
		run_done(domain);
		exit = run(domain);
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
	struct lf_snapshot *snapshot = touching(4096, 32 * MIB);
	struct lf_domain *domain = fork_verified(snapshot, LF_RESET_ADAPTIVE);
	struct lf_counters counters;
	unsigned round, page;

	for (round = 0; round < 3; round++) {
		run_done(domain);
		for (page = 0; page < 4096; page++)
			cr_assert_eq(
			    word(domain, MICRO_DATA + page * 4096UL), 1);
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
	struct lf_snapshot *snapshot = touching(64, 16 * MIB);
	struct lf_domain *domain = fork_verified(snapshot, LF_RESET_ADAPTIVE);
	struct lf_counters before, after;
	unsigned round;

	run_done(domain);
	OK(lf_domain_reset(domain, &error));
	lf_domain_counters(domain, &before);
	for (round = 0; round < 90; round++) {
		run_done(domain);
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

Test(engine, what_libfork_writes_is_undone_as_well)
{
	struct lf_snapshot *snapshot = touching(1, 16 * MIB);
	enum lf_reset_method method;

	for (method = LF_RESET_ADAPTIVE; method <= LF_RESET_DONTNEED;
	     method++) {
		struct lf_domain *domain = fork_verified(snapshot, method);
		char text[9000];

		memset(text, 'x', sizeof(text));
		OK(lf_memory_write(
		    domain, 0x400ffe, text, sizeof(text), &error));
		cr_assert_eq(word(domain, 0x402000), 0x7878787878787878);
		run_done(domain);
		OK(lf_domain_reset(domain, &error));
		cr_assert_eq(word(domain, 0x402000), 0);
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
	domain = fork_with(snapshot, &options);
	run_done(domain);
	OK(lf_domain_reset(domain, &error));
	OK(lf_domain_verify(domain, &error));
	lf_domain_free(domain);

	options.reset_groups &= ~LF_RESET_FPU;
	domain = fork_with(snapshot, &options);
	run_done(domain);
	OK(lf_domain_reset(domain, &error));
	cr_assert_eq(lf_domain_verify(domain, &error), -EILSEQ);
	cr_assert_not_null(strstr(error.message, "FPU"), "%s", error.message);
	lf_domain_free(domain);

	options.reset_groups = LF_RESET_ALL & ~LF_RESET_MEMORY;
	domain = fork_with(snapshot, &options);
	set_word(domain, 0x300000, 5);
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

	domain = fork_verified(snapshot, LF_RESET_ADAPTIVE);
	list[0] = (struct micro_write){0x1000ff8, 8, 0x11};
	list[1] = (struct micro_write){0x200fff8, 8, 0x22};
	OK(lf_memory_write(domain, MICRO_LIST, list, sizeof(list), &error));
	run_done(domain);
	cr_assert_eq(word(domain, 0x2000ff8), 0x1111111111111111);
	cr_assert_eq(word(domain, 0x100fff8), 0x2222222222222222);
	OK(lf_domain_reset(domain, &error));
	cr_assert_eq(word(domain, 0x2000ff8), 0);

	/* A write to read-only memory and one to a hole exit. */
	list[0] = (struct micro_write){0x3000000, 1, 0x33};
	list[1].len = 0;
	OK(lf_memory_write(domain, MICRO_LIST, list, sizeof(list), &error));
	exit = run(domain);
	cr_assert_eq(exit.reason, LF_EXIT_MMIO);
	cr_assert_eq(exit.mmio.gpa, 0x3000000);
	cr_assert(exit.mmio.write);
	cr_assert_eq(exit.mmio.data[0], 0x33);
	OK(lf_domain_reset(domain, &error));
	list[0].gpa = 0x1800000;
	OK(lf_memory_write(domain, MICRO_LIST, list, sizeof(list), &error));
	exit = run(domain);
	cr_assert_eq(exit.reason, LF_EXIT_MMIO);
	cr_assert_eq(exit.mmio.gpa, 0x1800000);
	cr_assert_eq(word(domain, 0x3000000) & 0xffffffff, 0x216d6f72, "rom!");
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
	struct lf_snapshot *snapshot = touching(4, 16 * MIB), *frozen;
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
	domain = fork_with(snapshot, &options);

	run_done(domain);
	cr_assert_eq(pread(fd, &value, 8, 0x1000), 8);
	cr_assert_eq(value, 1, "the guest wrote into the file");
	set_word(domain, 0x40000000 - 0x2000, 77);
	cr_assert_eq(segment[0], 77);
	segment[1] = 78;
	cr_assert_eq(word(domain, 0x40000000 - 0x2000 + 8), 78);
	OK(lf_domain_reset(domain, &error));
	cr_assert_eq(word(domain, MICRO_DATA), 0);
	cr_assert_eq(word(domain, MICRO_DATA + 0x1000), 1);
	cr_assert_eq(word(domain, MICRO_DATA + 0x2000), 1);
	cr_assert_eq(word(domain, MICRO_DATA + 0x3000), 0);
	cr_assert_eq(segment[0], 77);

	/* A snapshot has what the guest sees, as memory of its own. */
	OK(lf_domain_freeze(domain, &frozen, &error));
	child = fork_verified(frozen, LF_RESET_ADAPTIVE);
	cr_assert_eq(word(child, MICRO_DATA + 0x2000), 1);
	run_done(child);
	OK(lf_domain_reset(child, &error));
	lf_domain_free(child);
	lf_domain_free(domain);
	lf_snapshot_unref(frozen);
	lf_snapshot_unref(snapshot);
	shmdt(segment);
	close(fd);
}

/* --- generations --- */

Test(engine, forks_of_forks_16_deep_read_right_at_every_level)
{
	enum { DEPTH = 16 };
	struct lf_snapshot *snapshots[DEPTH + 1];
	struct lf_domain *domains[DEPTH];
	unsigned level, i, order[DEPTH], maps, before;

	snapshots[0] = writing(8 * MIB);
	for (level = 0; level < DEPTH; level++) {
		/* Each level writes its number to its own and common pages. */
		struct micro_write list[4] = {
		    {0x400000 + level * 0x10000, 8, level + 1},
		    {0x600000, 8, level + 1},
		    {0x610000 + level * 4096, 4096, 0xee},
		};

		before = count_mappings();
		domains[level] =
		    fork_verified(snapshots[level], LF_RESET_ADAPTIVE);
		maps = count_mappings() - before;
		/*
		 * At any depth: one range, two for each of the three runs
		 * (tables and list, own pages, common pages: neighbours are
		 * one), four of the VM.
		 */
		cr_assert_leq(maps, 1 + 2 * 3 + 4, "%u mappings at level %u",
		    maps, level);
		OK(lf_memory_write(
		    domains[level], MICRO_LIST, list, sizeof(list), &error));
		run_done(domains[level]);
		OK(lf_domain_freeze(
		    domains[level], &snapshots[level + 1], &error));
		OK(lf_domain_thaw(domains[level], &error));
		order[level] = level;
	}
	for (level = 0; level < DEPTH; level++) {
		for (i = 0; i < DEPTH; i++) {
			uint64_t wanted =
			    i <= level ? 0x0101010101010101 * (i + 1) : 0;

			cr_assert_eq(
			    word(domains[level], 0x400000 + i * 0x10000),
			    wanted, "level %u reads the word of %u", level, i);
		}
		cr_assert_eq(word(domains[level], 0x600000),
		    0x0101010101010101 * (level + 1));
	}
	/* Ancestors end in random order; the rest goes on and resets clean. */
	for (i = 0; i < DEPTH; i++) {
		unsigned other = (unsigned)random() % DEPTH, swap = order[i];

		order[i] = order[other];
		order[other] = swap;
	}
	for (i = 0; i < DEPTH; i++) {
		unsigned j;

		lf_domain_free(domains[order[i]]);
		lf_snapshot_unref(snapshots[order[i]]);
		for (j = i + 1; j < DEPTH; j++) {
			OK(lf_domain_reset(domains[order[j]], &error));
			cr_assert_eq(word(domains[order[j]], 0x600000),
			    0x0101010101010101 * order[j]);
			random_writes(domains[order[j]], 8 * MIB);
			run_done(domains[order[j]]);
		}
	}
	lf_snapshot_unref(snapshots[DEPTH]);
}

Test(engine, a_fork_begins_where_its_parent_was_frozen)
{
	struct lf_snapshot *snapshot = touching(8, 16 * MIB), *frozen;
	struct lf_domain *parent = fork_plain(snapshot), *child;
	uint64_t i;

	for (i = 0; i < 5; i++)
		run_done(parent);
	cr_assert_eq(word(parent, MICRO_DATA), 5);
	OK(lf_domain_freeze(parent, &frozen, &error));
	cr_assert_eq(lf_domain_state(parent), LF_DOMAIN_FROZEN);
	cr_assert_lt(lf_domain_run(parent, &(struct lf_exit){0}, &error), 0);
	cr_assert_str_eq(
	    error.message, "a domain that is frozen cannot be run");
	child = fork_verified(frozen, LF_RESET_ADAPTIVE);
	for (i = 0; i < 3; i++) {
		run_done(child);
		cr_assert_eq(word(child, MICRO_DATA), 6);
		OK(lf_domain_reset(child, &error));
		cr_assert_eq(word(child, MICRO_DATA), 5);
	}
	OK(lf_domain_thaw(parent, &error));
	run_done(parent);
	cr_assert_eq(word(parent, MICRO_DATA), 6);
	OK(lf_domain_reset(parent, &error));
	cr_assert_eq(word(parent, MICRO_DATA), 0);
	lf_domain_free(parent);
	lf_snapshot_unref(snapshot);
	run_done(child);
	cr_assert_eq(word(child, MICRO_DATA), 6);
	lf_domain_free(child);
	lf_snapshot_unref(frozen);
}

Test(engine, a_snapshot_goes_to_another_process_without_being_copied)
{
	struct lf_snapshot *snapshot = touching(8, 16 * MIB), *frozen;
	struct lf_domain *parent, *child;
	int sockets[2], status;
	pid_t pid;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	/* Before this process has a VM: KVM does not survive fork(2). */
	pid = fork();
	if (pid == 0) {
		close(sockets[0]);
		if (lf_snapshot_receive(sockets[1], &frozen, &error) < 0 ||
		    lf_domain_fork(frozen, NULL, &child, &error) < 0)
			_exit(1);
		run_done(child);
		_exit(word(child, MICRO_DATA) == 3 &&
			      lf_snapshot_delta_bytes(frozen) > 0
			  ? 0
			  : 2);
	}
	close(sockets[1]);
	parent = fork_plain(snapshot);
	run_done(parent);
	run_done(parent);
	OK(lf_domain_freeze(parent, &frozen, &error));
	OK(lf_snapshot_send(sockets[0], frozen, &error));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	close(sockets[0]);
	lf_domain_free(parent);
	lf_snapshot_unref(frozen);
	lf_snapshot_unref(snapshot);
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
	domain = fork_plain(snapshot);
	for (i = 0; i < 3; i++) {
		exit = run(domain);
		cr_assert_eq(exit.reason, LF_EXIT_IO);
		cr_assert(!exit.io.write);
		cr_assert_eq(exit.io.size, 1);
	}
	OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
	cr_assert_geq(regs.rip, MICRO_CODE);
	cr_assert_eq(lf_domain_answer(domain, "ab", 2, &error), -EINVAL);
	exit = run(domain);
	OK(lf_domain_answer(domain, "a", 1, &error));
	run_done(domain);
	cr_assert_eq(word(domain, MICRO_DATA), 'a');
	exit = run(domain);
	cr_assert(!exit.io.write);
	OK(lf_domain_reset(domain, &error));
	exit = run(domain);
	cr_assert(!exit.io.write);
	OK(lf_domain_answer(domain, "b", 1, &error));
	run_done(domain);
	cr_assert_eq(word(domain, MICRO_DATA), 'b');
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, policies_ignore_and_crash)
{
	struct lf_fork_options options;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	struct lf_vcpu_regs regs;
	struct lf_exit exit;

	micro_regs(MICRO_IN, &regs);
	snapshot = micro_snapshot(4 * MIB, &regs, 1);
	lf_fork_options_init(&options);
	options.io_policy = LF_IO_CRASH;
	domain = fork_with(snapshot, &options);
	exit = run(domain);
	cr_assert_eq(exit.reason, LF_EXIT_IO);
	cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_CRASHED);
	cr_assert_str_eq(lf_domain_reason(domain),
	    "device access without a device model: port read: 0x80, 1 byte");
	lf_domain_free(domain);

	options.io_policy = LF_IO_IGNORE;
	domain = fork_with(snapshot, &options);
	do {
		OK(lf_domain_unpause(domain, &error));
		usleep(1000);
		OK(lf_domain_pause(domain, &error));
	} while (word(domain, MICRO_DATA) == 0);
	cr_assert_eq(word(domain, MICRO_DATA), 0xff);
	lf_domain_free(domain);

	options.io_policy = LF_IO_LAUNCH;
	cr_assert_eq(
	    lf_domain_fork(snapshot, &options, &domain, &error), -ENOTSUP);
	lf_snapshot_unref(snapshot);
}

/* --- threads --- */

static void *
stop_soon(void *opaque)
{
	usleep((useconds_t)(random() % 300));
	lf_domain_stop(opaque);
	return NULL;
}

static struct lf_snapshot *
counting(unsigned vcpus)
{
	struct lf_snapshot_builder *builder = micro_builder(4 * MIB);
	struct lf_snapshot *snapshot;
	unsigned i;

	for (i = 0; i < vcpus; i++) {
		struct lf_vcpu_regs regs;

		micro_regs(MICRO_COUNT, &regs);
		regs.rdi = MICRO_DATA + i * 4096;
		OK(lf_snapshot_builder_add_vcpu(builder, &regs, &error));
	}
	OK(lf_snapshot_builder_finish(builder, &snapshot, &error));
	lf_snapshot_builder_free(builder);
	return snapshot;
}

/* A fork whose counters can be looked at while it runs. */
static struct lf_domain *
fork_shared(
    struct lf_snapshot *snapshot, volatile uint64_t *counters, unsigned vcpus)
{
	struct lf_region region = {
	    .gpa = MICRO_DATA,
	    .length = vcpus * 4096,
	    .fd = -1,
	    .address = (void *)counters,
	};
	struct lf_fork_options options;

	lf_fork_options_init(&options);
	options.regions = &region;
	options.region_count = 1;
	return fork_with(snapshot, &options);
}

static void
stop_and_go(unsigned vcpus, unsigned long rounds)
{
	struct lf_snapshot *snapshot = counting(vcpus);
	struct lf_domain *domain = fork_verified(snapshot, LF_RESET_ADAPTIVE);
	volatile uint64_t *counters = mmap(NULL, vcpus * 4096,
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned long round;
	unsigned i;

	for (round = 0; round < rounds; round++) {
		struct lf_exit exit;
		pthread_t thread;

		pthread_create(&thread, NULL, stop_soon, domain);
		exit = run(domain);
		cr_assert_eq(exit.reason, LF_EXIT_INTERRUPTED);
		pthread_join(thread, NULL);
		OK(lf_domain_reset(domain, &error));
		for (i = 0; i < vcpus; i++)
			cr_assert_eq(word(domain, MICRO_DATA + i * 4096), 0);
	}
	lf_domain_free(domain);
	/* All of them run: one that is not woken lets this never end. */
	domain = fork_shared(snapshot, counters, vcpus);
	OK(lf_domain_unpause(domain, &error));
	for (i = 0; i < vcpus; i++)
		while (counters[i * 512] == 0)
			usleep(1000);
	lf_domain_free(domain);
	munmap((void *)counters, vcpus * 4096);
	lf_snapshot_unref(snapshot);
}

Test(engine, one_vcpu_stops_and_runs_again_without_a_lost_wakeup)
{
	stop_and_go(1, test_count(200, 10000));
}

Test(engine, two_vcpus_stop_and_run_again_without_a_lost_wakeup)
{
	stop_and_go(2, test_count(200, 10000));
}

Test(engine, four_vcpus_stop_and_run_again_without_a_lost_wakeup)
{
	stop_and_go(4, test_count(100, 10000));
}

/* A child's thread is another one than that which called fork(2). */
Test(engine, a_stop_is_seen_in_a_child_process_too)
{
	struct lf_snapshot *snapshot = counting(1);
	struct lf_domain *domain;
	pthread_t thread;
	int status;
	pid_t pid;

	/* This thread has run vCPUs already. */
	domain = fork_plain(snapshot);
	lf_domain_stop(domain);
	cr_assert_eq(run(domain).reason, LF_EXIT_INTERRUPTED);
	lf_domain_free(domain);
	pid = fork();
	if (pid == 0) {
		bool stopped;

		alarm(20);
		domain = fork_plain(snapshot);
		pthread_create(&thread, NULL, stop_soon, domain);
		stopped = run(domain).reason == LF_EXIT_INTERRUPTED;
		pthread_join(thread, NULL);
		_exit(stopped ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	lf_snapshot_unref(snapshot);
}

Test(engine, a_stop_before_the_run_ends_it)
{
	struct lf_snapshot *snapshot = counting(1);
	struct lf_domain *domain = fork_plain(snapshot);

	lf_domain_stop(domain);
	cr_assert_eq(run(domain).reason, LF_EXIT_INTERRUPTED);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, several_vcpus_that_exit_at_once_are_all_heard)
{
	struct lf_vcpu_regs regs;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	unsigned long seen[3] = {0}, wanted = test_count(30, 1000);

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = 1;
	snapshot = micro_snapshot(4 * MIB, &regs, 3);
	domain = fork_verified(snapshot, LF_RESET_ADAPTIVE);
	/* One that is not heard lets this never end. */
	while (seen[0] < wanted || seen[1] < wanted || seen[2] < wanted) {
		struct lf_exit exit = run(domain);

		cr_assert_eq(exit.reason, LF_EXIT_IO);
		seen[exit.vcpu]++;
		OK(lf_domain_answer(domain, NULL, 0, &error));
	}
	OK(lf_domain_reset(domain, &error));
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

/*
 * Looking at registers ends the access that a vCPU stands in by taking it
 * back: what was left to be told of it is no longer true.
 */
Test(engine, an_exit_that_was_taken_back_before_it_was_told_is_not_told)
{
	struct lf_vcpu_regs regs;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	unsigned long round, rounds = test_count(1000, 20000);
	unsigned i;

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = 1;
	snapshot = micro_snapshot(4 * MIB, &regs, 3);
	domain = fork_verified(snapshot, LF_RESET_ADAPTIVE);
	for (round = 0; round < rounds; round++) {
		struct lf_exit exit = run(domain);

		cr_assert_eq(exit.reason, LF_EXIT_IO);
		OK(lf_domain_answer(domain, NULL, 0, &error));
		for (i = 0; i < 3; i++)
			OK(lf_vcpu_read_regs(domain, i, &regs, &error));
	}
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

/* The run had ended by itself: the pause is not the end of the next one. */
Test(engine, pausing_a_domain_that_stopped_by_itself_leaves_no_stop)
{
	struct lf_snapshot *snapshot = touching(4, 4 * MIB);
	struct lf_domain *domain = fork_plain(snapshot);
	struct pollfd pollfd = {.events = POLLIN};

	pollfd.fd = lf_domain_event_fd(domain);
	OK(lf_domain_unpause(domain, &error));
	cr_assert_eq(poll(&pollfd, 1, 60000), 1);
	OK(lf_domain_pause(domain, &error));
	cr_assert_str_eq(
	    lf_domain_reason(domain), "port write: 0x80, 1 byte: 02");
	OK(lf_domain_reset(domain, &error));
	run_done(domain);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

/* Asked for after the end, the descriptor has to tell of it all the same. */
Test(engine, an_end_before_anybody_asked_for_the_descriptor_is_reported)
{
	struct lf_snapshot *snapshot = touching(4, 4 * MIB);
	struct lf_domain *domain = fork_plain(snapshot);
	struct pollfd pollfd = {.events = POLLIN};
	struct lf_exit exit;

	OK(lf_domain_unpause(domain, &error));
	usleep(200000);
	pollfd.fd = lf_domain_event_fd(domain);
	cr_assert_eq(poll(&pollfd, 1, 20000), 1);
	cr_assert_eq(lf_domain_dispatch(domain, &exit, &error), 1);
	cr_assert_eq(exit.reason, LF_EXIT_IO);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, a_domain_that_crashed_in_the_background_is_not_frozen)
{
	struct lf_snapshot *snapshot, *frozen = NULL;
	struct lf_domain *domain;
	struct lf_vcpu_regs regs;
	struct pollfd pollfd = {.events = POLLIN};

	micro_regs(MICRO_CRASH, &regs);
	snapshot = micro_snapshot(4 * MIB, &regs, 1);
	domain = fork_plain(snapshot);
	pollfd.fd = lf_domain_event_fd(domain);
	OK(lf_domain_unpause(domain, &error));
	cr_assert_eq(poll(&pollfd, 1, 60000), 1);
	cr_assert_eq(lf_domain_freeze(domain, &frozen, &error), -EINVAL);
	cr_assert_str_eq(
	    error.message, "a domain that is crashed cannot be frozen (reset)");
	cr_assert_null(frozen);
	cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_CRASHED);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine, a_domain_in_the_background_reports_by_its_descriptor)
{
	struct lf_snapshot *snapshot = touching(4, 4 * MIB);
	struct lf_domain *domain = fork_plain(snapshot);
	struct pollfd pollfd = {.events = POLLIN};
	struct lf_exit exit;
	uint64_t value;

	pollfd.fd = lf_domain_event_fd(domain);
	cr_assert_geq(pollfd.fd, 0);
	OK(lf_domain_unpause(domain, &error));
	cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_RUNNING);
	cr_assert_eq(
	    lf_memory_read(domain, MICRO_DATA, &value, 8, &error), -EBUSY);
	cr_assert_eq(poll(&pollfd, 1, 60000), 1);
	cr_assert_eq(lf_domain_dispatch(domain, &exit, &error), 1);
	cr_assert_eq(exit.reason, LF_EXIT_IO);
	cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_PAUSED);
	cr_assert_eq(poll(&pollfd, 1, 0), 0);
	cr_assert_eq(lf_domain_dispatch(domain, &exit, &error), 0);
	cr_assert_eq(word(domain, MICRO_DATA), 1);
	OK(lf_domain_unpause(domain, &error));
	/* Freed while it runs. */
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

/* --- pools, leaks --- */

Test(engine, forks_from_a_pool_are_like_others)
{
	struct lf_snapshot *snapshot = touching(4, 16 * MIB);
	struct lf_fork_options options;
	struct lf_pool *pool;
	unsigned i;

	OK(lf_pool_new(3, &pool, &error));
	lf_fork_options_init(&options);
	options.pool = pool;
	options.verify_every = 1;
	for (i = 0; i < 12; i++) {
		struct lf_domain *domain = fork_with(snapshot, &options);

		run_done(domain);
		OK(lf_domain_reset(domain, &error));
		lf_domain_free(domain);
		if (i == 6)
			lf_pool_wait(pool);
	}
	lf_pool_free(pool);
	lf_snapshot_unref(snapshot);
	cr_assert_eq(lf_pool_new(0, &pool, &error), -EINVAL);
}

/*
 * What the process holds. What its first rounds leave behind is what libraries
 * set up once: the count begins after them.
 */
struct held {
	unsigned long fds, maps, kib;
};

#define WARM_UP 20

static struct held
hold(void)
{
	return (struct held){
	    count_descriptors(), count_mappings(), count_resident_kib()};
}

static void
check_held(const struct held *before)
{
	struct held now = hold();

	cr_assert_eq(now.fds, before->fds, "%lu descriptors, %lu before",
	    now.fds, before->fds);
	cr_assert_leq(now.maps, before->maps + 2, "%lu mappings, %lu before",
	    now.maps, before->maps);
	/* The sanitizer keeps what was freed, and looks for leaks itself. */
#if !defined(__SANITIZE_ADDRESS__)
	cr_assert_leq(now.kib, before->kib + 512, "%lu KiB, %lu before",
	    now.kib, before->kib);
#endif
}

Test(engine, forking_and_destroying_leaks_nothing)
{
	struct lf_snapshot *snapshot = touching(16, 16 * MIB);
	unsigned long i, rounds = test_count(1000, 20000) + WARM_UP;
	struct held held = {0};

	for (i = 0; i < rounds; i++) {
		struct lf_domain *domain = fork_plain(snapshot);

		run_done(domain);
		lf_domain_free(domain);
		if (i == WARM_UP)
			held = hold();
	}
	check_held(&held);
	cr_assert_eq(lf_snapshot_refs(snapshot), 1);
	lf_snapshot_unref(snapshot);
}

Test(engine, resetting_leaks_nothing)
{
	struct lf_snapshot *snapshot = touching(16, 16 * MIB);
	struct lf_domain *domain = fork_plain(snapshot);
	unsigned long i, rounds = test_count(10000, 1000000) + WARM_UP;
	struct held held = {0};

	for (i = 0; i < rounds; i++) {
		run_done(domain);
		OK(lf_domain_reset(domain, &error));
		if (i == WARM_UP)
			held = hold();
	}
	OK(lf_domain_verify(domain, &error));
	check_held(&held);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}
