/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running and resetting: by method, pages written, size of the memory and
 * groups of state; a working set that moves; two domains on two cores.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libfork/libfork.h>

#include "bench/bench.h"
#include "bench/floor.h"
#include "lib/micro.h"

#define MIB     (1UL << 20)
#define RING    65536U
#define SAMPLES 31

static struct lf_error error;

static const char *const method_names[] = {
    [LF_RESET_ADAPTIVE] = "adaptive",
    [LF_RESET_BITMAP] = "bitmap",
    [LF_RESET_DONTNEED] = "dontneed",
};

static struct lf_domain *
fork_of(struct lf_snapshot *snapshot, enum lf_reset_method method,
    unsigned groups, const struct lf_region *region)
{
	struct lf_fork_options options;
	struct lf_domain *domain;

	lf_fork_options_init(&options);
	options.reset_method = method;
	options.reset_groups = groups;
	options.ring_entries = RING;
	options.regions = region;
	options.region_count = region != NULL;
	bench_must(
	    lf_domain_fork(snapshot, &options, &domain, &error), error.message);
	return domain;
}

static void
iterate(struct lf_domain *domain, unsigned count)
{
	struct lf_exit exit;

	while (count-- > 0) {
		bench_must(lf_domain_run(domain, &exit, &error), error.message);
		bench_must(lf_domain_reset(domain, &error), error.message);
	}
}

static void
iterate_bare(const struct floor_recipe *recipe, struct floor_vm *vm,
    const uint8_t *source, uint64_t at, unsigned pages, bool all,
    unsigned count)
{
	while (count-- > 0) {
		unsigned i;

		floor_run(vm);
		floor_load(recipe, vm, all);
		for (i = 0; i < pages; i++)
			memcpy(vm->memory + at + i * 4096UL,
			    source + at + i * 4096UL, 4096);
	}
}

/* As many iterations as take about `us`. */
static unsigned
batch_for(struct lf_domain *domain, double us)
{
	double begin;

	iterate(domain, 10);
	begin = bench_now_us();
	iterate(domain, 10);
	begin = (bench_now_us() - begin) / 10;
	return begin > us / 2 ? 2 : (unsigned)(us / begin);
}

/* Returns the median time of an iteration. */
static double
reset_case(
    enum lf_reset_method method, unsigned pages, uint64_t ram_mib, bool all)
{
	char label[64];
	struct bench bench = {.name = "reset", .label = label, .unit = "us"};
	struct floor_recipe recipe;
	struct lf_vcpu_regs regs;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	struct floor_vm vm;
	const uint8_t *source;
	unsigned batch, i;
	double value;

	snprintf(label, sizeof(label), "%s pages=%u ram=%luM groups=%s",
	    method_names[method], pages, ram_mib, all ? "all" : "regs");
	if (!bench_wanted("reset", label))
		return 0;
	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = pages;
	regs.rax = 1;
	snapshot = micro_snapshot(ram_mib * MIB, &regs, 1);
	domain = fork_of(snapshot, method,
	    all ? LF_RESET_ALL : LF_RESET_MEMORY | LF_RESET_REGS, NULL);
	floor_recipe_init(&recipe, snapshot, 0);
	floor_shell(&recipe, &vm);
	floor_memory(&recipe, &vm);
	floor_load(&recipe, &vm, true);
	source = mmap(
	    NULL, recipe.ram_bytes, PROT_READ, MAP_SHARED, recipe.ram_fd, 0);
	batch = batch_for(domain, 10000);
	iterate_bare(&recipe, &vm, source, MICRO_DATA, pages, all, 20);
	for (i = 0; i < SAMPLES; i++) {
		double begin = bench_now_us(), middle;

		iterate(domain, batch);
		middle = bench_now_us();
		iterate_bare(
		    &recipe, &vm, source, MICRO_DATA, pages, all, batch);
		bench_add(&bench, (middle - begin) / batch,
		    (bench_now_us() - middle) / batch);
	}
	/* The other methods are there to be compared with. */
	value = bench_report(
	    &bench, method == LF_RESET_ADAPTIVE ? 1.2 : 1e6, false);
	munmap((void *)source, recipe.ram_bytes);
	floor_free(&vm);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
	return value;
}

