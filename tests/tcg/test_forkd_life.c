/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd with domains that boot in no time: what the commands do, and that
 * nothing is left behind.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/start.h"
#include "lib/count.h"
#include "lib/forkd_test.h"
#include "lib/guest_vm.h"

TestSuite(forkd, .init = forkd_setup, .fini = forkd_teardown, .timeout = 600);

Test(forkd, commands_change_states_as_the_manual_says)
{
	char *serial = guest_path("a.serial");
	unsigned id, tick;
	json_t *result;

	forkd_start(NULL);
	id = forkd_create(guest_bootless("a"));
	cr_assert_str_eq(forkd_text(id, "state"), "running");
	cr_assert_str_eq(forkd_text(id, "accelerator"), "tcg");
	cr_assert_str_eq(forkd_text(id, "accelerator-reason"), "as configured");
	forkd_wait_tick(serial, 1);

	forkd_refuses("unpause", forkd_domain(id), -EBADFD,
	    "domain 1 ('a') is running, 'unpause' is not possible now");
	forkd_do("pause", id);
	cr_assert_str_eq(forkd_text(id, "state"), "paused");
	tick = forkd_wait_tick(serial, 1);
	usleep(500000);
	cr_assert_eq(forkd_wait_tick(serial, 1), tick);
	forkd_refuses("pause", forkd_domain(id), -EBADFD, "is paused");
	forkd_refuses("shutdown", forkd_domain(id), -EBADFD, "is paused");
	forkd_do("unpause", id);
	forkd_wait_tick(serial, tick);

	json_decref(forkd_call(
	    "rename", forkd_domain_with(id, "name", json_string("b"))));
	result = forkd_call("domid", json_pack("{s:s}", "name", "b"));
	cr_assert_eq(json_integer_value(json_object_get(result, "id")), id);
	json_decref(result);
	forkd_refuses("rename",
	    forkd_domain_with(id, "name", json_string("17")), -EINVAL,
	    "is a number");
	forkd_refuses("domid", json_pack("{s:s}", "name", "a"), -ENOENT,
	    "no domain has the name 'a'");

	forkd_do("freeze", id);
	cr_assert_str_eq(forkd_text(id, "state"), "frozen");
	forkd_refuses("freeze", forkd_domain(id), -EBADFD, "is frozen");
	tick = forkd_wait_tick(serial, 1);
	forkd_do("unpause", id);
	forkd_wait_tick(serial, tick);
	forkd_do("destroy", id);
	forkd_refuses("info", forkd_domain(id), -ENOENT,
	    "no domain has the id or name '1'");
	forkd_check_empty();
	free(serial);
}

Test(forkd, forks_go_on_from_the_frozen_tick_and_hold_their_parent)
{
	char *serial = guest_path("a.serial");
	struct lf_domain_config *config = guest_bootless("a");
	unsigned parent, fork, tick, i;
	json_t *result, *forks;

	forkd_start(NULL);
	guest_add_disk(config, "disk");
	parent = forkd_create(config);
	tick = forkd_wait_tick(serial, 2);
	result = forkd_call(
	    "fork-vm", forkd_domain_with(parent, "count", json_integer(3)));
	forks = json_object_get(result, "forks");
	cr_assert_eq(json_array_size(forks), 3);
	cr_assert_str_eq(forkd_text(parent, "state"), "frozen");
	tick = forkd_wait_tick(serial, tick - 1);
	for (i = 0; i < 3; i++) {
		const json_t *row = json_array_get(forks, i);
		char *path = guest_path("a.serial.%s",
		    json_string_value(json_object_get(row, "name")));

		cr_assert_eq(
		    json_integer_value(json_object_get(row, "id")), 2 + i);
		/* Its own console begins after the parent's last line. */
		forkd_wait_tick(path, tick);
		free(path);
	}
	cr_assert_eq(forkd_overlays(), 3);
	cr_assert_eq(forkd_wait_tick(serial, 0), tick);
	forkd_refuses("unpause", forkd_domain(parent), -EBUSY,
	    "domain 1 ('a') is held by 3 forks: 2 ('a.2'), 3 ('a.3'), 4 "
	    "('a.4'); destroy them first");
	forkd_refuses("destroy", forkd_domain(parent), -EBUSY, "--recursive");

	/* A fork of a fork. */
	fork = forkd_fork(2);
	cr_assert_eq(forkd_number(fork, "parent"), 2);
	forkd_refuses("destroy", forkd_domain(2), -EBUSY, "held by 1 fork: ");
	forkd_do("destroy", fork);
	for (i = 2; i <= 4; i++)
		forkd_do("destroy", i);
	cr_assert_eq(forkd_overlays(), 0);
	/* Nobody holds it any more. */
	forkd_do("unpause", parent);
	forkd_wait_tick(serial, tick);
	forkd_fork(parent);
	forkd_fork(parent);
	json_decref(result);
	result = forkd_call(
	    "destroy", forkd_domain_with(parent, "recursive", json_true()));
	cr_assert_eq(json_array_size(json_object_get(result, "destroyed")), 3);
	json_decref(result);
	forkd_check_empty();
	free(serial);
}

