/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine on KVM: several vCPUs, stops from other threads, and domains that
 * run in the background. What is lost here lets a test never end.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/engine.h"
#include "lib/count.h"

TestSuite(engine_threads, .init = engine_need_kvm);

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

/* --- stops --- */

/* Code of these tests' own, and memory that is shared with the guest. */
#define CODE_AT   0x800000UL
#define SHARED_AT 0x20000000UL

/*
 * vCPUs that count, each for itself, in their own memory, which a reset brings
 * back, and in shared memory, which can be looked at while they run.
 */
static struct lf_domain *
fork_of_two_counters(
    unsigned vcpus, volatile uint64_t *shared, struct lf_fork_options *options)
{
	/* inc qword [rdi]; inc qword [rsi]; jmp back */
	static const uint8_t code[] = {
	    0x48, 0xff, 0x07, 0x48, 0xff, 0x06, 0xeb, 0xf8};
	const struct lf_region region = {
	    .gpa = SHARED_AT,
	    .length = vcpus * 4096,
	    .fd = -1,
	    .address = (void *)shared,
	};
	struct lf_snapshot_builder *builder = micro_builder(4 * MIB);
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	unsigned i;

	OK(lf_snapshot_builder_add_buffer(
	    builder, code, sizeof(code), 4096, &error));
	OK(lf_snapshot_builder_add_range(
	    builder, CODE_AT, 4096, 1, 0, 0, &error));
	for (i = 0; i < vcpus; i++) {
		struct lf_vcpu_regs regs;

		micro_regs(MICRO_COUNT, &regs);
		regs.rip = CODE_AT;
		regs.rdi = MICRO_DATA + i * 4096;
		regs.rsi = SHARED_AT + i * 4096;
		OK(lf_snapshot_builder_add_vcpu(builder, &regs, &error));
	}
	OK(lf_snapshot_builder_finish(builder, &snapshot, &error));
	lf_snapshot_builder_free(builder);
	options->regions = &region;
	options->region_count = 1;
	domain = engine_fork_with(snapshot, options);
	lf_snapshot_unref(snapshot);
	return domain;
}

struct stopper {
	struct lf_domain *domain;
	volatile uint64_t *shared;
	unsigned vcpus;
};

/* Once all of them have run: one that is not woken lets this never end. */
static void *
stop_when_all_ran(void *opaque)
{
	const struct stopper *stopper = opaque;
	uint64_t before[8];
	unsigned i;

	for (i = 0; i < stopper->vcpus; i++)
		before[i] = stopper->shared[i * 512];
	for (i = 0; i < stopper->vcpus; i++)
		while (stopper->shared[i * 512] == before[i])
			usleep(50);
	lf_domain_stop(stopper->domain);
	return NULL;
}

