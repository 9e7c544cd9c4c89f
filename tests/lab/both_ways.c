/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See both_ways.h. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/state.h"
#include "lab/both_ways.h"
#include "lab/frozen.h"
#include "snapshot/snapshot.h"

#define error two_phase_error

/* Forks at once, those of them launched late, resets: check, soak. */
#define MANY_FORKS  (soak() ? 100U : 12U)
#define MANY_LATE   (soak() ? 10U : 2U)
#define MANY_RESETS (soak() ? 10000U : 200U)

static bool
soak(void)
{
	return getenv("LF_SOAK") != NULL;
}

static void
run_on(const struct frozen *frozen, struct lf_domain *const forks[],
    unsigned count)
{
	run_until_ahead(forks, count, frozen->parent.counters, frozen->counters,
	    frozen->parent.kind->vcpus);
}

/* --- the fork that gets its device model --- */

static void
check_counters_go_on(const struct frozen *frozen, struct console *console,
    const struct progress *before)
{
	for (int round = 0; round < 2; round++) {
		const char *text = console_run(console, "show");

		for (unsigned i = 0; i < frozen->parent.kind->vcpus; i++) {
			uint64_t count, errors;
			char wanted[32];
			const char *line;

			snprintf(
			    wanted, sizeof(wanted), "counter cpu=%u count=", i);
			line = strstr(text, wanted);
			cr_assert_not_null(line, "%s", text);
			cr_assert_eq(sscanf(line + strlen(wanted),
					 "%" SCNu64 " hash=%*x errors=%" SCNu64,
					 &count, &errors),
			    2);
			cr_assert_eq(errors, 0, "%s", text);
			cr_assert_geq(count, before[i].count + (unsigned)round,
			    "vCPU %u", i);
		}
	}
}

static void
check_disk(struct console *console)
{
	console_run(console, "echo 3 >/proc/sys/vm/drop_caches");
	console_run(console, "grep -q frozen /disk/before");
	console_run(console, "echo late >/disk/after; sync");
	console_run(console, "echo 3 >/proc/sys/vm/drop_caches");
	console_run(console, "grep -q late /disk/after");
}

/*
 * The first page of each place has the counter's count, the second what was
 * written from outside.
 */
static void
write_places(const struct parent *parent, struct lf_domain *fork)
{
	char page[4096];

	for (unsigned i = 0; i < parent->place_count; i++) {
		pattern_fill(page, sizeof(page), 40 + i);
		OK(lf_memory_write(fork, parent->places[i] + 4096, page,
		    sizeof(page), &error));
	}
}

static void
check_places(const struct parent *parent, struct console *console,
    const uint64_t *before)
{
	for (unsigned i = 0; i < parent->place_count; i++) {
		const char *text = console_run(
		    console, "mem dump 0x%" PRIx64 " 8", parent->places[i]);
		uint64_t count = __builtin_bswap64(strtoull(text, NULL, 16));

		cr_assert_geq(count, before[i], "0x%" PRIx64 ": %s",
		    parent->places[i], text);
		cr_assert_lt(count, before[i] + (UINT64_C(1) << 32));
		console_run(console, "mem check 0x%" PRIx64 " 4096 %u",
		    parent->places[i] + 4096, 40 + i);
	}
}

/* Launched late, a fork goes on from where it stands, with all devices. */
static void
check_late(struct frozen *frozen, struct lf_domain *fork, const char *name)
{
	const struct parent *parent = &frozen->parent;
	struct progress before[MAX_VCPUS];
	uint64_t places[MAX_PLACES];
	struct console console;

	for (unsigned i = 0; i < parent->kind->vcpus; i++)
		before[i] = progress_of(fork, parent->counters[i]);
	for (unsigned i = 0; i < parent->place_count; i++) {
		places[i] = word_at(fork, parent->places[i]);
		cr_assert_gt(places[i], frozen->places[i]);
	}
	write_places(parent, fork);
	launch_late(parent, fork, name, &console);
	console_run(&console, "tick 0.1 >/dev/console 2>&1 &");
	console_wait(&console, 0, "tick 3\n", 120000);
	console_run(&console, "killall tick");
	check_counters_go_on(frozen, &console, before);
	check_places(parent, &console, places);
	check_clock(&console);
	check_disk(&console);
	check_network(fork);
	/* The cursor's cell has 9 by 16 pixels. */
	cr_assert_gt(screen_changes(parent, fork, &console), 2 * 9 * 16);
	console_close(&console);
}

