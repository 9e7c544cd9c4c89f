/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Full forks of a Linux guest under TCG: they go on from the frozen instant,
 * see the memory that the map says, write their own disks, and leave their
 * parent as it was. Few boots, many looks at each.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libfork/vmi.h>

#include "base/cleanup.h"
#include "domain/backend.h"
#include "domain/qemu_domain.h"
#include "lib/guest_vm.h"
#include "qemu/run_until.h"
#include "snapshot/snapshot.h"

#define OVMF_CODE "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define OVMF_VARS "/usr/share/OVMF/OVMF_VARS_4M.fd"

/* A CPU without what a KVM might lack. */
#define COMMON_CPU "qemu64,-svm,-sse3,-cx16,-lahf-lm"

#define BOOT_MS    300000
#define DISK_BYTES (1 << 20)

TestSuite(
    full_fork, .init = guest_setup, .fini = guest_teardown, .timeout = 240);

static struct lf_error error;
#define OK(call) cr_assert_eq((call), 0, "%s: %s", #call, error.message)

static struct lf_domain *
fork_of(struct lf_snapshot *snapshot, const char *name)
{
	struct lf_fork_options options = guest_fork_options(name);
	struct lf_domain *fork = NULL;

	OK(lf_domain_fork(snapshot, &options, &fork, &error));
	return fork;
}

static struct lf_domain *
booted(const struct lf_domain_config *config, struct console *console)
{
	struct lf_domain *domain = NULL;

	OK(lf_domain_create(config, guest_launcher(), &domain, &error));
	console_open(console, config->serial.path);
	OK(lf_domain_unpause(domain, &error));
	console_wait(console, 0, "agent> ready", BOOT_MS);
	return domain;
}

/* The fork's console, opened before it runs. */
static void
console_of(struct console *console, const struct lf_domain_config *parent,
    const char *names)
{
	cleanup_free char *path = NULL;

	cr_assert_gt(asprintf(&path, "%s.%s", parent->serial.path, names), 0);
	console_open(console, path);
}

/* The ticks of a fork follow those of its parent without a gap. */
static void
check_goes_on(const struct console *parent, struct console *fork, int ticks)
{
	unsigned frozen = ticks_check(parent->text), last;
	cleanup_free char *both = NULL;
	char wanted[32];

	snprintf(wanted, sizeof(wanted), "tick %u\n", frozen + (unsigned)ticks);
	console_wait(fork, 0, wanted, 300000);
	cr_assert_gt(asprintf(&both, "%s%s", parent->text, fork->text), 0);
	last = ticks_check(both);
	cr_assert_geq(last, frozen + (unsigned)ticks);
	cr_assert_null(strstr(fork->text, "tick 1\n"));
}

static void
check_pattern(struct lf_domain *frozen, uint64_t gpa, uint64_t seed)
{
	char want[4096], got[4096];

	pattern_fill(want, sizeof(want), seed);
	OK(lf_memory_read(frozen, gpa, got, sizeof(got), &error));
	cr_assert_eq(memcmp(want, got, sizeof(want)), 0,
	    "the map does not show the pattern at 0x%" PRIx64, gpa);
}

/*
 * Where QEMU itself has each range of the map: within a file of the image,
 * addresses and offsets have to go in step, range by range, at both ends.
 */
