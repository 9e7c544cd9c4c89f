/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files that forkd opens for a QEMU: all of them or none, and none that
 * QEMU's user may not have.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The kernel's own headers, after the C library's. */
#include <linux/if.h>
#include <linux/if_tun.h>

#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/launch_files.h"
#include "lib/fault.h"
#include "lib/scratch.h"

TestSuite(files, .init = scratch_make, .fini = scratch_remove);

static struct sys_table machine;

static int
open_tun(const char *path, int flags, mode_t mode)
{
	return machine.open(
	    strcmp(path, "/dev/net/tun") == 0 ? "/dev/null" : path, flags,
	    mode);
}

/* The only tap of this machine is "free"; "used" is somebody's. */
static int
attach_tap(int fd, unsigned long request, void *arg)
{
	const struct ifreq *tap = arg;

	cr_assert_eq(request, TUNSETIFF);
	cr_assert_geq(fd, 0);
	cr_assert_eq(tap->ifr_flags, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	if (strcmp(tap->ifr_name, "free") == 0)
		return 0;
	errno = strcmp(tap->ifr_name, "used") == 0 ? EBUSY : EPERM;
	return -1;
}

/* Taps without a network, and without the rights to make one. */
static void
play_taps(void)
{
	machine = sys;
	sys.open = open_tun;
	sys.ioctl = attach_tap;
}

Test(files, a_qemu_gets_all_its_files_or_nothing_stays_open)
{
	/* Nobody's user and groups: what others may not read is copied. */
	struct spawn_user user = {
	    .change = true, .uid = 65534, .gid = 65534, .extra_gid = 65534};
	char open_to_all[64], secret[64], listen_at[64];
	struct lf_qemu_fd fds[] = {
	    {.number = 3, .kind = LF_QEMU_FD_RAM},
	    {.number = 4, .kind = LF_QEMU_FD_QMP},
	    {.number = 5,
		.kind = LF_QEMU_FD_FILE,
		.path = open_to_all,
		.open_flags = O_RDWR,
		.reopened = true,
		.what = "disk vda"},
	    {.number = 6,
		.kind = LF_QEMU_FD_LISTEN,
		.path = listen_at,
		.what = "serial port"},
	    {.number = 7,
		.kind = LF_QEMU_FD_FILE,
		.path = secret,
		.open_flags = O_RDONLY,
		.reopened = true,
		.what = "kernel"},
	    {.number = 8, .kind = LF_QEMU_FD_TAP, .path = "free"},
	};
	struct lf_qemu_argv argv = {
	    .fds = fds, .fd_count = sizeof(fds) / sizeof(fds[0])};

	snprintf(open_to_all, sizeof(open_to_all), "%s/all", scratch);
	snprintf(secret, sizeof(secret), "%s/secret", scratch);
	snprintf(listen_at, sizeof(listen_at), "%s/socket", scratch);
	scratch_file(open_to_all, 0666);
	scratch_file(secret, 0600);
	play_taps();
	FAULT_LOOP(fault)
	{
		struct spawn_fd got[sizeof(fds) / sizeof(fds[0])];
		struct lf_error error = {0};
		int rc = launch_open_files(&argv, &user, 0, 1, got, &error);
		bool unseen;

		fault_end(&fault);
		/* lstat() failing stands for: no old socket is there. */
		unseen = fault.hit && strcmp(fault.name, "lstat") == 0;
		if (!unseen)
			cr_assert_eq(rc < 0, fault.hit, "%s: %d %s", fault.name,
			    rc, error.message);
		if (fault.hit && rc < 0)
			cr_assert_neq(error.message[0], '\0');
		if (rc == 0) {
			cr_assert_eq(got[0].fd, 0);
			cr_assert_eq(got[1].fd, 1);
			cr_assert_not(got[2].copy);
			cr_assert_eq(got[3].number, 6);
			cr_assert(got[4].copy);
			cr_assert_geq(got[5].fd, 0);
			cr_assert_eq(got[5].number, 8);
			cr_assert_eq(access(listen_at, F_OK), 0);
		} else
			cr_assert_eq(access(listen_at, F_OK), -1,
			    "%s failed: a socket stayed", fault.name);
		launch_close_files(&argv, got);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors,
		    "%s failed: open files stayed", fault.name);
		unlink(listen_at);
	}
}

Test(files, what_qemu_may_not_write_is_refused_by_name)
{
	struct spawn_user user = {
	    .change = true, .uid = 65534, .gid = 65534, .extra_gid = 65534};
	char path[64], message[160];
	struct lf_qemu_fd fds[] = {{.number = 3,
	    .kind = LF_QEMU_FD_FILE,
	    .path = path,
	    .open_flags = O_RDWR,
	    .reopened = true,
	    .what = "disk vda"}};
	struct lf_qemu_argv argv = {.fds = fds, .fd_count = 1};
	struct spawn_fd got[1];
	struct lf_error error;

	snprintf(path, sizeof(path), "%s/image", scratch);
	scratch_file(path, 0604);
	snprintf(message, sizeof(message),
	    "disk vda '%s': QEMU's user (65534) has no permission to write it",
	    path);
	cr_assert_eq(
	    launch_open_files(&argv, &user, -1, -1, got, &error), -EACCES);
	cr_assert_str_eq(error.message, message);
	launch_close_files(&argv, got);
}

static const struct {
	const char *tap, *message;
	int rc;
} bad_taps[] = {
    {"used",
	"tap 'used' is in use by another program; name another one in the "
	"configuration",
	-EBUSY},
    {"forbidden",
	"tap 'forbidden' is not for this user; have root make it for you: 'ip "
	"tuntap add dev forbidden mode tap user USER'",
	-EPERM},
    {"a-name-that-is-too-long",
	"tap 'a-name-that-is-too-long' has too long a name", -EINVAL},
};

Test(files, a_tap_that_cannot_be_had_is_named)
{
	struct spawn_user same = {.change = false};
	size_t i;

	play_taps();
	for (i = 0; i < sizeof(bad_taps) / sizeof(bad_taps[0]); i++) {
		struct lf_qemu_fd fd = {.number = 3,
		    .kind = LF_QEMU_FD_TAP,
		    .path = bad_taps[i].tap};
		struct lf_qemu_argv argv = {.fds = &fd, .fd_count = 1};
		struct spawn_fd got[1];
		struct lf_error error;

		cr_expect_eq(
		    launch_open_files(&argv, &same, -1, -1, got, &error),
		    bad_taps[i].rc);
		cr_expect_str_eq(error.message, bad_taps[i].message);
		cr_expect_eq(got[0].fd, -1);
	}
}