/* A full fork's reset: another QEMU, and none of what it wrote. */
static void
check_full_reset(
    const struct parent *parent, struct lf_domain *fork, const char *name)
{
	cleanup_free char *path = NULL;
	struct console console;

	cr_assert_gt(
	    asprintf(&path, "%s.%s", parent->config->serial.path, name), 0);
	unlink(path);
	OK(lf_domain_reset(fork, &error));
	console_open(&console, path);
	OK(lf_domain_unpause(fork, &error));
	console_run(&console, "grep -q frozen /disk/before");
	console_run(&console, "! test -e /disk/after");
	console_close(&console);
}

/* --- the fork that stays without --- */

static void
check_reset(const struct frozen *frozen, struct lf_domain *fork)
{
	const struct parent *parent = &frozen->parent;

	write_places(parent, fork);
	OK(lf_domain_reset(fork, &error));
	for (unsigned i = 0; i < parent->kind->vcpus; i++)
		cr_assert_eq(progress_of(fork, parent->counters[i]).count,
		    frozen->counters[i].count, "vCPU %u", i);
	for (unsigned i = 0; i < parent->place_count; i++)
		cr_assert_eq(
		    word_at(fork, parent->places[i]), frozen->places[i]);
}

/* Every reset is verified (fork_without). */
static void
check_many_resets(const struct frozen *frozen, struct lf_domain *fork)
{
	struct lf_counters counters;

	for (unsigned i = 0; i < MANY_RESETS; i++) {
		OK(lf_domain_unpause(fork, &error));
		usleep(i % 8 * 100);
		OK(lf_domain_pause(fork, &error));
		cr_assert_eq(lf_domain_state(fork), LF_DOMAIN_PAUSED,
		    "round %u: %s", i, lf_domain_reason(fork));
		OK(lf_domain_reset(fork, &error));
	}
	lf_domain_counters(fork, &counters);
	cr_assert_gt(counters.pages_restored, 0);
	run_on(frozen, &fork, 1);
}

/* Until it crashed; what a crash looks like from outside. */
static void
run_into(struct lf_domain *fork, const char *reason)
{
	struct lf_vcpu_regs regs;
	struct lf_exit exit;

	OK(lf_domain_run(fork, &exit, &error));
	cr_assert_eq(lf_domain_state(fork), LF_DOMAIN_CRASHED);
	cr_assert_not_null(strstr(lf_domain_reason(fork), reason), "%s",
	    lf_domain_reason(fork));
	OK(lf_vcpu_read_regs(fork, 0, &regs, &error));
}

/* A triple fault, and code where there is no memory. */
static void
check_crashes(const struct frozen *frozen, struct lf_domain *fork)
{
	const struct lf_segment code = {
	    .limit = 0xffffffff, .selector = 8, .access = 0xc09b};
	struct lf_vcpu_regs regs;

	OK(lf_vcpu_read_regs(fork, 0, &regs, &error));
	regs.idt.limit = 0;
	regs.rip = 0xffffdead0000;
	OK(lf_vcpu_write_regs(fork, 0, &regs, &error));
	run_into(fork, "reset");
	OK(lf_domain_reset(fork, &error));
	run_on(frozen, &fork, 1);

	OK(lf_vcpu_read_regs(fork, 0, &regs, &error));
	regs.cr0 = 0x11;
	regs.cr4 = 0;
	regs.efer &= 0x1000; /* what runs in SVM must have SVME set */
	regs.cs = code;
	regs.rflags = 2;
	regs.rip = 0xfed60000;
	OK(lf_vcpu_write_regs(fork, 0, &regs, &error));
	run_into(fork, "internal error");
	OK(lf_domain_reset(fork, &error));
	run_on(frozen, &fork, 1);
}

/* What a fork did to its vCPU without a device model is there with one. */
static void
check_state_goes_over(const struct frozen *frozen)
{
	struct lf_domain *fork = fork_without(frozen->snapshot, "changed");
	struct console console;

	change_state(fork);
	launch_paused(&frozen->parent, fork, "changed", &console);
	check_changed_state(fork);
	console_close(&console);
	lf_domain_free(fork);
}

