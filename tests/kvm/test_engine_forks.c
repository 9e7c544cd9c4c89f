/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine on KVM: forks of forks, in this process and in others, from a
 * pool, and what is left of them.
 */
#include <config.h>

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "kvm/engine.h"
#include "lib/count.h"

TestSuite(engine_forks, .init = engine_need_kvm);

/* --- generations --- */

Test(engine_forks, forks_of_forks_16_deep_read_right_at_every_level)
{
	enum { DEPTH = 16 };
	struct lf_snapshot *snapshots[DEPTH + 1];
	struct lf_domain *domains[DEPTH];
	unsigned level, i, order[DEPTH], maps, before;

	snapshots[0] = engine_writing(8 * MIB);
	for (level = 0; level < DEPTH; level++) {
		/* Each level writes its number to its own and common pages. */
		struct micro_write list[4] = {
		    {0x400000 + level * 0x10000, 8, level + 1},
		    {0x600000, 8, level + 1},
		    {0x610000 + level * 4096, 4096, 0xee},
		};

		before = count_mappings();
		domains[level] =
		    engine_fork_verified(snapshots[level], LF_RESET_ADAPTIVE);
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
		engine_run_done(domains[level]);
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
			    engine_word(domains[level], 0x400000 + i * 0x10000),
			    wanted, "level %u reads the word of %u", level, i);
		}
		cr_assert_eq(engine_word(domains[level], 0x600000),
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
			cr_assert_eq(engine_word(domains[order[j]], 0x600000),
			    0x0101010101010101 * order[j]);
			engine_random_writes(domains[order[j]], 8 * MIB);
			engine_run_done(domains[order[j]]);
		}
	}
	lf_snapshot_unref(snapshots[DEPTH]);
}

Test(engine_forks, a_fork_begins_where_its_parent_was_frozen)
{
	struct lf_snapshot *snapshot = engine_touching(8, 16 * MIB), *frozen;
	struct lf_domain *parent = engine_fork(snapshot), *child;
	uint64_t i;

	for (i = 0; i < 5; i++)
		engine_run_done(parent);
	cr_assert_eq(engine_word(parent, MICRO_DATA), 5);
	OK(lf_domain_freeze(parent, &frozen, &error));
	cr_assert_eq(lf_domain_state(parent), LF_DOMAIN_FROZEN);
	cr_assert_lt(lf_domain_run(parent, &(struct lf_exit){0}, &error), 0);
	cr_assert_str_eq(
	    error.message, "a domain that is frozen cannot be run");
	child = engine_fork_verified(frozen, LF_RESET_ADAPTIVE);
	for (i = 0; i < 3; i++) {
		engine_run_done(child);
		cr_assert_eq(engine_word(child, MICRO_DATA), 6);
		OK(lf_domain_reset(child, &error));
		cr_assert_eq(engine_word(child, MICRO_DATA), 5);
	}
	OK(lf_domain_thaw(parent, &error));
	engine_run_done(parent);
	cr_assert_eq(engine_word(parent, MICRO_DATA), 6);
	OK(lf_domain_reset(parent, &error));
	cr_assert_eq(engine_word(parent, MICRO_DATA), 0);
	lf_domain_free(parent);
	lf_snapshot_unref(snapshot);
	engine_run_done(child);
	cr_assert_eq(engine_word(child, MICRO_DATA), 6);
	lf_domain_free(child);
	lf_snapshot_unref(frozen);
}

Test(engine_forks, a_snapshot_goes_to_another_process_without_being_copied)
{
	struct lf_snapshot *snapshot = engine_touching(8, 16 * MIB), *frozen;
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
		engine_run_done(child);
		_exit(engine_word(child, MICRO_DATA) == 3 &&
			      lf_snapshot_delta_bytes(frozen) > 0
			  ? 0
			  : 2);
	}
	close(sockets[1]);
	parent = engine_fork(snapshot);
	engine_run_done(parent);
	engine_run_done(parent);
	OK(lf_domain_freeze(parent, &frozen, &error));
	OK(lf_snapshot_send(sockets[0], frozen, &error));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	close(sockets[0]);
	lf_domain_free(parent);
	lf_snapshot_unref(frozen);
	lf_snapshot_unref(snapshot);
}

/* --- pools, leaks --- */

