/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlfork fuzz --bench: the same input again and again, in one thread or in
 * several that share the snapshot, and where the time of an iteration goes.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "xlfork/fuzz_modes.h"

#define STATUS_MS 500

struct worker {
	pthread_t thread;
	struct lf_fuzz *fuzz;
	const struct fuzz_file *input;
	int core; /* -1: any */
	double seconds;
	atomic_bool *stop;
	atomic_uint_fast64_t runs;
	double took; /* seconds */
	struct lf_fuzz_outcome outcome;
	atomic_int rc;
	struct lf_error error; /* read when the thread has ended */
};

static void
pin(int core)
{
	cpu_set_t set;

	if (core < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)core, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *
work(void *opaque)
{
	struct worker *worker = opaque;
	double begin;
	uint64_t runs = 0;
	int rc = 0;

	pin(worker->core);
	begin = clock_seconds();
	while (rc == 0 && !atomic_load(worker->stop)) {
		rc = lf_fuzz_run(worker->fuzz, worker->input->bytes,
		    worker->input->len, &worker->outcome, &worker->error);
		atomic_store(&worker->runs, ++runs);
	}
	atomic_store(&worker->rc, rc);
	worker->took = clock_seconds() - begin;
	return NULL;
}

/* The cores that this process may use, the first `max`. */
static unsigned
usable_cores(int *cores, unsigned max)
{
	cpu_set_t set;
	unsigned count = 0;
	int core;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 0;
	for (core = 0; core < CPU_SETSIZE && count < max; core++)
		if (CPU_ISSET((size_t)core, &set))
			cores[count++] = core;
	return count;
}

/* --- reports --- */

static uint64_t
all_runs(const struct worker *workers, unsigned count)
{
	uint64_t runs = 0;
	unsigned i;

	for (i = 0; i < count; i++)
		runs += atomic_load(&workers[i].runs);
	return runs;
}

/* Waits, with a line that is kept up to date on a terminal. */
static void
wait_for_end(struct worker *workers, unsigned count, unsigned seconds)
{
	bool terminal = isatty(STDERR_FILENO);
	double begin = clock_seconds(), elapsed;
	struct timespec pause = {.tv_nsec = 10 * 1000000L};
	double next = 0;

	while ((elapsed = clock_seconds() - begin) < seconds) {
		unsigned i, failed = 0;

		nanosleep(&pause, NULL);
		for (i = 0; i < count; i++)
			failed += atomic_load(&workers[i].rc) != 0;
		if (failed > 0)
			break;
		if (!terminal || elapsed < next)
			continue;
		next = elapsed + STATUS_MS / 1000.0;
		fprintf(stderr, "\r%u s of %u, %.0f executions/s   ",
		    (unsigned)elapsed, seconds,
		    (double)all_runs(workers, count) / (elapsed + 0.001));
	}
	if (terminal)
		fprintf(stderr, "\r\033[K");
}

static void
print_part(const char *name, uint64_t ns, const struct lf_fuzz_times *times,
    uint64_t total_ns)
{
	printf("%-14s %8.2f us  %5.1f %%\n", name,
	    (double)ns / 1e3 / (double)times->runs,
	    100.0 * (double)ns / (double)total_ns);
}

static int
print_report(const struct worker *workers, unsigned count, bool json,
    struct lf_error *error)
{
	struct lf_fuzz_times t;
	uint64_t total_ns, parts_ns;
	double rate = 0;
	unsigned i;
	int rc = lf_fuzz_times(workers[0].fuzz, &t, error);

	if (rc < 0)
		return rc;
	for (i = 0; i < count; i++)
		rate += (double)atomic_load(&workers[i].runs) / workers[i].took;
	parts_ns = t.inject_ns + t.coverage_ns + t.run_ns + t.reset_ns;
	total_ns = (uint64_t)(workers[0].took * 1e9);
	if (total_ns < parts_ns)
		total_ns = parts_ns;
	if (json) {
		printf("{\"executions_per_second\":%.1f,\"workers\":%u,"
		       "\"inject_us\":%.3f,\"coverage_us\":%.3f,"
		       "\"run_us\":%.3f,\"reset_us\":%.3f,\"other_us\":%.3f,"
		       "\"tsc_spread\":%" PRIu64 "}\n",
		    rate, count, (double)t.inject_ns / 1e3 / (double)t.runs,
		    (double)t.coverage_ns / 1e3 / (double)t.runs,
		    (double)t.run_ns / 1e3 / (double)t.runs,
		    (double)t.reset_ns / 1e3 / (double)t.runs,
		    (double)(total_ns - parts_ns) / 1e3 / (double)t.runs,
		    t.tsc_max - t.tsc_min);
		return 0;
	}
	printf("%.0f executions/s, %u worker%s\n", rate, count,
	    count == 1 ? "" : "s");
	printf("the run        %s\n", workers[0].outcome.what);
	print_part("inject", t.inject_ns, &t, total_ns);
	print_part("run", t.run_ns, &t, total_ns);
	print_part("reset", t.reset_ns, &t, total_ns);
	print_part("coverage", t.coverage_ns, &t, total_ns);
	print_part("other", total_ns - parts_ns, &t, total_ns);
	printf("TSC at the start of a run: %" PRIu64 " to %" PRIu64
	       " cycles after the snapshot's\n",
	    t.tsc_min, t.tsc_max);
	return 0;
}

/* --- workers --- */

static int
make_workers(struct worker *workers, unsigned count, struct lf_fuzz *fuzz,
    struct lf_error *error)
{
	unsigned i;
	int rc = 0;

	workers[0].fuzz = fuzz;
	for (i = 1; rc == 0 && i < count; i++)
		rc = lf_fuzz_open_beside(fuzz, &workers[i].fuzz, error);
	return rc;
}

static int
run_workers(struct worker *workers, unsigned count, unsigned seconds,
    struct lf_error *error)
{
	atomic_bool stop = false;
	unsigned i, started;
	int rc = 0;

	for (started = 0; started < count; started++) {
		struct worker *worker = &workers[started];
		int r;

		worker->stop = &stop;
		r = sys.pthread_create(&worker->thread, NULL, work, worker);
		if (r != 0) {
			rc = error_sys(error, r, "cannot start a thread");
			break;
		}
	}
	if (rc == 0)
		wait_for_end(workers, count, seconds);
	atomic_store(&stop, true);
	for (i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		if (rc == 0 && workers[i].rc < 0) {
			*error = workers[i].error;
			rc = workers[i].rc;
		}
	}
	return rc;
}

int
fuzz_bench(struct lf_fuzz *fuzz, const struct fuzz_bench *bench,
    struct lf_error *error)
{
	struct fuzz_file input = {.bytes = NULL};
	unsigned i, cores, count = bench->workers;
	struct worker *workers;
	int *core, rc;

	rc = fuzz_file_read(bench->path, &input, error);
	if (rc < 0)
		return rc;
	workers = sys.calloc(count, sizeof(*workers));
	core = sys.calloc(count, sizeof(*core));
	if (workers == NULL || core == NULL) {
		rc = error_nomem(error);
		goto out;
	}
	cores = usable_cores(core, count);
	for (i = 0; i < count; i++) {
		workers[i].core = i < cores ? core[i] : -1;
		workers[i].input = &input;
	}
	rc = make_workers(workers, count, fuzz, error);
	if (rc == 0)
		rc = run_workers(workers, count, bench->seconds, error);
	if (rc == 0)
		rc = print_report(workers, count, bench->json, error);
	for (i = 1; i < count; i++)
		lf_fuzz_close(workers[i].fuzz);
out:
	free(core);
	free(workers);
	fuzz_file_done(&input);
	return rc;
}
