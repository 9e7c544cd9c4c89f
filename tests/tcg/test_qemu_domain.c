/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of domains on QEMU with a guest that needs no boot: many forks,
 * many rounds, everything that can go wrong, and what is left afterwards.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "domain/backend.h"
#include "domain/qemu_domain.h"
#include "lib/fault.h"
#include "lib/guest_vm.h"
#include "snapshot/snapshot.h"

#define TICK_ADDRESS 0x7000

TestSuite(
    qemu_domain, .init = guest_setup, .fini = guest_teardown, .timeout = 120);

static struct lf_error error;
#define OK(call) cr_assert_eq((call), 0, "%s: %s", #call, error.message)

static bool
soak(void)
{
	return getenv("LF_SOAK") != NULL;
}

static int
try_fork(struct lf_snapshot *snapshot, const char *name, int devstate_fd,
    struct lf_domain **ret)
{
	struct lf_fork_options options = guest_fork_options(name);

	options.devstate_fd = devstate_fd;
	return lf_domain_fork(snapshot, &options, ret, &error);
}

static struct lf_domain *
fork_of(struct lf_snapshot *snapshot, const char *name)
{
	struct lf_domain *fork = NULL;

	OK(try_fork(snapshot, name, -1, &fork));
	return fork;
}

static struct lf_domain *
ticking(const struct lf_domain_config *config)
{
	struct lf_domain *domain = NULL;

	OK(lf_domain_create(config, guest_launcher(), &domain, &error));
	OK(lf_domain_unpause(domain, &error));
	free(guest_wait_text(config->serial.path, "tick 2\n"));
	return domain;
}

static uint32_t
frozen_tick(struct lf_domain *domain)
{
	uint32_t tick = 0;

	OK(lf_memory_read(domain, TICK_ADDRESS, &tick, sizeof(tick), &error));
	return tick;
}

Test(qemu_domain, twenty_forks_at_once)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = ticking(config);
	struct lf_domain *forks[20];
	uint64_t ram;
	char next[32];

	OK(lf_domain_freeze(parent, &snapshot, &error));
	ram = file_hash(ram_file_fd(snapshot->image->files[0]));
	snprintf(next, sizeof(next), "tick %u\n", frozen_tick(parent) + 2);
	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		forks[i] = fork_of(snapshot, name);
		OK(lf_domain_unpause(forks[i], &error));
	}
	for (int i = 0; i < 20; i++) {
		cleanup_free char *path = guest_path("parent.serial.f%d", i);
		cleanup_free char *text = guest_wait_text(path, next);

		cr_assert_null(strstr(text, "BOOTED"));
		ticks_check(text);
	}
	for (int i = 0; i < 20; i++)
		lf_domain_free(forks[i]);
	cr_assert_eq(file_hash(ram_file_fd(snapshot->image->files[0])), ram);
}

Test(qemu_domain, rounds_of_create_fork_and_free_leave_nothing)
{
	int rounds = soak() ? 200 : 8, before = 0;

	for (int i = 0; i < rounds; i++) {
		cleanup_config struct lf_domain_config *config =
		    guest_bootless("parent");
		cleanup_snapshot struct lf_snapshot *snapshot = NULL;
		cleanup_domain struct lf_domain *parent = NULL;

		OK(lf_domain_create(config, guest_launcher(), &parent, &error));
		OK(lf_domain_unpause(parent, &error));
		OK(lf_domain_freeze(parent, &snapshot, &error));
		lf_domain_free(fork_of(snapshot, "a"));
		lf_domain_free(take_ptr(parent));
		lf_snapshot_unref(take_ptr(snapshot));
		cr_assert_eq(guest_children(), 0);
		if (i == 0)
			before = fault_open_descriptors();
		cr_assert_eq(fault_open_descriptors(), before);
	}
}

