/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening what a QEMU is to inherit.
 */
#include "forkd/launch_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The kernel's own headers, after the C library's. */
#include <linux/if.h>
#include <linux/if_tun.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/rundir.h"

int
launch_open(const char *what, const char *path, int flags, int *ret_fd,
    bool *ret_block, struct lf_error *error)
{
	cleanup_close int fd = -1;
	struct stat st;
	int now;

	/* Without waiting: the other end of a FIFO may never come. */
	fd = sys.open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0)
		return error_sys(error, errno == ENXIO ? EINVAL : errno,
		    "cannot open %s '%s'", what, path);
	if (sys.fstat(fd, &st) < 0)
		return error_sys(
		    error, errno, "cannot look at %s '%s'", what, path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) &&
	    !S_ISCHR(st.st_mode))
		return error_set(error, EINVAL,
		    "%s '%s' is neither a file nor a device", what, path);
	now = sys.fcntl(fd, F_GETFL, 0);
	if (now < 0 ||
	    sys.fcntl(fd, F_SETFL, (unsigned long)(now & ~O_NONBLOCK)) < 0)
		return error_sys(
		    error, errno, "cannot set flags of '%s'", path);
	if (ret_block != NULL)
		*ret_block = S_ISBLK(st.st_mode);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int
open_tap(const char *name, int *ret_fd, struct lf_error *error)
{
	cleanup_close int fd = -1;
	struct ifreq request = {
	    .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

	if (strlen(name) >= sizeof(request.ifr_name))
		return error_set(
		    error, EINVAL, "tap '%s' has too long a name", name);
	strcpy(request.ifr_name, name);
	fd = sys.open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return error_sys(error, errno,
		    "cannot open /dev/net/tun for tap '%s'", name);
	if (sys.ioctl(fd, TUNSETIFF, &request) < 0) {
		if (errno == EBUSY)
			return error_set(error, EBUSY,
			    "tap '%s' is in use by another program; name "
			    "another one in the configuration",
			    name);
		if (errno == EPERM)
			return error_set(error, EPERM,
			    "tap '%s' is not for this user; have root make it "
			    "for you: 'ip tuntap add dev %s mode tap user "
			    "USER'",
			    name, name);
		return error_sys(error, errno, "cannot use tap '%s'", name);
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

/* 1: the user may open a file of this owner and mode again; 0: not. */
static int
may_reopen(int fd, const struct lf_qemu_fd *wanted,
    const struct spawn_user *user, struct lf_error *error)
{
	unsigned needed =
	    (wanted->open_flags & O_ACCMODE) == O_RDONLY ? 04 : 06;
	struct stat st;
	unsigned bits;

	if (!user->change)
		return 1;
	if (sys.fstat(fd, &st) < 0)
		return error_sys(error, errno, "cannot look at %s '%s'",
		    wanted->what, wanted->path);
	if (st.st_uid == user->uid)
		bits = st.st_mode >> 6;
	else if (st.st_gid == user->gid || st.st_gid == user->extra_gid)
		bits = st.st_mode >> 3;
	else
		bits = st.st_mode;
	return (bits & needed) == needed;
}

static int
open_file(const struct lf_qemu_fd *wanted, const struct spawn_user *user,
    struct spawn_fd *ret, struct lf_error *error)
{
	int rc;

	rc = launch_open(wanted->what, wanted->path, wanted->open_flags,
	    &ret->fd, NULL, error);
	if (rc < 0 || !wanted->reopened)
		return rc;
	rc = may_reopen(ret->fd, wanted, user, error);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if ((wanted->open_flags & O_ACCMODE) != O_RDONLY)
		return error_set(error, EACCES,
		    "%s '%s': QEMU's user (%u) has no permission to write it",
		    wanted->what, wanted->path, user->uid);
	ret->copy = true;
	return 0;
}

int
launch_open_files(const struct lf_qemu_argv *argv,
    const struct spawn_user *user, int ram_fd, int qmp_fd,
    struct spawn_fd *ret_fds, struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < argv->fd_count; i++)
		ret_fds[i] = (struct spawn_fd){.fd = -1};
	for (i = 0; rc == 0 && i < argv->fd_count; i++) {
		const struct lf_qemu_fd *wanted = &argv->fds[i];
		struct spawn_fd *fd = &ret_fds[i];

		fd->number = wanted->number;
		switch (wanted->kind) {
		case LF_QEMU_FD_RAM:
			fd->fd = ram_fd;
			break;
		case LF_QEMU_FD_QMP:
			fd->fd = qmp_fd;
			break;
		case LF_QEMU_FD_FILE:
			rc = open_file(wanted, user, fd, error);
			break;
		case LF_QEMU_FD_TAP:
			rc = open_tap(wanted->path, &fd->fd, error);
			break;
		case LF_QEMU_FD_LISTEN:
			rc = rundir_listen(
			    wanted->path, 1, 0600, &fd->fd, error);
			break;
		}
	}
	if (rc < 0)
		launch_remove_sockets(argv, ret_fds);
	return rc;
}

void
launch_remove_sockets(
    const struct lf_qemu_argv *argv, const struct spawn_fd *fds)
{
	size_t i;

	for (i = 0; i < argv->fd_count; i++)
		if (argv->fds[i].kind == LF_QEMU_FD_LISTEN && fds[i].fd >= 0)
			unlink(argv->fds[i].path);
}

void
launch_close_files(const struct lf_qemu_argv *argv, struct spawn_fd *fds)
{
	size_t i;

	for (i = 0; i < argv->fd_count; i++)
		if (argv->fds[i].kind != LF_QEMU_FD_RAM &&
		    argv->fds[i].kind != LF_QEMU_FD_QMP)
			fds[i].fd = close_fd(fds[i].fd);
}