static void
resets(void)
{
	static const unsigned pages[] = {0, 1, 16, 64, 512, 4096};
	static const uint64_t rams[] = {64, 1024, 4096};
	double at_64[3][2] = {0}, bitmap = 0;
	size_t p, m, all;

	for (m = 0; m < 3; m++)
		for (p = 0; p < 6; p++)
			for (all = 0; all < 2; all++) {
				double us = reset_case(
				    LF_RESET_ADAPTIVE, pages[p], rams[m], all);

				if (pages[p] == 64)
					at_64[m][all] = us;
			}
	for (p = 0; p < 6; p++) {
		reset_case(LF_RESET_BITMAP, pages[p], 1024, true);
		reset_case(LF_RESET_DONTNEED, pages[p], 1024, true);
	}
	for (m = 0; m < 3; m++) {
		double us = reset_case(LF_RESET_BITMAP, 64, rams[m], false);

		if (rams[m] == 1024)
			bitmap = us;
		reset_case(LF_RESET_DONTNEED, 64, rams[m], false);
	}
	if (at_64[1][0] > 0 && bitmap > 0)
		bench_report_limit("reset",
		    "adaptive pages=64 against bitmap groups=regs", "us",
		    at_64[1][0], bitmap, bitmap / 4);
}

/* The same guest in 4 GiB and in 64 MiB, in turns. */
static void
sizes(void)
{
	struct bench bench = {.name = "reset",
	    .label = "adaptive pages=64 ram=4096M against ram=64M",
	    .unit = "us"};
	struct lf_snapshot *snapshots[2];
	struct lf_domain *domains[2];
	struct lf_vcpu_regs regs;
	unsigned batch, i, round;

	if (!bench_wanted(bench.name, bench.label))
		return;
	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = 64;
	regs.rax = 1;
	for (i = 0; i < 2; i++) {
		snapshots[i] =
		    micro_snapshot((i == 0 ? 64 : 4096) * MIB, &regs, 1);
		domains[i] = fork_of(
		    snapshots[i], LF_RESET_ADAPTIVE, LF_RESET_ALL, NULL);
	}
	batch = batch_for(domains[0], 5000);
	batch_for(domains[1], 5000);
	for (round = 0; round < 4 * SAMPLES; round++) {
		double us[2];

		for (i = 0; i < 2; i++) {
			unsigned which = (i + round) % 2;
			double begin = bench_now_us();

			iterate(domains[which], batch);
			us[which] = (bench_now_us() - begin) / batch;
		}
		bench_add(&bench, us[1], us[0]);
	}
	bench_report(&bench, 1.1, false);
	for (i = 0; i < 2; i++) {
		lf_domain_free(domains[i]);
		lf_snapshot_unref(snapshots[i]);
	}
}

/* --- a working set that moves --- */

static void
shift(void)
{
	enum { PAGES = 64, STAY = 1000, MOVES = 20 };
	struct bench bench = {
	    .name = "shift", .label = "64 pages, every 1000", .unit = "us"};
	const uint64_t where_gpa = 0x3f000000;
	struct lf_region region = {.gpa = where_gpa, .length = 4096, .fd = -1};
	struct floor_recipe recipe;
	struct lf_vcpu_regs regs;
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	struct lf_counters counters;
	struct kvm_userspace_memory_region slot = {
	    .slot = 1, .guest_phys_addr = where_gpa, .memory_size = 4096};
	struct floor_vm vm;
	uint64_t *where, largest = 0;
	const uint8_t *source;
	unsigned move;

	where = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	region.address = where;
	micro_regs(MICRO_TOUCH_AT, &regs);
	regs.rbx = where_gpa;
	regs.rcx = PAGES;
	regs.rax = 1;
	snapshot = micro_snapshot(64 * MIB, &regs, 1);
	domain = fork_of(snapshot, LF_RESET_ADAPTIVE, LF_RESET_ALL, &region);
	floor_recipe_init(&recipe, snapshot, 0);
	floor_shell(&recipe, &vm);
	floor_memory(&recipe, &vm);
	slot.userspace_addr = (uintptr_t)where;
	bench_must(ioctl(vm.vm, KVM_SET_USER_MEMORY_REGION, &slot), "memslot");
	floor_load(&recipe, &vm, true);
	source = mmap(
	    NULL, recipe.ram_bytes, PROT_READ, MAP_SHARED, recipe.ram_fd, 0);
	for (move = 0; move < MOVES; move++) {
		uint64_t at = MICRO_DATA + (move % 10) * MIB;
		double begin, ours;

		*where = at;
		begin = bench_now_us();
		iterate(domain, 200);
		ours = bench_now_us() - begin;
		lf_domain_counters(domain, &counters);
		if (counters.set_pages > largest)
			largest = counters.set_pages;
		begin = bench_now_us();
		iterate(domain, STAY - 200);
		ours += bench_now_us() - begin;
		begin = bench_now_us();
		iterate_bare(&recipe, &vm, source, at, PAGES, true, STAY);
		bench_add(&bench, ours / STAY, (bench_now_us() - begin) / STAY);
	}
	bench_report(&bench, 1.5, false);
	bench_report_limit("shift", "set size 200 iterations after a move",
	    "pages", (double)largest, PAGES, PAGES);
	floor_free(&vm);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
	munmap((void *)source, recipe.ram_bytes);
	munmap(where, 4096);
}

