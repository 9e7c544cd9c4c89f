/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes with descriptors over a unix socket (SCM_RIGHTS). Received
 * descriptors are close-on-exec from birth, and all of them are closed when
 * more arrive than the caller has room for: nobody can fill our table.
 */
#ifndef BASE_FDPASS_H
#define BASE_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#include <libfork/error.h>

/* At most as many in one message; the kernel's own limit (SCM_MAX_FD) is 253.
 */
#define FDPASS_MAX 64

/*
 * Sends some of `len` bytes (len > 0), and all descriptors with the first of
 * them. Returns how many bytes went out, or -EAGAIN when a non-blocking socket
 * is full (then no descriptor went either), or another negative errno. Never
 * raises SIGPIPE.
 */
ssize_t fdpass_send(int sock, const void *bytes, size_t len, const int *fds,
    size_t fd_count, struct lf_error *error);

/* In place of a count: descriptors came, and this process had no room. */
#define FDPASS_LOST ((size_t)-1)

/*
 * Receives up to `len` bytes and up to `max` descriptors. Returns how many
 * bytes came, 0 at the end of the stream, -EAGAIN, or another negative errno.
 * `*ret_count` descriptors in `fds` are the caller's; FDPASS_LOST: the bytes
 * are there, and those that came with them are gone.
 */
ssize_t fdpass_receive(int sock, void *buf, size_t len, int *fds, size_t max,
    size_t *ret_count, struct lf_error *error);

#endif
