/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes with descriptors over a unix socket.
 */
#include "base/fdpass.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

union control {
	struct cmsghdr header; /* for alignment */
	char bytes[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
};

ssize_t
fdpass_send(int sock, const void *bytes, size_t len, const int *fds,
    size_t fd_count, struct lf_error *error)
{
	union control control;
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd_count > FDPASS_MAX)
		return error_set(error, EINVAL,
		    "%zu descriptors in one message, at most %d are sent",
		    fd_count, FDPASS_MAX);
	if (fd_count > 0) {
		struct cmsghdr *cmsg;

		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
	}
	do
		n = sys.sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(error, errno, "cannot send to the socket");
	return n;
}

ssize_t
fdpass_receive(int sock, void *buf, size_t len, int *fds, size_t max,
    size_t *ret_count, struct lf_error *error)
{
	union control control;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg;
	size_t count = 0, dropped = 0;
	ssize_t n;

	do
		n = sys.recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(error, errno, "cannot read from the socket");

	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		size_t here, i;

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		here = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < here; i++) {
			int fd;

			memcpy(
			    &fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (count < max)
				fds[count++] = fd;
			else {
				close_fd(fd);
				dropped++;
			}
		}
	}
	if (dropped == 0 && !(msg.msg_flags & MSG_CTRUNC)) {
		*ret_count = count;
		return n;
	}
	/* The kernel gives as many as the process may still open. */
	*ret_count = FDPASS_LOST;
	if (dropped == 0 && count < FDPASS_MAX) {
		while (count > 0)
			close_fd(fds[--count]);
		return n;
	}
	while (count > 0)
		close_fd(fds[--count]);
	return error_set(error, EBADMSG,
	    "more than %zu descriptors came in one message", max);
}
