/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forking: one cold, one with a shell from the pool, a thousand at once by two
 * threads, and what a thousand idle ones hold of the machine's memory.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libfork/libfork.h>

#include "bench/bench.h"
#include "bench/floor.h"
#include "lib/micro.h"

#define MIB  (1UL << 20)
#define RING 1024U

static struct lf_error error;

/* A micro-guest's snapshot, completed by a first fork. */
static struct lf_snapshot *
snapshot_of(uint64_t ram_bytes)
{
	struct lf_vcpu_regs regs;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = 1;
	snapshot = micro_snapshot(ram_bytes, &regs, 1);
	bench_must(
	    lf_domain_fork(snapshot, NULL, &domain, &error), error.message);
	lf_domain_free(domain);
	return snapshot;
}

static double
time_fork(struct lf_snapshot *snapshot, const struct lf_fork_options *options)
{
	struct lf_domain *domain;
	double begin = bench_now_us(), end;

	bench_must(
	    lf_domain_fork(snapshot, options, &domain, &error), error.message);
	end = bench_now_us();
	lf_domain_free(domain);
	return end - begin;
}

/* Half of all floors come first, half second: what comes second is colder. */
static void
cold(uint64_t ram_bytes, const char *label)
{
	struct bench bench = {.name = "fork", .label = label, .unit = "us"};
	struct lf_snapshot *snapshot = snapshot_of(ram_bytes);
	struct floor_recipe recipe;
	unsigned i;

	floor_recipe_init(&recipe, snapshot, RING);
	for (i = 0; i < 200; i++) {
		struct floor_vm vm;
		double begin, ours = 0, bare;

		if (i % 2 == 0)
			ours = time_fork(snapshot, NULL);
		begin = bench_now_us();
		floor_shell(&recipe, &vm);
		floor_memory(&recipe, &vm);
		floor_load(&recipe, &vm, true);
		bare = bench_now_us() - begin;
		floor_free(&vm);
		if (i % 2 == 1)
			ours = time_fork(snapshot, NULL);
		bench_add(&bench, ours, bare);
	}
	bench_report(&bench, 1.3, false);
	lf_snapshot_unref(snapshot);
}

/* Forks with a shell from the pool; cold ones in turn with them. */
static void
pooled(void)
{
	enum { DEPTH = 50 };
	struct bench bench = {.name = "fork", .label = "pool", .unit = "us"};
	struct bench against = {
	    .name = "fork", .label = "pool against cold 64M", .unit = "us"};
	struct lf_snapshot *snapshot = snapshot_of(64 * MIB);
	struct lf_fork_options options;
	struct floor_recipe recipe;
	unsigned round, i;

	floor_recipe_init(&recipe, snapshot, RING);
	lf_fork_options_init(&options);
	for (round = 0; round < 8; round++) {
		struct floor_vm vms[DEPTH];
		struct lf_domain *domain;

		bench_must(
		    lf_pool_new(DEPTH, &options.pool, &error), error.message);
		bench_must(lf_domain_fork(snapshot, &options, &domain, &error),
		    error.message);
		lf_domain_free(domain);
		lf_pool_wait(options.pool);
		for (i = 0; i < DEPTH; i++)
			floor_shell(&recipe, &vms[i]);
		/* Half of the pool in one burst, as a fork-vm -n makes it. */
		for (i = 0; i < DEPTH / 2 - 1; i++) {
			double begin, ours = 0, bare;

			if (i % 2 == 0)
				ours = time_fork(snapshot, &options);
			begin = bench_now_us();
			floor_memory(&recipe, &vms[i]);
			floor_load(&recipe, &vms[i], true);
			bare = bench_now_us() - begin;
			if (i % 2 == 1)
				ours = time_fork(snapshot, &options);
			bench_add(&bench, ours, bare);
		}
		for (i = 0; i < DEPTH; i++)
			floor_free(&vms[i]);
		for (i = 0; i < DEPTH / 2 - 1; i++)
			bench_add(&against, bench.value[bench.count - 1 - i],
			    time_fork(snapshot, NULL));
		lf_pool_free(options.pool);
	}
	bench_report(&bench, 1.5, false);
	bench_report(&against, 0.35, false);
	lf_snapshot_unref(snapshot);
}