Test(qemu_domain, four_generations)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	struct lf_domain *line[5] = {ticking(config)};
	struct lf_snapshot *snapshots[5];
	char serial[64] = "parent.serial";
	uint32_t last = 0;

	for (int i = 0; i < 4; i++) {
		cleanup_free char *path = NULL, *text = NULL;
		char name[8], next[32];

		OK(lf_domain_freeze(line[i], &snapshots[i], &error));
		cr_assert_geq(frozen_tick(line[i]), last);
		last = frozen_tick(line[i]);
		snprintf(name, sizeof(name), "g%d", i);
		line[i + 1] = fork_of(snapshots[i], name);
		OK(lf_domain_unpause(line[i + 1], &error));
		/* Its console is named after its parent's. */
		snprintf(serial + strlen(serial),
		    sizeof(serial) - strlen(serial), ".%s", name);
		path = guest_path("%s", serial);
		snprintf(next, sizeof(next), "tick %u\n", last + 1);
		text = guest_wait_text(path, next);
	}
	OK(lf_domain_freeze(line[4], &snapshots[4], &error));
	cr_assert_gt(frozen_tick(line[4]), last);
	/* In any order. */
	for (int i = 0; i < 5; i++) {
		lf_snapshot_unref(snapshots[i]);
		lf_domain_free(line[i]);
	}
}

Test(qemu_domain, a_killed_qemu_is_a_crashed_domain)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_domain struct lf_domain *parent = ticking(config);
	struct pollfd pfd = {
	    .fd = lf_domain_event_fd(parent), .events = POLLIN};
	struct qemu_domain *qemu = parent->impl;

	while (lf_domain_dispatch(parent, NULL, &error) > 0)
		;
	cr_assert_eq(lf_domain_state(parent), LF_DOMAIN_RUNNING);
	kill(qemu->process.pid, SIGKILL);
	for (int i = 0; i < 50 && lf_domain_state(parent) == LF_DOMAIN_RUNNING;
	     i++) {
		cr_assert_eq(poll(&pfd, 1, 300000), 1);
		lf_domain_dispatch(parent, NULL, &error);
	}
	cr_assert_eq(lf_domain_state(parent), LF_DOMAIN_CRASHED);
	cr_assert_not_null(strstr(lf_domain_reason(parent), "QEMU ended"), "%s",
	    lf_domain_reason(parent));
	cr_assert_lt(lf_domain_unpause(parent, &error), 0);
}

/* QEMU says that it shuts down before it goes: no crash. */
Test(qemu_domain, a_qemu_that_shuts_down_is_an_ended_domain)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_domain struct lf_domain *parent = ticking(config);
	struct pollfd pfd = {
	    .fd = lf_domain_event_fd(parent), .events = POLLIN};

	OK(qmp_execute(((struct qemu_domain *)parent->impl)->qmp, "quit", NULL,
	    NULL, &error));
	for (int i = 0; i < 50 && lf_domain_state(parent) == LF_DOMAIN_RUNNING;
	     i++) {
		lf_domain_dispatch(parent, NULL, &error);
		poll(&pfd, 1, 1000);
	}
	cr_assert_eq(lf_domain_state(parent), LF_DOMAIN_ENDED);
	cr_assert_lt(lf_domain_unpause(parent, &error), 0);
}

/* The guest sees its power button, and is off when it wants to be. */
Test(qemu_domain, a_guest_that_is_asked_to_powers_off)
{
	static const enum lf_machine machines[] = {
	    LF_MACHINE_PC, LF_MACHINE_Q35};

	for (size_t i = 0; i < 2; i++) {
		cleanup_config struct lf_domain_config *config =
		    guest_bootless(lf_machine_name(machines[i]));
		cleanup_domain struct lf_domain *domain = NULL;
		struct pollfd pfd = {.events = POLLIN};

		config->machine = machines[i];
		domain = ticking(config);
		OK(lf_domain_shutdown(domain, &error));
		free(guest_wait_text(config->serial.path, "off\n"));
		pfd.fd = lf_domain_event_fd(domain);
		while (lf_domain_state(domain) == LF_DOMAIN_RUNNING) {
			cr_assert_eq(poll(&pfd, 1, 300000), 1);
			lf_domain_dispatch(domain, NULL, &error);
		}
		cr_assert_eq(lf_domain_state(domain), LF_DOMAIN_ENDED, "%s",
		    lf_domain_reason(domain));
		cr_assert_eq(lf_domain_shutdown(domain, &error), -EINVAL);
	}
}