static void
stop_and_go(unsigned vcpus, unsigned long rounds)
{
	struct stopper stopper = {.vcpus = vcpus};
	struct lf_fork_options options;
	unsigned long round;
	unsigned i;

	stopper.shared = mmap(NULL, vcpus * 4096, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	lf_fork_options_init(&options);
	options.verify_every = 1;
	stopper.domain = fork_of_two_counters(vcpus, stopper.shared, &options);
	for (round = 0; round < rounds; round++) {
		struct lf_exit exit;
		pthread_t thread;

		/* At any moment, or at one that shows that all were woken. */
		if (round % 2 == 0)
			pthread_create(
			    &thread, NULL, stop_soon, stopper.domain);
		else
			pthread_create(
			    &thread, NULL, stop_when_all_ran, &stopper);
		exit = engine_run(stopper.domain);
		cr_assert_eq(exit.reason, LF_EXIT_INTERRUPTED);
		pthread_join(thread, NULL);
		if (round % 2 != 0)
			for (i = 0; i < vcpus; i++)
				cr_assert_neq(engine_word(stopper.domain,
						  MICRO_DATA + i * 4096),
				    0);
		OK(lf_domain_reset(stopper.domain, &error));
		for (i = 0; i < vcpus; i++)
			cr_assert_eq(
			    engine_word(stopper.domain, MICRO_DATA + i * 4096),
			    0);
	}
	/* The same in the background. */
	OK(lf_domain_unpause(stopper.domain, &error));
	stop_when_all_ran(&stopper);
	lf_domain_free(stopper.domain);
	munmap((void *)stopper.shared, vcpus * 4096);
}

Test(engine_threads, one_vcpu_stops_and_runs_again_without_a_lost_wakeup)
{
	stop_and_go(1, test_count(500, 10000));
}

Test(engine_threads, two_vcpus_stop_and_run_again_without_a_lost_wakeup)
{
	stop_and_go(2, test_count(500, 10000));
}

Test(engine_threads, four_vcpus_stop_and_run_again_without_a_lost_wakeup)
{
	stop_and_go(4, test_count(500, 10000));
}

/* A child's thread is another one than that which called fork(2). */
Test(engine_threads, a_stop_is_seen_in_a_child_process_too)
{
	struct lf_snapshot *snapshot = counting(1);
	struct lf_domain *domain;
	pthread_t thread;
	int status;
	pid_t pid;

	/* This thread has run vCPUs already. */
	domain = engine_fork(snapshot);
	lf_domain_stop(domain);
	cr_assert_eq(engine_run(domain).reason, LF_EXIT_INTERRUPTED);
	lf_domain_free(domain);
	pid = fork();
	if (pid == 0) {
		bool stopped;

		alarm(120);
		domain = engine_fork(snapshot);
		pthread_create(&thread, NULL, stop_soon, domain);
		stopped = engine_run(domain).reason == LF_EXIT_INTERRUPTED;
		pthread_join(thread, NULL);
		_exit(stopped ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	lf_snapshot_unref(snapshot);
}

static struct lf_domain *to_stop;

static void
stop_it(int signal)
{
	(void)signal;
	lf_domain_stop(to_stop);
}

/* In the very thread that runs it, wherever that is at the time. */
Test(engine_threads, a_signal_handler_may_stop_the_run_that_it_interrupts)
{
	const struct sigaction action = {.sa_handler = stop_it};
	struct lf_snapshot *snapshot = counting(2);
	unsigned long round, rounds = test_count(100, 10000);

	to_stop = engine_fork_verified(snapshot, LF_RESET_ADAPTIVE);
	cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
	for (round = 0; round < rounds; round++) {
		const struct itimerval soon = {
		    .it_value.tv_usec = 1 + random() % 300};

		cr_assert_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
		cr_assert_eq(engine_run(to_stop).reason, LF_EXIT_INTERRUPTED);
		OK(lf_domain_reset(to_stop, &error));
	}
	lf_domain_free(to_stop);
	lf_snapshot_unref(snapshot);
}

Test(engine_threads, a_stop_before_the_run_ends_it)
{
	struct lf_snapshot *snapshot = counting(1);
	struct lf_domain *domain = engine_fork(snapshot);

	lf_domain_stop(domain);
	cr_assert_eq(engine_run(domain).reason, LF_EXIT_INTERRUPTED);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine_threads, several_vcpus_that_exit_at_once_are_all_heard)
{
	struct lf_vcpu_regs regs;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	unsigned long seen[3] = {0}, wanted = test_count(30, 1000);

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = 1;
	snapshot = micro_snapshot(4 * MIB, &regs, 3);
	domain = engine_fork_verified(snapshot, LF_RESET_ADAPTIVE);
	/* One that is not heard lets this never end. */
	while (seen[0] < wanted || seen[1] < wanted || seen[2] < wanted) {
		struct lf_exit exit = engine_run(domain);

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
Test(engine_threads, an_exit_that_was_taken_back_before_it_was_told_is_not_told)
{
	struct lf_vcpu_regs regs;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	unsigned long round, rounds = test_count(1000, 20000);
	unsigned i;

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = 1;
	snapshot = micro_snapshot(4 * MIB, &regs, 3);
	domain = engine_fork_verified(snapshot, LF_RESET_ADAPTIVE);
	for (round = 0; round < rounds; round++) {
		struct lf_exit exit = engine_run(domain);

		cr_assert_eq(exit.reason, LF_EXIT_IO);
		OK(lf_domain_answer(domain, NULL, 0, &error));
		for (i = 0; i < 3; i++)
			OK(lf_vcpu_read_regs(domain, i, &regs, &error));
	}
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

/* In the background, until its descriptor tells of something. */
static void
run_until_told(struct lf_domain *domain)
{
	struct pollfd pollfd = {.events = POLLIN};

	pollfd.fd = lf_domain_event_fd(domain);
	OK(lf_domain_unpause(domain, &error));
	cr_assert_eq(poll(&pollfd, 1, 300000), 1);
}

/* The run had ended by itself: the pause is not the end of the next one. */
Test(engine_threads, pausing_a_domain_that_stopped_by_itself_leaves_no_stop)
{
	struct lf_snapshot *snapshot = engine_touching(4, 4 * MIB);
	struct lf_domain *domain = engine_fork(snapshot);

	run_until_told(domain);
	OK(lf_domain_pause(domain, &error));
	cr_assert_str_eq(
	    lf_domain_reason(domain), "port write: 0x80, 1 byte: 02");
	OK(lf_domain_reset(domain, &error));
	engine_run_done(domain);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

/* Asked for after the end, the descriptor has to tell of it all the same. */
Test(engine_threads, an_end_before_anybody_asked_for_the_descriptor_is_reported)
{
	struct lf_snapshot *snapshot = engine_touching(4, 4 * MIB);
	struct lf_domain *domain = engine_fork(snapshot);
	struct pollfd pollfd = {.events = POLLIN};
	struct lf_exit exit;

	OK(lf_domain_unpause(domain, &error));
	usleep(200000);
	pollfd.fd = lf_domain_event_fd(domain);
	cr_assert_eq(poll(&pollfd, 1, 300000), 1);
	cr_assert_eq(lf_domain_dispatch(domain, &exit, &error), 1);
	cr_assert_eq(exit.reason, LF_EXIT_IO);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine_threads, a_domain_that_crashed_in_the_background_is_not_frozen)
{
	struct lf_snapshot *snapshot, *frozen = NULL;
	struct lf_domain *domain;
	struct lf_vcpu_regs regs;

	micro_regs(MICRO_CRASH, &regs);
	snapshot = micro_snapshot(4 * MIB, &regs, 1);
	domain = engine_fork(snapshot);
	run_until_told(domain);
	cr_assert_eq(lf_domain_freeze(domain, &frozen, &error), -EINVAL);
	cr_assert_str_eq(
	    error.message, "a domain that is crashed cannot be frozen (reset)");
	cr_assert_null(frozen);
	cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_CRASHED);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

Test(engine_threads, a_domain_in_the_background_reports_by_its_descriptor)
{
	struct lf_snapshot *snapshot = engine_touching(4, 4 * MIB);
	struct lf_domain *domain = engine_fork(snapshot);
	struct pollfd pollfd = {.events = POLLIN};
	struct lf_exit exit;
	uint64_t value;

	pollfd.fd = lf_domain_event_fd(domain);
	cr_assert_geq(pollfd.fd, 0);
	OK(lf_domain_unpause(domain, &error));
	cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_RUNNING);
	cr_assert_eq(
	    lf_memory_read(domain, MICRO_DATA, &value, 8, &error), -EBUSY);
	cr_assert_eq(poll(&pollfd, 1, 300000), 1);
	cr_assert_eq(lf_domain_dispatch(domain, &exit, &error), 1);
	cr_assert_eq(exit.reason, LF_EXIT_IO);
	cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_PAUSED);
	cr_assert_eq(poll(&pollfd, 1, 0), 0);
	cr_assert_eq(lf_domain_dispatch(domain, &exit, &error), 0);
	cr_assert_eq(engine_word(domain, MICRO_DATA), 1);
	OK(lf_domain_unpause(domain, &error));
	/* Freed while it runs. */
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}