/* --- together --- */

static void
check_many(const struct frozen *frozen)
{
	struct lf_domain *forks[100];
	struct console console;
	unsigned count = MANY_FORKS, i;
	char name[16];

	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "many%u", i);
		forks[i] = fork_without(frozen->snapshot, name);
	}
	run_on(frozen, forks, count);
	for (i = 0; i < MANY_LATE; i++) {
		snprintf(name, sizeof(name), "many%u", i);
		launch_late(&frozen->parent, forks[i], name, &console);
		console_run(&console, "show");
		OK(lf_domain_pause(forks[i], &error));
		console_close(&console);
	}
	for (i = 0; i < count; i++)
		lf_domain_free(forks[i]);
}

/* Threads that make each other's CPU flush its TLB. */
static void
check_remap(struct frozen *frozen)
{
	struct parent *parent = &frozen->parent;
	struct progress from[2];
	struct lf_domain *fork;
	uint64_t pages[2];

	console_run(&parent->console, "killall -STOP counter");
	console_run(&parent->console, "remap >/dev/console 2>&1 &");
	for (unsigned i = 0; i < 2; i++) {
		char wanted[32];
		size_t at;

		snprintf(wanted, sizeof(wanted), "remap cpu=%u gpa=", i);
		at = console_wait(&parent->console, 0, wanted, 300000);
		console_wait(&parent->console, at, "\n", 300000);
	}
	freeze(frozen);
	for (unsigned i = 0; i < 2; i++) {
		pages[i] = progress_page(parent->console.text, "remap", i);
		from[i] = progress_of(parent->domain, pages[i]);
	}
	fork = fork_without(frozen->snapshot, "remap");
	for (int round = 0; round < 3; round++) {
		run_until_ahead(&fork, 1, pages, from, 2);
		for (unsigned i = 0; i < 2; i++)
			from[i] = progress_of(fork, pages[i]);
	}
	lf_domain_free(fork);
}

/* A parent that was told of Hyper-V makes use of it, and its forks have it. */
static void
check_hyperv(const struct frozen *frozen)
{
	static const uint32_t used[] = {
	    0x40000000, /* the guest's identity */
	    0x40000001, /* hypercall page */
	    0x40000021, /* reference TSC page */
	    0x40000073, /* assist page */
	    0x400000b0, /* synthetic timer */
	};

	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
		uint64_t value;

		cr_assert(cpu_state_msr(
			      frozen->snapshot->vcpus[0], used[i], &value) &&
			      value != 0,
		    "MSR 0x%x is not in use", used[i]);
	}
}

void
goes_on_both_ways(const struct kind *kind)
{
	struct frozen frozen = {0};
	struct parent *parent = &frozen.parent;
	struct lf_domain *forks[2];
	uint64_t ram;
	int ram_fd;

	parent_boot(parent, kind);
	console_run(&parent->console, "echo frozen >/disk/before; sync");
	freeze(&frozen);
	ram_fd = ram_file_fd(frozen.snapshot->image->files[0]);
	ram = sparse_hash(ram_fd);

	/* Without device model every vCPU's counter passes the parent's. */
	forks[0] = fork_without(frozen.snapshot, "fork");
	forks[1] = fork_without(frozen.snapshot, "other");
	if (kind->hyperv)
		check_hyperv(&frozen);
	run_on(&frozen, forks, 2);
	cr_assert_neq(progress_of(forks[0], parent->counters[0]).count,
	    progress_of(forks[1], parent->counters[0]).count);
	check_reset(&frozen, forks[1]);
	check_many_resets(&frozen, forks[1]);
	check_crashes(&frozen, forks[1]);

	if (kind->vcpus == 1)
		check_state_goes_over(&frozen);
	check_late(&frozen, forks[0], "fork");
	check_full_reset(parent, forks[0], "fork");
	lf_domain_free(forks[0]);
	lf_domain_free(forks[1]);
	check_many(&frozen);
	cr_assert_eq(sparse_hash(ram_fd), ram);
	thaw(&frozen);
	console_run(&parent->console, "show");
	if (kind->vcpus > 1)
		check_remap(&frozen);
	parent_end(parent);
	lf_snapshot_unref(frozen.snapshot);
}