/* --- a thousand --- */

enum { MANY = 1000, THREADS = 2 };

static struct lf_domain *domains[MANY];
static struct floor_vm bare_vms[MANY];

struct job {
	struct lf_snapshot *snapshot;
	const struct floor_recipe *recipe;
	unsigned from, to;
	bool bare;
};

static void *
work(void *opaque)
{
	const struct job *job = opaque;
	unsigned i;

	for (i = job->from; i < job->to; i++) {
		if (job->bare) {
			floor_shell(job->recipe, &bare_vms[i]);
			floor_memory(job->recipe, &bare_vms[i]);
			floor_load(job->recipe, &bare_vms[i], true);
		} else {
			struct lf_error e;

			bench_must(lf_domain_fork(
				       job->snapshot, NULL, &domains[i], &e),
			    e.message);
		}
	}
	return NULL;
}

static double
make_many(
    struct lf_snapshot *snapshot, const struct floor_recipe *recipe, bool bare)
{
	pthread_t threads[THREADS];
	struct job jobs[THREADS];
	double begin = bench_now_us();
	unsigned i;

	for (i = 0; i < THREADS; i++) {
		jobs[i] = (struct job){snapshot, recipe, i * MANY / THREADS,
		    (i + 1) * MANY / THREADS, bare};
		pthread_create(&threads[i], NULL, work, &jobs[i]);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return bench_now_us() - begin;
}

static void
free_many(bool bare)
{
	unsigned i;

	for (i = 0; i < MANY; i++)
		if (bare)
			floor_free(&bare_vms[i]);
		else
			lf_domain_free(domains[i]);
}

static double
available_kib(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	double kib = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "MemAvailable: %lf", &kib) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return kib;
}

/* Memory of this process alone, which nobody else can disturb. */
static double
own_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[128];
	double kib = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "RssAnon: %lf", &kib) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return kib;
}

static void
many(void)
{
	struct bench time = {
	    .name = "many", .label = "1000 alive, 2 threads", .unit = "us"};
	struct bench memory = {
	    .name = "density", .label = "1000 idle", .unit = "KiB"};
	struct lf_snapshot *snapshot = snapshot_of(64 * MIB);
	struct floor_recipe recipe;
	double value, floor, heap = 0;
	unsigned round;

	floor_recipe_init(&recipe, snapshot, RING);
	for (round = 0; round < 9; round++) {
		double us[2], kib[2];
		int which;

		for (which = 0; which < 2; which++) {
			bool bare = (which + round) % 2 == 1;
			double before, own = own_kib();

			/* The kernel frees VMs a moment after close(2). */
			sleep(1);
			before = available_kib();
			us[bare] = make_many(snapshot, &recipe, bare);
			kib[bare] = (before - available_kib()) / MANY;
			/* Later rounds reuse the heap of the first. */
			if (round == 0 && !bare)
				heap = (own_kib() - own) / MANY;
			free_many(bare);
		}
		bench_add(&time, us[0], us[1]);
		bench_add(&memory, kib[0], kib[1]);
	}
	bench_report(&time, 1.2, false);
	value = bench_median(memory.value, memory.count);
	floor = bench_median(memory.floor, memory.count);
	bench_report_limit(
	    "density", "1000 idle", "KiB a fork", value, floor, floor + 32);
	bench_report_limit("density", "1000 idle, memory of the process",
	    "KiB a fork", heap, 0, 32);
	lf_snapshot_unref(snapshot);
}

int
main(void)
{
	static const struct {
		uint64_t mib;
		const char *label;
	} sizes[] = {
	    {64, "cold 64M"},
	    {512, "cold 512M"},
	    {1024, "cold 1G"},
	    {4096, "cold 4G"},
	    {8192, "cold 8G"},
	};
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (bench_wanted("fork", sizes[i].label))
			cold(sizes[i].mib * MIB, sizes[i].label);
	if (bench_wanted("fork", "pool"))
		pooled();
	if (bench_wanted("many", "") || bench_wanted("density", ""))
		many();
	return 0;
}