/* Each with a part of its message; none leaves anything behind. */
Test(qemu_domain, what_cannot_be_started_says_why)
{
	static const struct {
		const char *args[3];
		const char *message;
	} cases[] = {
	    {{"-device", "no-such-device"}, "no-such-device"},
	    {{"-device", "nvme,serial=1"}, "igrat"},
	    {{"-no-such-option"}, "no-such-option"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_config struct lf_domain_config *config =
		    guest_bootless("parent");
		struct lf_domain *domain = NULL;
		int before = fault_open_descriptors();

		for (size_t k = 0; cases[i].args[k] != NULL; k++)
			OK(lf_domain_config_add_qemu_arg(
			    config, cases[i].args[k], &error));
		cr_assert_lt(
		    lf_domain_create(config, guest_launcher(), &domain, &error),
		    0);
		cr_assert_not_null(strstr(error.message, cases[i].message),
		    "%s", error.message);
		cr_assert_eq(guest_children(), 0);
		cr_assert_eq(fault_open_descriptors(), before);
	}
}

Test(qemu_domain, what_cannot_be_forked_is_refused_and_goes_on)
{
	static const struct {
		const char *args[5];
		const char *message;
	} cases[] = {
	    {{"-blockdev", "null-co,node-name=extra"}, "'extra'"},
	    {{"-object", "memory-backend-ram,id=m1,size=16M", "-device",
		 "pc-dimm,memdev=m1"},
		"memory device"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_config struct lf_domain_config *config =
		    guest_bootless("parent");
		cleanup_snapshot struct lf_snapshot *snapshot = NULL;
		cleanup_domain struct lf_domain *parent = NULL;
		cleanup_free char *text = NULL;

		if (i == 1) {
			OK(lf_domain_config_add_qemu_arg(config, "-m", &error));
			OK(lf_domain_config_add_qemu_arg(
			    config, "size=16M,slots=2,maxmem=1G", &error));
		}
		for (size_t k = 0; cases[i].args[k] != NULL; k++)
			OK(lf_domain_config_add_qemu_arg(
			    config, cases[i].args[k], &error));
		unlink(config->serial.path);
		parent = ticking(config);
		cr_assert_eq(lf_domain_freeze(parent, &snapshot, &error),
		    -ENOTSUP, "%s", error.message);
		cr_assert_not_null(strstr(error.message, cases[i].message),
		    "%s", error.message);
		cr_assert_eq(lf_domain_state(parent), LF_DOMAIN_PAUSED);
		OK(lf_domain_unpause(parent, &error));
		text = guest_wait_text(config->serial.path, "tick 5\n");
		ticks_check(text);
	}
}

/* What a fork's own configuration may say, and what overlays it gets. */
Test(qemu_domain, a_fork_with_a_configuration_of_its_own)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_config struct lf_domain_config *own = NULL;
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = NULL;
	cleanup_free char *disk = guest_path("disk.raw"),
			  *mine = guest_path("mine.qcow2"),
			  *taken = guest_path("taken"),
			  *nowhere = guest_path("no/such/directory");
	struct lf_fork_options options;
	struct lf_domain *fork = NULL;
	struct lf_disk *added = NULL;

	guest_shell("truncate -s 1M %s && echo text >%s", disk, taken);
	OK(lf_domain_config_add_disk(config, &added, &error));
	OK(lf_domain_config_set(&added->path, disk, &error));
	parent = ticking(config);
	OK(lf_domain_freeze(parent, &snapshot, &error));
	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_QEMU;
	options.launcher = guest_launcher();
	OK(lf_domain_config_copy(
	    ((struct qemu_domain *)parent->impl)->config, &own, &error));
	options.config = own;
	OK(lf_domain_config_set(&own->name, "own", &error));
	OK(lf_domain_config_set(&own->serial.path, mine, &error));
	own->serial.path[strlen(own->serial.path) - 1] = '_';

	/* An overlay where it is wanted; it goes with the fork. */
	OK(lf_domain_config_set(&own->disks[0].path, mine, &error));
	OK(lf_domain_fork(snapshot, &options, &fork, &error));
	cr_assert_eq(access(mine, F_OK), 0);
	OK(lf_domain_unpause(fork, &error));
	lf_domain_free(fork);
	cr_assert_neq(access(mine, F_OK), 0);

	/* One that is there already, on this very image, and one that is not.
	 */
	guest_shell("qemu-img create -qf qcow2 -F raw -b %s %s", disk, mine);
	OK(lf_domain_fork(snapshot, &options, &fork, &error));
	lf_domain_free(fork);
	OK(lf_domain_config_set(&own->disks[0].path, taken, &error));
	cr_assert_eq(
	    lf_domain_fork(snapshot, &options, &fork, &error), -EEXIST);
	cr_assert_not_null(
	    strstr(error.message, "no qcow2 on"), "%s", error.message);
	cr_assert_eq(access(taken, F_OK), 0);
	OK(lf_domain_config_set(&own->disks[0].path, nowhere, &error));
	cr_assert_eq(lf_domain_fork(snapshot, &options, &fork, &error), -EIO);
	cr_assert_not_null(
	    strstr(error.message, "No such file"), "%s", error.message);

	/* What is in the frozen guest cannot differ. */
	own->vcpus = 2;
	cr_assert_eq(
	    lf_domain_fork(snapshot, &options, &fork, &error), -EINVAL);
	cr_assert_not_null(strstr(error.message, "vcpus"), "%s", error.message);
	cr_assert_eq(guest_children(), 1);
}

/* xen-save-devices-state, by hand, before the freeze: it has no vmdesc. */
Test(qemu_domain, device_state_made_by_hand)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = ticking(config);
	cleanup_free char *stale = guest_path("stale"),
			  *good = guest_path("good"), *cut = guest_path("cut");
	struct qemu_domain *qemu = parent->impl;
	struct lf_domain *fork = NULL;
	int fd;

	OK(lf_domain_pause(parent, &error));
	OK(qmp_execute(qemu->qmp, "xen-save-devices-state",
	    json_pack("{s:s}", "filename", stale), NULL, &error));
	OK(lf_domain_unpause(parent, &error));
	usleep(300000);
	OK(lf_domain_pause(parent, &error));
	OK(qmp_execute(qemu->qmp, "xen-save-devices-state",
	    json_pack("{s:s}", "filename", good), NULL, &error));
	OK(lf_domain_freeze(parent, &snapshot, &error));
	guest_shell("head -c 2000 %s >%s", good, cut);

	fd = open(good, O_RDONLY | O_CLOEXEC);
	OK(lf_snapshot_check_devstate(snapshot, fd, &error));
	OK(try_fork(snapshot, "good", fd, &fork));
	OK(lf_domain_unpause(fork, &error));
	lf_domain_free(fork);
	close(fd);

	fd = open(stale, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(try_fork(snapshot, "stale", fd, &fork), -EINVAL);
	/* In its registers, if it was not halted both times; else in time. */
	cr_assert_not_null(strstr(error.message, " differs from field '"), "%s",
	    error.message);
	close(fd);

	fd = open(cut, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(try_fork(snapshot, "cut", fd, &fork), -EBADMSG);
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(try_fork(snapshot, "null", fd, &fork), -EINVAL);
	close(fd);
	cr_assert_eq(guest_children(), 1);
}

/* A firmware of nothing but CLI and HLT, at the reset vector. */
static void
halt_only(struct lf_domain_config *config)
{
	static const uint8_t code[16] = {0xfa, 0xf4, 0xeb, 0xfc};
	cleanup_free char *path = guest_path("halt.bin");
	cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_eq(ftruncate(fd, 65536), 0);
	cr_assert_eq(pwrite(fd, code, sizeof(code), 65536 - 16), sizeof(code));
	OK(lf_domain_config_set(&config->firmware.path, path, &error));
}

/* Nothing moves in it but its clock: registers alone tell no instant. */
Test(qemu_domain, device_state_of_a_halted_guest_at_another_time)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("halted");
	cleanup_snapshot struct lf_snapshot *old = NULL, *snapshot = NULL;
	cleanup_domain struct lf_domain *domain = NULL;
	cleanup_close int stale = memfd_create("stale", MFD_CLOEXEC);
	cleanup_close int good = memfd_create("good", MFD_CLOEXEC);
	struct lf_domain *fork = NULL;

	halt_only(config);
	OK(lf_domain_create(config, guest_launcher(), &domain, &error));
	OK(lf_domain_unpause(domain, &error));
	usleep(200000);
	OK(lf_domain_freeze(domain, &old, &error));
	OK(lf_snapshot_write_devstate(old, stale, &error));
	lf_snapshot_unref(old);
	old = NULL;
	OK(lf_domain_thaw(domain, &error));
	OK(lf_domain_unpause(domain, &error));
	usleep(200000);
	OK(lf_domain_freeze(domain, &snapshot, &error));
	OK(lf_snapshot_write_devstate(snapshot, good, &error));

	OK(try_fork(snapshot, "good", good, &fork));
	lf_domain_free(fork);
	cr_assert_eq(try_fork(snapshot, "stale", stale, &fork), -EINVAL);
	cr_assert_not_null(
	    strstr(error.message,
		"not of this snapshot: the guest's clock differs from field "
		"'cpu_"),
	    "%s", error.message);
}

/* As between processes: a snapshot that was sent is forked as any other. */
Test(qemu_domain, a_received_snapshot_is_forked)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL, *received = NULL;
	cleanup_domain struct lf_domain *parent = ticking(config);
	cleanup_domain struct lf_domain *fork = NULL;
	cleanup_free char *path = guest_path("parent.serial.far"), *text = NULL;
	char next[32];
	int sv[2];

	OK(lf_domain_freeze(parent, &snapshot, &error));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	OK(lf_snapshot_send(sv[0], snapshot, &error));
	OK(lf_snapshot_receive(sv[1], &received, &error));
	close(sv[0]);
	close(sv[1]);
	fork = fork_of(received, "far");
	OK(lf_domain_unpause(fork, &error));
	snprintf(next, sizeof(next), "tick %u\n", frozen_tick(parent) + 2);
	text = guest_wait_text(path, next);
	cr_assert_null(strstr(text, "BOOTED"));
}