static void
check_host_addresses(struct lf_domain *frozen, struct lf_snapshot *snapshot)
{
	struct qemu_domain *qemu = frozen->impl;
	const struct memory_map *map = &snapshot->map;
	const struct ram_image *image = snapshot->image;
	uint64_t where[RAM_BLOCKS_MAX] = {0};

	for (size_t i = 0; i < map->count; i++) {
		const struct memory_range *range = &map->ranges[i];
		uint64_t ends[] = {0, range->length - 4096};
		uint32_t b = 0;

		while (image->blocks[b].file != range->file ||
		       range->offset - image->blocks[b].offset >=
			   image->blocks[b].length)
			cr_assert_lt(++b, image->block_count);
		for (size_t k = 0; k < 2; k++) {
			cleanup_free char *text = NULL;
			char command[64];
			uint64_t host = 0;
			const char *is;

			snprintf(command, sizeof(command), "gpa2hva 0x%" PRIx64,
			    range->gpa + ends[k]);
			OK(qmp_hmp(qemu->qmp, command, &text, &error));
			is = strstr(text, " is 0x");
			cr_assert_not_null(is, "%s", text);
			sscanf(is, " is 0x%" SCNx64, &host);
			host -=
			    range->offset + ends[k] - image->blocks[b].offset;
			cr_assert(where[b] == 0 || where[b] == host,
			    "range at 0x%" PRIx64 " of block '%s'", range->gpa,
			    image->blocks[b].idstr);
			where[b] = host;
		}
	}
}

/*
 * Stops the guest in its idle loop at a breakpoint: QEMU is then in a state
 * that no other QEMU would take. Where a halted vCPU stands, behind its HLT,
 * it comes by again; where a busy one is found it may never be a second time.
 */
static void
stop_at_breakpoint(struct lf_domain *domain)
{
	struct qemu_domain *qemu = domain->impl;
	struct run_until_options options = {.timeout_ms = 300000};
	struct run_until_result result;
	cleanup_free char *text = NULL;
	char status[32];
	const char *rip;

	do {
		free(take_ptr(text));
		OK(qmp_hmp(qemu->qmp, "info registers", &text, &error));
	} while (strstr(text, "HLT=1") == NULL);
	rip = strstr(text, "RIP=");
	cr_assert_not_null(rip, "%s", text);
	options.address = strtoull(rip + 4, NULL, 16);
	cr_assert_geq(run_until(qemu->qmp, &options, &result, &error), 0, "%s",
	    error.message);
	OK(qemu_query_status(qemu, status, sizeof(status), &error));
	cr_assert_str_eq(status, "debug");
}

static void
add_disk(struct lf_domain_config *config)
{
	cleanup_free char *path = guest_path("disk.raw");
	struct lf_disk *disk = NULL;

	guest_shell("truncate -s %d %s", DISK_BYTES, path);
	OK(lf_domain_config_add_disk(config, &disk, &error));
	OK(lf_domain_config_set(&disk->path, path, &error));
}

static uint64_t
disk_hash(void)
{
	cleanup_free char *path = guest_path("disk.raw");
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return file_hash(fd);
}

static uint64_t
video_memory(struct console *console)
{
	uint64_t gpa = 0;

	cr_assert_eq(
	    sscanf(console_run(console, "mem vga"), "%" SCNx64, &gpa), 1);
	return gpa;
}

/* A range that the guest may write, and that shows `gpa`. */
static bool
is_writable(const struct lf_snapshot *snapshot, uint64_t gpa)
{
	const struct memory_range *range = memory_map_find(&snapshot->map, gpa);

	return range != NULL && !(range->flags & MEMORY_READONLY);
}

/* A function of its kernel that a ticking guest comes to before long. */
static uint64_t
kernel_function(struct lf_domain *frozen, const char *name)
{
	struct lf_kernel *kernel = NULL;
	struct lf_symbol symbol;
	char *log = NULL;

	OK(lf_kernel_find_in(frozen, &kernel, &error));
	OK(lf_kernel_log(kernel, 0, &log, &error));
	cr_assert_not_null(strstr(log, "Linux version "));
	free(log);
	OK(lf_symbols_lookup(lf_kernel_symbols(kernel), name, &symbol, &error));
	lf_kernel_free(kernel);
	return symbol.address;
}