Test(forkd, a_fork_gets_the_configuration_that_it_may_have)
{
	struct lf_domain_config *config = guest_bootless("a");
	struct lf_domain_config *fork = NULL;
	char *overlay = guest_path("mine.qcow2");
	json_t *arguments;
	unsigned parent;

	forkd_start(NULL);
	guest_add_disk(config, "disk");
	cr_assert_eq(lf_domain_config_copy(config, &fork, NULL), 0);
	parent = forkd_create(config);
	arguments =
	    forkd_domain_with(parent, "config", forkd_config_value(fork));
	forkd_refuses("fork-vm", arguments, -EEXIST, "the name 'a' is taken");

	lf_domain_config_set(&fork->name, "mine", NULL);
	lf_domain_config_set(&fork->disks[0].path, overlay, NULL);
	fork->memory_bytes *= 2;
	forkd_refuses("fork-vm",
	    forkd_domain_with(parent, "config", forkd_config_value(fork)),
	    -EINVAL, "memory");
	fork->memory_bytes /= 2;
	arguments =
	    forkd_domain_with(parent, "config", forkd_config_value(fork));
	json_object_set_new(arguments, "count", json_integer(2));
	forkd_refuses(
	    "fork-vm", arguments, -EINVAL, "cannot share one configuration");

	/* A file that is there and is something else is not touched. */
	guest_shell("echo precious > %s", overlay);
	forkd_refuses("fork-vm",
	    forkd_domain_with(parent, "config", forkd_config_value(fork)),
	    -EEXIST, "exists and is no qcow2 on");
	guest_shell("grep -q precious %s && rm %s", overlay, overlay);

	json_decref(forkd_call("fork-vm",
	    forkd_domain_with(parent, "config", forkd_config_value(fork))));
	cr_assert_eq(access(overlay, F_OK), 0);
	/* It is where the user wanted it, and stays. */
	cr_assert_eq(forkd_overlays(), 0);
	json_decref(forkd_call(
	    "destroy", forkd_domain_with(parent, "recursive", json_true())));
	cr_assert_eq(access(overlay, F_OK), 0);
	forkd_check_empty();
	lf_domain_config_free(fork);
	free(overlay);
}

/*
 * The generation id as the guest's firmware describes it: the ACPI table says
 * where a page is (VGIA, a named 32-bit number), which has the id at byte 40.
 */
static void
check_generation_id(struct console *console, const char *bytes)
{
	static const char table[] =
	    "cat /sys/firmware/acpi/tables/SSDT* | hexdump -ve '1/1 \"%02x\"' "
	    "| sed -n 's/.*56474941"
	    "0c\\(..\\)\\(..\\)\\(..\\)\\(..\\).*/\\4\\3\\2\\1/p'";
	unsigned page =
	    (unsigned)strtoul(console_run(console, "%s", table), NULL, 16);

	cr_assert_gt(page, 0, "there is no generation id");
	cr_assert_not_null(
	    strstr(console_run(console, "mem dump 0x%x 16", page + 40), bytes),
	    "%s", console->text);
}