/* Freezing again without having run is the same instant. */
Test(qemu_domain, thaw_and_freeze_without_running)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_domain struct lf_domain *parent = ticking(config);
	struct lf_snapshot *first = NULL, *second = NULL;
	uint32_t tick;

	OK(lf_domain_freeze(parent, &first, &error));
	tick = frozen_tick(parent);
	lf_snapshot_unref(first);
	OK(lf_domain_thaw(parent, &error));
	OK(lf_domain_freeze(parent, &second, &error));
	cr_assert_eq(frozen_tick(parent), tick);
	lf_domain_free(fork_of(second, "fork"));
	lf_snapshot_unref(second);
}

/*
 * What CPU its guests see is found out once for a QEMU. One that is started
 * later may be another program, and is asked anew.
 */
Test(qemu_domain, snapshots_of_one_qemu_know_its_cpu_together)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_domain struct lf_domain *parent = ticking(config);
	cleanup_snapshot struct lf_snapshot *of_fork = NULL;
	struct lf_snapshot *first = NULL;
	struct cpuid_known *known;
	struct lf_domain *fork;

	OK(lf_domain_freeze(parent, &first, &error));
	known = first->cpuid_known;
	cr_assert_not_null(known);
	fork = fork_of(first, "fork");
	OK(lf_domain_freeze(fork, &of_fork, &error));
	cr_assert_neq(of_fork->cpuid_known, known);
	lf_domain_free(fork);
	lf_snapshot_unref(take_ptr(of_fork));
	lf_snapshot_unref(first);
	OK(lf_domain_thaw(parent, &error));
	OK(lf_domain_unpause(parent, &error));
	OK(lf_domain_freeze(parent, &first, &error));
	cr_assert_eq(first->cpuid_known, known);
	lf_snapshot_unref(first);
}