/* It stands there and nowhere else, and nothing of the breakpoint is left. */
static void
check_freeze_at(struct lf_domain *running, uint64_t address)
{
	const struct lf_freeze_at at = {.address = address,
				      .timeout_ms = 300000},
				  never = {.address = 0x10, .timeout_ms = 500};
	struct lf_snapshot *snapshot = NULL;
	struct lf_arrival arrival = {.vcpu = 7};
	struct lf_vcpu_regs regs;

	cr_assert_eq(
	    lf_domain_freeze_at(running, &never, &snapshot, &arrival, &error),
	    -ETIMEDOUT, "%s", error.message);
	cr_assert_null(snapshot);
	cr_assert_eq(lf_domain_state(running), LF_DOMAIN_RUNNING);
	OK(lf_domain_freeze_at(running, &at, &snapshot, &arrival, &error));
	cr_assert_eq(lf_domain_state(running), LF_DOMAIN_FROZEN);
	OK(lf_vcpu_read_regs(running, 0, &regs, &error));
	cr_assert_eq(regs.rip, address);
	cr_assert_eq(arrival.vcpu, 0);
	cr_assert_eq(arrival.arrivals, 1);
	cr_assert_eq(
	    arrival.cr3 & ~UINT64_C(0xfff), regs.cr3 & ~UINT64_C(0xfff));
	lf_snapshot_unref(snapshot);
	OK(lf_domain_thaw(running, &error));
	OK(lf_domain_unpause(running, &error));
}

/* The disk is the parent's again, and the ticks. */
static void
check_reset(struct lf_domain *fork, const struct lf_domain_config *config,
    const struct console *parent, struct console *console)
{
	console_run(console, "disk write /dev/vda 8 8 16");
	console_close(console);
	unlink(((struct qemu_domain *)fork->impl)->config->serial.path);
	OK(lf_domain_reset(fork, &error));
	console_of(console, config, "two");
	OK(lf_domain_unpause(fork, &error));
	check_goes_on(parent, console, 1);
	console_run(console, "! disk check /dev/vda 8 8 16");
}

