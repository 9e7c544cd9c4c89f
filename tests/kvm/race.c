/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Races between vCPU threads, stops, resets, forks and the pool, for
 * ThreadSanitizer, which cannot look into a Criterion program: a plain main.
 * Prints one TAP line.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libfork/libfork.h>

#include "lib/count.h"
#include "lib/micro.h"

#define MIB 1048576UL

static void
must(int rc, const char *what, const struct lf_error *error)
{
	if (rc >= 0)
		return;
	printf("not ok 1 - %s: %s\n", what, error->message);
	exit(1);
}

struct job {
	struct lf_snapshot *snapshot;
	struct lf_pool *pool;
	unsigned long rounds;
	unsigned seed;
};

static void *
stop_soon(void *opaque)
{
	usleep(100);
	lf_domain_stop(opaque);
	return NULL;
}

/* Forks, runs all vCPUs, is stopped by another thread, resets, over again. */
static void *
work(void *opaque)
{
	const struct job *job = opaque;
	struct lf_fork_options options;
	struct lf_error error;
	struct lf_domain *domain;
	unsigned long round;

	lf_fork_options_init(&options);
	options.pool = job->pool;
	options.verify_every = 8;
	must(lf_domain_fork(job->snapshot, &options, &domain, &error), "fork",
	    &error);
	for (round = 0; round < job->rounds; round++) {
		struct lf_exit exit;
		pthread_t thread;

		pthread_create(&thread, NULL, stop_soon, domain);
		must(lf_domain_run(domain, &exit, &error), "run", &error);
		pthread_join(thread, NULL);
		if (exit.reason != LF_EXIT_INTERRUPTED) {
			printf("not ok 1 - %s instead of a stop\n",
			    lf_exit_name(&exit));
			_Exit(1);
		}
		must(lf_domain_reset(domain, &error), "reset", &error);
		if (round % 16 == 15) {
			/* In the background, too, and a new fork. */
			must(lf_domain_unpause(domain, &error), "unpause",
			    &error);
			usleep(50);
			must(lf_domain_pause(domain, &error), "pause", &error);
			lf_domain_free(domain);
			must(lf_domain_fork(
				 job->snapshot, &options, &domain, &error),
			    "fork", &error);
		}
	}
	lf_domain_free(domain);
	return NULL;
}

int
main(void)
{
	enum { THREADS = 2 };
	struct job jobs[THREADS];
	pthread_t threads[THREADS];
	struct lf_snapshot *snapshot;
	struct lf_vcpu_regs regs;
	struct lf_pool *pool;
	struct lf_error error;
	const char *why;
	unsigned i, vcpus;

	printf("1..1\n");
	if (!micro_usable(&why)) {
		printf("ok 1 # SKIP %s\n", why);
		return 0;
	}
	micro_regs(MICRO_COUNT, &regs);
	for (vcpus = 1; vcpus <= 4; vcpus *= 2) {
		snapshot = micro_snapshot(4 * MIB, &regs, vcpus);
		must(lf_pool_new(2, &pool, &error), "pool", &error);
		for (i = 0; i < THREADS; i++) {
			jobs[i] = (struct job){
			    snapshot, pool, test_count(64, 4000), i};
			pthread_create(&threads[i], NULL, work, &jobs[i]);
		}
		for (i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		lf_pool_free(pool);
		lf_snapshot_unref(snapshot);
	}
	printf("ok 1 - vCPU threads, stops, resets, forks and the pool\n");
	return 0;
}