/*
 * The n-th call of a freeze, then of a fork, fails: an error, no process and
 * no descriptor left, and the parent can still be frozen.
 */
Test(qemu_domain, every_failing_call_of_a_freeze_and_a_fork)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = ticking(config);
	unsigned long step = soak() ? 1 : 11;

	OK(lf_domain_pause(parent, &error));
	FAULT_LOOP(fault)
	{
		struct lf_snapshot *taken = NULL;
		int rc;

		lf_error_clear(&error);
		rc = lf_domain_freeze(parent, &taken, &error);
		fault_end(&fault);
		if (rc < 0) {
			cr_assert_neq(error.message[0], '\0', "%s, call %lu",
			    fault.name, fault.round);
			cr_assert_eq(
			    fault_open_descriptors(), fault.descriptors);
		} else {
			lf_snapshot_unref(taken);
			OK(lf_domain_thaw(parent, &error));
			OK(lf_domain_unpause(parent, &error));
			OK(lf_domain_pause(parent, &error));
		}
		if (fault.hit)
			fault.round += step - 1;
	}
	OK(lf_domain_freeze(parent, &snapshot, &error));

	FAULT_LOOP(fault)
	{
		struct lf_domain *fork = NULL;
		int rc;

		lf_error_clear(&error);
		rc = try_fork(snapshot, "fork", -1, &fork);
		fault_end(&fault);
		if (rc < 0)
			cr_assert_neq(error.message[0], '\0', "%s, call %lu",
			    fault.name, fault.round);
		else
			lf_domain_free(fork);
		cr_assert_eq(guest_children(), 1, "%s", fault.name);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors,
		    "%s, call %lu", fault.name, fault.round);
		if (fault.hit)
			fault.round += step - 1;
	}
}