Test(full_fork, forks_go_on_and_the_parent_stays_as_it_was, .timeout = 900)
{
	cleanup_config struct lf_domain_config *config =
	    guest_linux("pc", "iomem=relaxed xf.run=tick,agent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL, *second = NULL;
	cleanup_domain struct lf_domain *parent = NULL;
	struct lf_domain *forks[3], *grandchild;
	struct console console, of_fork[3], of_grandchild;
	uint64_t video, ram, disk, function;
	static const char *const names[] = {"one", "two", "three"};
	cleanup_close int given = -1;
	struct lf_fork_options options;
	struct lf_domain *again = NULL;

	config->video = LF_VIDEO_STD;
	add_disk(config);
	parent = booted(config, &console);
	video = video_memory(&console);
	console_run(&console, "mem write 0x%" PRIx64 " 8192 11", video);
	console_run(&console, "mem write 0xe8000 4096 12");
	console_run(&console, "disk write /dev/vda 0 8 13");
	console_wait(&console, 0, "tick 3\n", 300000);

	OK(lf_domain_freeze(parent, &snapshot, &error));
	console_drain(&console, 50);
	cr_assert_eq(lf_domain_state(parent), LF_DOMAIN_FROZEN);
	ram = file_hash(ram_file_fd(snapshot->image->files[0]));
	disk = disk_hash();
	cr_assert(is_writable(snapshot, 0xe8000));
	check_pattern(parent, 0xe8000, 12);
	check_pattern(parent, video, 11);
	check_host_addresses(parent, snapshot);
	function = kernel_function(parent, "do_syscall_64");

	for (size_t i = 0; i < 3; i++) {
		forks[i] = fork_of(snapshot, names[i]);
		console_of(&of_fork[i], config, names[i]);
		OK(lf_domain_unpause(forks[i], &error));
	}
	for (size_t i = 0; i < 3; i++)
		check_goes_on(&console, &of_fork[i], 2);
	console_run(&of_fork[0], "mem check 0x%" PRIx64 " 8192 11", video);
	console_run(&of_fork[0], "mem check 0xe8000 4096 12");

	/* Disks: the parent's bytes are there, a fork's own stay with it. */
	console_run(&of_fork[0], "disk check /dev/vda 0 8 13");
	console_run(&of_fork[0], "disk write /dev/vda 0 8 14");
	console_run(&of_fork[1], "disk check /dev/vda 0 8 13");

	/* A fork of a fork, by the pages in which the fork differs. */
	console_run(&of_fork[0], "mem write 0x%" PRIx64 " 4096 15", video);
	OK(lf_domain_freeze(forks[0], &second, &error));
	console_drain(&of_fork[0], 50);
	cr_assert_gt(lf_snapshot_delta_bytes(second), 0);
	cr_assert_lt(lf_snapshot_delta_bytes(second), 64 << 20);
	check_pattern(forks[0], video, 15);
	grandchild = fork_of(second, "child");
	console_of(&of_grandchild, config, "one.child");
	OK(lf_domain_unpause(grandchild, &error));
	check_goes_on(&of_fork[0], &of_grandchild, 2);
	console_run(&of_grandchild, "mem check 0x%" PRIx64 " 4096 15", video);
	console_run(&of_grandchild, "disk check /dev/vda 0 8 14");

	for (int i = 0; i < (getenv("LF_SOAK") != NULL ? 50 : 5); i++)
		check_reset(forks[1], config, &console, &of_fork[1]);

	/* The device state in a file, as -Q takes it. */
	given = memfd_create("given", MFD_CLOEXEC);
	OK(lf_snapshot_write_devstate(snapshot, given, &error));
	OK(lf_snapshot_check_devstate(snapshot, given, &error));
	cr_assert_eq(
	    lf_snapshot_check_devstate(second, given, &error), -EINVAL);
	cr_assert_not_null(
	    strstr(error.message, "vCPU 0"), "%s", error.message);
	options = guest_fork_options("given");
	options.devstate_fd = given;
	OK(lf_domain_fork(snapshot, &options, &again, &error));
	lf_domain_free(again);

	/* Nobody touched the parent; it goes on when its forks are gone. */
	cr_assert_eq(lf_domain_thaw(parent, &error), -EBUSY);
	lf_domain_free(grandchild);
	for (size_t i = 0; i < 3; i++)
		lf_domain_free(forks[i]);
	cr_assert_eq(file_hash(ram_file_fd(snapshot->image->files[0])), ram);
	cr_assert_eq(disk_hash(), disk);
	lf_snapshot_unref(take_ptr(snapshot));
	cr_assert_eq(lf_domain_thaw(parent, &error), -EBUSY);
	lf_snapshot_unref(take_ptr(second));
	OK(lf_domain_thaw(parent, &error));
	OK(lf_domain_unpause(parent, &error));
	check_freeze_at(parent, function);
	{
		char next[32];

		snprintf(next, sizeof(next), "tick %u\n",
		    ticks_check(console.text) + 2);
		console_wait(&console, 0, next, 300000);
		ticks_check(console.text);
	}
	console_run(&console, "disk write /dev/vda 0 8 17");
	cr_assert_neq(disk_hash(), disk);
	console_close(&console);
	console_close(&of_grandchild);
	for (size_t i = 0; i < 3; i++)
		console_close(&of_fork[i]);
}

/* Pages that the guest wrote, the one at `i` with the pattern `FIRST + i`. */
struct places {
	uint64_t gpas[3];
	size_t count;
};

enum { FIRST = 21 };

static void
add_place(struct places *places, struct console *console, uint64_t gpa)
{
	console_run(console, "mem write 0x%" PRIx64 " 4096 %zu", gpa,
	    FIRST + places->count);
	places->gpas[places->count++] = gpa;
}

static void
write_places(
    struct lf_domain *domain, const struct places *places, uint64_t first)
{
	char page[4096];

	for (size_t i = 0; i < places->count; i++) {
		pattern_fill(page, sizeof(page), first + i);
		OK(lf_memory_write(
		    domain, places->gpas[i], page, sizeof(page), &error));
	}
}

static void
check_places(
    struct lf_domain *domain, const struct places *places, uint64_t first)
{
	for (size_t i = 0; i < places->count; i++)
		check_pattern(domain, places->gpas[i], first + i);
}

static void
guest_checks_places(
    struct console *console, const struct places *places, uint64_t first)
{
	for (size_t i = 0; i < places->count; i++)
		console_run(console, "mem check 0x%" PRIx64 " 4096 %" PRIu64,
		    places->gpas[i], first + i);
}

/*
 * A fork of the same snapshot in two phases, where there is a KVM: without
 * device model its pages are written and reset; what is written then is there
 * after the late launch, and Linux goes on.
 */
static void
check_two_phases(struct lf_snapshot *snapshot,
    const struct lf_domain_config *config, const struct console *parent,
    const struct places *places)
{
	struct lf_launch_options launch = {
	    .launcher = guest_launcher(), .devstate_fd = -1};
	cleanup_domain struct lf_domain *fork = NULL;
	struct lf_fork_options options;
	struct console console;

	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return;
	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_KVM;
	options.launcher = guest_launcher();
	options.name = "phases";
	options.verify_every = 1;
	OK(lf_domain_fork(snapshot, &options, &fork, &error));
	check_places(fork, places, FIRST);
	write_places(fork, places, 41);
	check_places(fork, places, 41);
	OK(lf_domain_reset(fork, &error));
	check_places(fork, places, FIRST);
	write_places(fork, places, 51);
	OK(lf_domain_launch(fork, &launch, &error));
	cr_assert_eq(lf_domain_backend(fork), LF_BACKEND_QEMU);
	console_of(&console, config, "phases");
	OK(lf_domain_unpause(fork, &error));
	guest_checks_places(&console, places, 51);
	check_goes_on(parent, &console, 2);
	console_close(&console);
}

/*
 * RAM above 4 GiB, video memory, OVMF with a variable store. The CPU has only
 * what every KVM can go on with.
 */
Test(full_fork, a_large_q35_guest_with_ovmf)
{
	cleanup_config struct lf_domain_config *config =
	    guest_linux("q35", "iomem=relaxed memmap=1M$0x180000000 "
			       "xf.run=tick,agent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = NULL, *fork = NULL;
	cleanup_free char *nvram = guest_path("vars.fd");
	struct console console, of_fork;
	struct places places = {.count = 0};
	uint64_t vars;
	int fd;

	if (access(OVMF_CODE, R_OK) < 0)
		cr_skip_test("there is no OVMF");
	config->machine = LF_MACHINE_Q35;
	config->memory_bytes = UINT64_C(5) << 30;
	config->video = LF_VIDEO_STD;
	OK(lf_domain_config_set(&config->cpu, COMMON_CPU, &error));
	config->firmware.type = LF_FIRMWARE_PFLASH;
	guest_shell("cp %s %s", OVMF_VARS, nvram);
	OK(lf_domain_config_set(&config->firmware.path, OVMF_CODE, &error));
	OK(lf_domain_config_set(&config->firmware.nvram, nvram, &error));
	parent = booted(config, &console);
	add_place(&places, &console, 0x180000000);
	/* Behind what is on the screen, which Linux may draw on. */
	add_place(&places, &console, video_memory(&console) + (12 << 20));
	stop_at_breakpoint(parent);
	lf_domain_dispatch(parent, NULL, &error);

	OK(lf_domain_freeze(parent, &snapshot, &error));
	console_drain(&console, 50);
	if (is_writable(snapshot, 0xe8000)) {
		lf_snapshot_unref(take_ptr(snapshot));
		OK(lf_domain_thaw(parent, &error));
		OK(lf_domain_unpause(parent, &error));
		add_place(&places, &console, 0xe8000);
		OK(lf_domain_freeze(parent, &snapshot, &error));
		console_drain(&console, 50);
	}
	check_places(parent, &places, FIRST);
	check_host_addresses(parent, snapshot);
	fd = open(nvram, O_RDONLY | O_CLOEXEC);
	vars = file_hash(fd);

	fork = fork_of(snapshot, "fork");
	console_of(&of_fork, config, "fork");
	OK(lf_domain_unpause(fork, &error));
	check_goes_on(&console, &of_fork, 2);
	guest_checks_places(&of_fork, &places, FIRST);
	check_two_phases(snapshot, config, &console, &places);
	cr_assert_eq(file_hash(fd), vars);
	close(fd);
	console_close(&console);
	console_close(&of_fork);
}

/*
 * Every machine, firmware, size and video adapter: patterns of the guest are
 * where the map says, and are there in a fork.
 */
static void
check_map_of(const char *name, enum lf_machine machine, bool large, bool video,
    bool ovmf)
{
	cleanup_config struct lf_domain_config *config = guest_linux(
	    name, "iomem=relaxed memmap=1M$0x170000000 xf.run=tick,agent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = NULL, *fork = NULL;
	struct console console, of_fork;
	struct {
		uint64_t gpa;
		bool there;
	} places[] = {
	    {0x170000000, large},
	    {0, video},
	    {0xe8000, !ovmf},
	};

	config->machine = machine;
	config->memory_bytes = large ? UINT64_C(5) << 30 : 256 << 20;
	config->video = video ? LF_VIDEO_STD : LF_VIDEO_NONE;
	if (ovmf) {
		cleanup_free char *nvram = guest_path("%s.vars", name);

		config->firmware.type = LF_FIRMWARE_PFLASH;
		guest_shell("cp %s %s", OVMF_VARS, nvram);
		OK(lf_domain_config_set(
		    &config->firmware.path, OVMF_CODE, &error));
		OK(lf_domain_config_set(
		    &config->firmware.nvram, nvram, &error));
	}
	parent = booted(config, &console);
	/* Behind what is on the screen, which Linux may draw on. */
	if (video)
		places[1].gpa = video_memory(&console) + (12 << 20);
	for (size_t i = 0; i < 3; i++)
		if (places[i].there)
			console_run(&console,
			    "mem write 0x%" PRIx64 " 4096 %zu", places[i].gpa,
			    i + 31);
	OK(lf_domain_freeze(parent, &snapshot, &error));
	console_drain(&console, 50);
	cr_assert_eq(
	    memory_map_find(&snapshot->map, 0x170000000) != NULL, large);
	check_host_addresses(parent, snapshot);
	fork = fork_of(snapshot, "fork");
	console_of(&of_fork, config, "fork");
	OK(lf_domain_unpause(fork, &error));
	for (size_t i = 0; i < 3; i++) {
		if (!places[i].there)
			continue;
		if (places[i].gpa == 0xe8000)
			cr_assert(is_writable(snapshot, 0xe8000));
		check_pattern(parent, places[i].gpa, i + 31);
		console_run(&of_fork, "mem check 0x%" PRIx64 " 4096 %zu",
		    places[i].gpa, i + 31);
	}
	check_goes_on(&console, &of_fork, 2);
	console_close(&console);
	console_close(&of_fork);
}

/* The first one in check, all in soak; see also the tests above. */
Test(full_fork, every_machine_has_the_right_map, .timeout = 600)
{
	static const struct {
		const char *name;
		enum lf_machine machine;
		bool large, video, ovmf;
	} cases[] = {
	    {"pc-large", LF_MACHINE_PC, true, false, false},
	    {"pc-large-video", LF_MACHINE_PC, true, true, false},
	    {"pc-ovmf", LF_MACHINE_PC, false, true, true},
	    {"q35-small", LF_MACHINE_Q35, false, false, false},
	    {"q35-video", LF_MACHINE_Q35, false, true, false},
	    {"q35-large-video", LF_MACHINE_Q35, true, true, false},
	    {"q35-ovmf-video", LF_MACHINE_Q35, true, true, true},
	};
	size_t count =
	    getenv("LF_SOAK") != NULL ? sizeof(cases) / sizeof(cases[0]) : 1;

	for (size_t i = 0; i < count; i++)
		if (!cases[i].ovmf || access(OVMF_CODE, R_OK) == 0)
			check_map_of(cases[i].name, cases[i].machine,
			    cases[i].large, cases[i].video, cases[i].ovmf);
}