/* --- two cores --- */

/*
 * Beside libfork's domains the same loop on bare VMs, for what the machine and
 * its kernel give to two threads of one process.
 */
struct runner {
	struct lf_domain *domain;
	const struct floor_recipe *recipe;
	struct floor_vm vm;
	const uint8_t *source;
	unsigned count;
	bool bare;
};

enum { SCALE_PAGES = 16 };

static void *
run_many(void *opaque)
{
	struct runner *runner = opaque;

	if (runner->bare)
		iterate_bare(runner->recipe, &runner->vm, runner->source,
		    MICRO_DATA, SCALE_PAGES, true, runner->count);
	else
		iterate(runner->domain, runner->count);
	return NULL;
}

static double
time_threads(struct runner *runners, unsigned count, bool bare)
{
	pthread_t threads[2];
	double begin = bench_now_us();
	unsigned i;

	for (i = 0; i < count; i++) {
		runners[i].bare = bare;
		pthread_create(&threads[i], NULL, run_many, &runners[i]);
	}
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return bench_now_us() - begin;
}

static void
scale(void)
{
	struct bench ours = {
	    .name = "scale", .label = "2 domains, 2 cores", .unit = "1/s"};
	struct bench bare = {
	    .name = "scale", .label = "2 bare VMs, 2 cores", .unit = "1/s"};
	struct floor_recipe recipe;
	struct runner runners[2];
	struct lf_snapshot *snapshot;
	struct lf_vcpu_regs regs;
	unsigned i;

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = SCALE_PAGES;
	regs.rax = 1;
	snapshot = micro_snapshot(64 * MIB, &regs, 1);
	for (i = 0; i < 2; i++)
		runners[i].domain =
		    fork_of(snapshot, LF_RESET_ADAPTIVE, LF_RESET_ALL, NULL);
	floor_recipe_init(&recipe, snapshot, 0);
	for (i = 0; i < 2; i++) {
		runners[i].recipe = &recipe;
		floor_shell(&recipe, &runners[i].vm);
		floor_memory(&recipe, &runners[i].vm);
		floor_load(&recipe, &runners[i].vm, true);
		runners[i].source = mmap(NULL, recipe.ram_bytes, PROT_READ,
		    MAP_SHARED, recipe.ram_fd, 0);
		runners[i].count = i == 0 ? batch_for(runners[0].domain, 40000)
					  : runners[0].count;
	}
	iterate(runners[1].domain, 20);
	for (i = 0; i < 2 * SAMPLES; i++) {
		double count = 2e6 * runners[0].count;

		bench_add(&ours, count / time_threads(runners, 2, false),
		    count / time_threads(runners, 1, false));
		bench_add(&bare, count / time_threads(runners, 2, true),
		    count / time_threads(runners, 1, true));
	}
	bench_report(&ours, 0.95, true);
	bench_report(&bare, 0.95, true);
	for (i = 0; i < 2; i++) {
		munmap((void *)runners[i].source, recipe.ram_bytes);
		floor_free(&runners[i].vm);
		lf_domain_free(runners[i].domain);
	}
	lf_snapshot_unref(snapshot);
}

int
main(void)
{
	resets();
	sizes();
	if (bench_wanted("shift", ""))
		shift();
	if (bench_wanted("scale", ""))
		scale();
	return 0;
}
