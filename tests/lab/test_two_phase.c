/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two-phase forks of Linux guests: forked onto bare KVM without a device
 * model, run there, reset, given one late. One parent is booted for each kind
 * of machine, and looked at from all sides. Needs a KVM that runs kernel code
 * as hardware does: here, or in the lab (test-two-phase.sh).
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libfork/host.h>

#include "cpu/state.h"
#include "lab/two_phase.h"
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

static bool
whole_matrix(void)
{
	return soak() || getenv("LF_MATRIX") != NULL;
}

static void
setup(void)
{
	struct lf_host host;
	char reason[256];

	OK(lf_host_probe(&host, &error));
	if (!lf_host_prefers_kvm(&host, reason, sizeof(reason)))
		cr_skip_test("%s", reason);
	guest_setup();
}

TestSuite(two_phase, .init = setup, .fini = guest_teardown, .timeout = 7200);

/* A frozen parent, and what its forks begin with. */
struct frozen {
	struct parent parent;
	struct lf_snapshot *snapshot;
	struct progress counters[MAX_VCPUS];
	uint64_t places[MAX_PLACES];
};

static uint64_t
word_at(struct lf_domain *domain, uint64_t gpa)
{
	uint64_t word;

	OK(lf_memory_read(domain, gpa, &word, sizeof(word), &error));
	return word;
}

/* The parent goes on when nobody holds its snapshot any more. */
static void
thaw(struct frozen *frozen)
{
	lf_snapshot_unref(take_ptr(frozen->snapshot));
	OK(lf_domain_thaw(frozen->parent.domain, &error));
	OK(lf_domain_unpause(frozen->parent.domain, &error));
}

/* A fork runs on for a moment without touching a device. */
static bool
is_quiet(struct lf_snapshot *snapshot)
{
	struct lf_domain *fork = fork_without(snapshot, "quiet");
	bool quiet;

	OK(lf_domain_unpause(fork, &error));
	usleep(500000);
	OK(lf_domain_pause(fork, &error));
	quiet = lf_domain_reason(fork)[0] == '\0';
	lf_domain_free(fork);
	return quiet;
}

/*
 * Not in the middle of an access: a guest may still be busy with an interrupt
 * of its disk, and its forks would all stop there.
 */
static void
freeze_quiet(struct frozen *frozen)
{
	struct parent *parent = &frozen->parent;

	for (int try = 0;; try++) {
		console_drain(&parent->console, 300);
		OK(lf_domain_freeze(parent->domain, &frozen->snapshot, &error));
		if (is_quiet(frozen->snapshot))
			return;
		cr_assert_lt(try, 10, "the parent never rests");
		thaw(frozen);
	}
}