Test(forkd, a_generation_id_changes_when_it_is_asked_for)
{
	struct lf_domain_config *config =
	    guest_linux("a", "iomem=relaxed xf.run=agent");
	struct lf_domain_config *fork = NULL;
	struct console console;
	char *path = guest_path("a.serial");
	unsigned parent;

	config->vmgenid.present = true;
	lf_uuid_parse(
	    "01020304-0506-0708-090a-0b0c0d0e0f10", &config->vmgenid.value);
	cr_assert_eq(lf_domain_config_copy(config, &fork, NULL), 0);
	forkd_start(NULL);
	parent = forkd_create(config);
	console_open(&console, path);
	console_wait(&console, 0, "agent> ready", 300000);
	/* A GUID in memory has its first three parts in little endian. */
	check_generation_id(&console, "0403020106050807090a0b0c0d0e0f10");
	console_close(&console);
	free(path);

	/* Without an id the parent's stays. */
	lf_domain_config_set(&fork->name, "same", NULL);
	path = guest_path("same.serial");
	lf_domain_config_set(&fork->serial.path, path, NULL);
	fork->vmgenid.value.set = false;
	json_decref(forkd_call("fork-vm",
	    forkd_domain_with(parent, "config", forkd_config_value(fork))));
	console_open(&console, path);
	check_generation_id(&console, "0403020106050807090a0b0c0d0e0f10");
	console_close(&console);
	free(path);

	lf_domain_config_set(&fork->name, "other", NULL);
	path = guest_path("other.serial");
	lf_domain_config_set(&fork->serial.path, path, NULL);
	lf_uuid_parse(
	    "f1f2f3f4-f5f6-f7f8-f9fa-fbfcfdfeff00", &fork->vmgenid.value);
	json_decref(forkd_call("fork-vm",
	    forkd_domain_with(parent, "config", forkd_config_value(fork))));
	console_open(&console, path);
	check_generation_id(&console, "f4f3f2f1f6f5f8f7f9fafbfcfdfeff00");
	console_close(&console);
	free(path);

	/* A parent without the device has none to change. */
	fork->vmgenid.present = false;
	fork->vmgenid.value.set = false;
	lf_domain_config_set(&fork->name, "none", NULL);
	forkd_refuses("fork-vm",
	    forkd_domain_with(parent, "config", forkd_config_value(fork)),
	    -EINVAL, "vmgenid.present: the parent has on");
	json_decref(forkd_call(
	    "destroy", forkd_domain_with(parent, "recursive", json_true())));
	forkd_check_empty();
	lf_domain_config_free(fork);
}

/* The real user of a process. */
static uid_t
user_of(pid_t pid)
{
	char path[64];
	char *status, *line;
	unsigned uid = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	status = file_text(path);
	line = strstr(status, "\nUid:");
	cr_assert_eq(sscanf(line, "\nUid: %u", &uid), 1);
	free(status);
	return uid;
}

Test(forkd, images_in_a_directory_that_qemus_user_cannot_enter)
{
	struct lf_domain_config *config = guest_bootless("a");
	const struct passwd *nobody = getpwnam("nobody");
	char *serial = guest_path("a.serial");
	unsigned id, tick;

	if (geteuid() != 0)
		cr_skip_test("only root's forkd runs QEMU as another user");
	guest_shell("mkdir -m 0700 %s/private", guest_dir());
	guest_shell("cp %s %s/private/firmware && chmod 0600 "
		    "%s/private/firmware",
	    config->firmware.path, guest_dir(), guest_dir());
	free(config->firmware.path);
	config->firmware.path = guest_path("private/firmware");
	guest_add_disk(config, "private/disk");
	guest_shell("chmod 0600 %s/private/disk", guest_dir());
	forkd_start(NULL);
	id = forkd_create(config);
	tick = forkd_wait_tick(serial, 1);
	cr_assert_eq(
	    user_of((pid_t)forkd_number(id, "qemu-pid")), nobody->pw_uid);
	cr_assert_eq(user_of((pid_t)forkd_number(id, "pid")), nobody->pw_uid);
	id = forkd_fork(id);
	free(serial);
	serial = guest_path("a.serial.a.2");
	forkd_wait_tick(serial, tick);
	cr_assert_eq(
	    user_of((pid_t)forkd_number(id, "qemu-pid")), nobody->pw_uid);
	free(serial);
}

Test(forkd, a_qcow2_image_brings_its_backing_file)
{
	struct lf_domain_config *config = guest_bootless("a");
	struct lf_disk *disk;

	guest_shell("qemu-img create -q -f raw %s/base 8M", guest_dir());
	guest_shell("cd %s && qemu-img create -q -f qcow2 -F raw -b base top",
	    guest_dir());
	cr_assert_eq(lf_domain_config_add_disk(config, &disk, NULL), 0);
	disk->path = guest_path("top");
	disk->format = LF_DISK_QCOW2;
	forkd_start(NULL);
	forkd_create(config);
	forkd_fork(1);
	/* Both files of the image are open in the fork's QEMU. */
	guest_shell("ls -l /proc/%d/fd | grep -q '%s/base$'",
	    (int)forkd_number(2, "qemu-pid"), guest_dir());
	guest_shell("ls -l /proc/%d/fd | grep -q '%s/top$'",
	    (int)forkd_number(2, "qemu-pid"), guest_dir());
}

/* The daemon's resident memory. */
static unsigned long
resident_kib(void)
{
	char path[64];
	char *status, *line;
	unsigned long kib = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", forkd_pid());
	status = file_text(path);
	line = strstr(status, "\nVmRSS:");
	cr_assert_eq(sscanf(line, "\nVmRSS: %lu", &kib), 1);
	free(status);
	return kib;
}