Test(engine_forks, forks_from_a_pool_are_like_others)
{
	struct lf_snapshot *snapshot = engine_touching(4, 16 * MIB);
	struct lf_fork_options options;
	struct lf_pool *pool;
	unsigned i;

	OK(lf_pool_new(3, &pool, &error));
	lf_fork_options_init(&options);
	options.pool = pool;
	options.verify_every = 1;
	for (i = 0; i < 12; i++) {
		struct lf_domain *domain = engine_fork_with(snapshot, &options);

		engine_run_done(domain);
		OK(lf_domain_reset(domain, &error));
		lf_domain_free(domain);
		if (i == 6)
			lf_pool_wait(pool);
	}
	lf_pool_free(pool);
	lf_snapshot_unref(snapshot);
	cr_assert_eq(lf_pool_new(0, &pool, &error), -EINVAL);
}

static int (*real_ioctl)(int fd, unsigned long request, void *arg);

static int
no_new_vm(int fd, unsigned long request, void *arg)
{
	if (request == KVM_CREATE_VM) {
		errno = EMFILE;
		return -1;
	}
	return real_ioctl(fd, request, arg);
}

/* As long as there are some, no VM is made for a fork. */
Test(engine_forks, shells_that_were_made_ahead_are_what_forks_get)
{
	enum { DEPTH = 3 };
	struct lf_domain *domains[2 * DEPTH + 1] = {NULL};
	struct lf_snapshot *snapshots[2];
	struct lf_fork_options options;
	struct lf_vcpu_regs regs;
	struct lf_pool *pool;
	unsigned i;

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = 1;
	snapshots[0] = micro_snapshot(4 * MIB, &regs, 1);
	snapshots[1] = micro_snapshot(8 * MIB, &regs, 2);
	OK(lf_pool_new(DEPTH, &pool, &error));
	lf_fork_options_init(&options);
	options.pool = pool;
	/* Two kinds: of one vCPU, and of two. */
	for (i = 0; i < 2; i++)
		lf_domain_free(engine_fork_with(snapshots[i], &options));
	lf_pool_wait(pool);
	real_ioctl = sys.ioctl;
	sys.ioctl = no_new_vm;
	for (i = 0; i < 2 * DEPTH; i++) {
		domains[i] = engine_fork_with(snapshots[i % 2], &options);
		engine_run_done(domains[i]);
		OK(lf_domain_reset(domains[i], &error));
		OK(lf_domain_verify(domains[i], &error));
	}
	cr_assert_eq(
	    lf_domain_fork(snapshots[0], &options, &domains[i], &error),
	    -EMFILE, "%s", error.message);
	sys.ioctl = real_ioctl;
	/* The pool could make none either, and tries again when a fork could.
	 */
	lf_domain_free(engine_fork_with(snapshots[0], &options));
	lf_pool_wait(pool);
	sys.ioctl = no_new_vm;
	lf_domain_free(engine_fork_with(snapshots[0], &options));
	sys.ioctl = real_ioctl;
	/* Forks go on without their pool. */
	lf_pool_free(pool);
	for (i = 0; i < 2 * DEPTH; i++) {
		engine_run_done(domains[i]);
		lf_domain_free(domains[i]);
	}
	lf_snapshot_unref(snapshots[0]);
	lf_snapshot_unref(snapshots[1]);
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

Test(engine_forks, forking_and_destroying_leaks_nothing)
{
	struct lf_snapshot *snapshot = engine_touching(16, 16 * MIB);
	unsigned long i, rounds = test_count(1000, 20000) + WARM_UP;
	struct held held = {0};

	for (i = 0; i < rounds; i++) {
		struct lf_domain *domain = engine_fork(snapshot);

		engine_run_done(domain);
		lf_domain_free(domain);
		if (i == WARM_UP)
			held = hold();
	}
	check_held(&held);
	cr_assert_eq(lf_snapshot_refs(snapshot), 1);
	lf_snapshot_unref(snapshot);
}

Test(engine_forks, resetting_leaks_nothing)
{
	struct lf_snapshot *snapshot = engine_touching(16, 16 * MIB);
	struct lf_domain *domain = engine_fork(snapshot);
	unsigned long i, rounds = test_count(10000, 1000000) + WARM_UP;
	struct held held = {0};

	for (i = 0; i < rounds; i++) {
		engine_run_done(domain);
		OK(lf_domain_reset(domain, &error));
		if (i == WARM_UP)
			held = hold();
	}
	OK(lf_domain_verify(domain, &error));
	check_held(&held);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}