static void
freeze(struct frozen *frozen)
{
	struct parent *parent = &frozen->parent;
	unsigned i;

	freeze_quiet(frozen);
	for (i = 0; i < parent->kind->vcpus; i++)
		frozen->counters[i] =
		    progress_of(parent->domain, parent->counters[i]);
	for (i = 0; i < parent->place_count; i++)
		frozen->places[i] = word_at(parent->domain, parent->places[i]);
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
	freeze_quiet(frozen);
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

static void
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

/*
 * Two in check, all in soak, or with check's counts when LF_MATRIX is set; a
 * boot takes a while in the lab.
 */

Test(two_phase, one_vcpu_on_pc)
{
	goes_on_both_ways(&(struct kind){LF_MACHINE_PC, .vcpus = 1});
}

Test(two_phase, two_vcpus_on_q35)
{
	goes_on_both_ways(&(struct kind){LF_MACHINE_Q35, .vcpus = 2});
}

static void
in_soak(const struct kind *kind)
{
	if (!whole_matrix())
		cr_skip_test("in soak only, or with LF_MATRIX=1");
	goes_on_both_ways(kind);
}

/*
 * With all interrupts a timer wakes a sleeper, who writes to the console: there
 * the fork stops, if not at another device before, and with its device model
 * the text comes out.
 */
static void
wakes_a_sleeper(const struct kind *kind)
{
	static const char sleeper[] = "(sleep 10; echo woken >/dev/console) &";
	struct frozen frozen = {0};
	struct parent *parent = &frozen.parent;
	struct lf_domain *fork;
	struct console console;

	parent_boot(parent, kind);
	for (;;) {
		size_t from = parent->console.len;

		console_run(&parent->console, sleeper);
		freeze(&frozen);
		if (strstr(parent->console.text + from, "woken") == NULL)
			break;
		thaw(&frozen); /* too late, on a busy machine */
	}
	fork = fork_with_all_interrupts(frozen.snapshot, "awake");
	for (int round = 0; round < 2; round++) {
		OK(lf_domain_unpause(fork, &error));
		wait_until_stopped(fork);
		cr_assert_eq(lf_domain_state(fork), LF_DOMAIN_PAUSED, "%s",
		    lf_domain_reason(fork));
		if (round == 0)
			OK(lf_domain_reset(fork, &error));
	}
	launch_late(parent, fork, "awake", &console);
	console_wait(&console, 0, "woken", 120000);
	console_run(&console, "show");
	console_close(&console);
	lf_domain_free(fork);
	lf_snapshot_unref(frozen.snapshot);
	parent_end(parent);
}

Test(two_phase, all_interrupts_on_pc)
{
	if (!whole_matrix())
		cr_skip_test("in soak only, or with LF_MATRIX=1");
	wakes_a_sleeper(&(struct kind){LF_MACHINE_PC, .vcpus = 1});
}

Test(two_phase, four_vcpus_on_pc)
{
	in_soak(&(struct kind){LF_MACHINE_PC, .vcpus = 4});
}

Test(two_phase, memory_above_4_gib_on_q35)
{
	in_soak(&(struct kind){LF_MACHINE_Q35, .vcpus = 2, .large = true});
}

/*
 * In the lab OVMF writes CR8 while an interrupt waits, and QEMU 7.2's TCG fails
 * an assertion then: it sets an interrupt of a nested guest without its lock.
 */
static bool
is_in_lab(void)
{
	cleanup_free char *words = file_text("/proc/cmdline");

	return strstr(words, "lab.dir=") != NULL;
}

Test(two_phase, ovmf_on_q35)
{
	if (is_in_lab())
		cr_skip_test("the lab's QEMU does not survive OVMF under KVM");
	in_soak(&(struct kind){LF_MACHINE_Q35, .vcpus = 1, .ovmf = true});
}

/* A Linux guest uses some of what Windows does. */
Test(two_phase, hyperv_enlightenments_on_pc)
{
	in_soak(&(struct kind){LF_MACHINE_PC, .vcpus = 2, .hyperv = true});
}

/* --- a parent without KVM --- */

static unsigned
ticks_of(const char *path)
{
	cleanup_free char *text = file_text(path);
	const char *first = strstr(text, "tick");

	return first != NULL ? ticks_check(first) : 0;
}

static void
wait_for_ticks(const char *path, unsigned wanted)
{
	for (unsigned ms = 0; ticks_of(path) < wanted; ms += 50) {
		cr_assert_lt(ms, 120000U, "%s: tick %u", path, ticks_of(path));
		usleep(50000);
	}
}

/*
 * A TCG's parent with a CPU that every KVM can go on with. Its fork runs on KVM
 * until its timer has woken it four times and it writes to the serial port;
 * from there on it runs under TCG again, and its timer goes on.
 */
Test(two_phase, a_tcg_parent)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = NULL, *fork = NULL;
	struct lf_launch_options launch = {
	    .launcher = guest_launcher(), .devstate_fd = -1};
	cleanup_free char *path = NULL;
	unsigned frozen;

	if (!whole_matrix())
		cr_skip_test("in soak only, or with LF_MATRIX=1");
	OK(lf_domain_config_set(&config->cpu, "pentium", &error));
	OK(lf_domain_create(config, guest_launcher(), &parent, &error));
	OK(lf_domain_unpause(parent, &error));
	wait_for_ticks(config->serial.path, 3);
	OK(lf_domain_freeze(parent, &snapshot, &error));
	frozen = ticks_of(config->serial.path);

	fork = fork_with_all_interrupts(snapshot, "fork");
	for (int round = 0; round < 2; round++) {
		if (round > 0)
			OK(lf_domain_reset(fork, &error));
		OK(lf_domain_unpause(fork, &error));
		wait_until_stopped(fork);
		cr_assert_eq(lf_domain_state(fork), LF_DOMAIN_PAUSED, "%s",
		    lf_domain_reason(fork));
	}
	OK(lf_domain_launch(fork, &launch, &error));
	OK(lf_domain_unpause(fork, &error));
	cr_assert_gt(asprintf(&path, "%s.fork", config->serial.path), 0);
	wait_for_ticks(path, frozen + 3);
}