static unsigned
descriptors(void)
{
	char command[64];
	unsigned count = 0;
	FILE *out;

	snprintf(
	    command, sizeof(command), "ls /proc/%d/fd | wc -l", forkd_pid());
	out = popen(command, "r");
	cr_assert_eq(fscanf(out, "%u", &count), 1);
	pclose(out);
	return count;
}

static void
one_round(void)
{
	struct lf_domain_config *config = guest_bootless("a");
	unsigned parent, fork;

	parent = forkd_create(config);
	fork = forkd_fork(parent);
	forkd_do("destroy", fork);
	forkd_do("destroy", parent);
}

Test(forkd, rounds_of_create_fork_destroy_leak_nothing)
{
	unsigned long rounds = test_count(100, 1000), i, kib = 0;
	unsigned fds = 0;

	forkd_start(NULL);
	for (i = 0; i < rounds; i++) {
		one_round();
		if (i == 9) {
			/* What is being taken leave of is not counted. */
			forkd_wait_processes(1);
			kib = resident_kib();
			fds = descriptors();
		}
	}
	forkd_wait_processes(1);
	cr_assert_eq(descriptors(), fds);
	/*
	 * The heap settles within some pages. A sanitizer keeps what was freed,
	 * and looks for leaks itself when forkd ends.
	 */
#if !defined(__SANITIZE_ADDRESS__)
	cr_assert_lt(resident_kib(), kib + 512);
#else
	(void)kib;
#endif
	forkd_check_empty();
	forkd_stop();
}

/* As a forkd that is just ending: it has the lock, and nobody listens. */
static pid_t
lock_for(unsigned ms)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char *path = guest_path("run/lock");
	int fds[2];
	char byte;
	pid_t pid;

	guest_shell("mkdir -m 700 %s/run", guest_dir());
	cr_assert_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(path, O_RDWR | O_CREAT, 0600);

		if (fcntl(fd, F_SETLK, &lock) == 0 && write(fds[1], "", 1) == 1)
			usleep(ms * 1000);
		_exit(0);
	}
	close(fds[1]);
	cr_assert_eq(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	free(path);
	return pid;
}

/* The forkd that a command would start, in this test's directories. */
static void
choose_forkd(char *program, size_t size)
{
	const char *top = getenv("top_builddir");
	char name[64];

	snprintf(program, size, "%s/forkd/forkd", top != NULL ? top : ".");
	snprintf(name, sizeof(name), "%s/run", guest_dir());
	setenv("FORKD_RUN_DIR", name, 1);
	snprintf(name, sizeof(name), "%s/state", guest_dir());
	setenv("FORKD_STATE_DIR", name, 1);
}

Test(forkd, a_command_waits_for_a_forkd_that_is_ending_and_starts_another)
{
	struct control_client *client = NULL;
	struct lf_error error;
	char program[4096];
	pid_t ending;

	choose_forkd(program, sizeof(program));
	ending = lock_for(500);
	cr_assert_eq(control_start(program, true, 300000, &client, &error), 0,
	    "%s", error.message);
	waitpid(ending, NULL, 0);
	control_client_free(client);
	forkd_wait_processes(0);
}

Test(forkd, one_that_was_started_by_a_command_goes_with_the_last_domain)
{
	struct control_client *client = NULL;
	struct lf_error error;
	char program[4096];
	unsigned waited;

	choose_forkd(program, sizeof(program));
	cr_assert_eq(
	    control_start(program, false, 300000, &client, &error), -ENOENT);
	cr_assert_eq(control_start(program, true, 300000, &client, &error), 0,
	    "%s", error.message);
	{
		struct lf_domain_config *config = guest_bootless("a");

		cr_assert_eq(control_client_call(client, "create",
				 json_pack("{s:o}", "config",
				     forkd_config_value(config)),
				 NULL, NULL, 300000, NULL, &error),
		    0, "%s", error.message);
		lf_domain_config_free(config);
	}
	control_client_free(client);
	usleep(600000);
	/* A domain keeps it; then nothing does. */
	cr_assert_eq(control_start(program, false, 300000, &client, &error), 0);
	cr_assert_eq(control_client_call(client, "destroy", forkd_domain(1),
			 NULL, NULL, 300000, NULL, &error),
	    0);
	control_client_free(client);
	for (waited = 0; access(forkd_socket(), F_OK) == 0; waited += 20) {
		cr_assert_lt(waited, 300000);
		usleep(20000);
	}
	forkd_wait_processes(0);
}
