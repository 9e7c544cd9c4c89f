/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection to a gdb stub. A stop that is reported while an answer is
 * awaited is kept for gdb_link_wait_stop(). Packets are acknowledged: QEMU
 * does not offer to go without.
 */
#include "qemu/gdb_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"

int
gdb_link_gone(struct lf_error *error)
{
	return error_set(error, EPIPE,
	    "gdb stub: the connection ended (QEMU exited, or the guest was "
	    "powered off)");
}

/* Waits for `events` until `deadline`: 1, or 0 when it passed. */
static int
wait_fd(struct gdb_link *link, short events, int64_t deadline,
    struct lf_error *error)
{
	struct pollfd fd = {.fd = link->fd, .events = events};
	int64_t left;
	int n;

	for (;;) {
		left = deadline - clock_ms();
		n = sys.poll(&fd, 1, left < 0 ? 0 : (int)left);
		if (n < 0 && errno != EINTR)
			return error_sys(error, errno, "gdb stub: cannot wait");
		if (n > 0)
			return 1;
		if (n == 0)
			return 0;
	}
}

int
gdb_link_send(struct gdb_link *link, const char *bytes, size_t len,
    struct lf_error *error)
{
	int64_t deadline = clock_ms() + link->timeout_ms;
	ssize_t n;
	int rc;

	while (len > 0) {
		struct iovec iov = {(void *)bytes, len};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

		n = sys.sendmsg(link->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			bytes += n;
			len -= n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EPIPE || errno == ECONNRESET)
			return gdb_link_gone(error);
		if (errno != EAGAIN)
			return error_sys(error, errno, "gdb stub: cannot send");
		rc = wait_fd(link, POLLOUT, deadline, error);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return error_set(
			    error, ETIMEDOUT, "gdb stub: QEMU does not read");
	}
	return 0;
}

static int
send_packet(struct gdb_link *link, const void *payload, size_t len,
    struct lf_error *error)
{
	char wire[GDB_PACKET_MAX];
	int n = gdb_packet_write(payload, len, wire, sizeof(wire));

	if (n < 0)
		return error_set(
		    error, EMSGSIZE, "gdb stub: a request of %zu bytes", len);
	return gdb_link_send(link, wire, n, error);
}

/* Reads what is there: 1, or 0 when nothing is. */
static int
receive(struct gdb_link *link, struct lf_error *error)
{
	ssize_t n;

	do {
		struct iovec iov = {
		    link->in + link->in_len, sizeof(link->in) - link->in_len};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

		n = sys.recvmsg(link->fd, &msg, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return gdb_link_gone(error);
	if (n < 0)
		return error_sys(error, errno, "gdb stub: cannot receive");
	link->in_len += n;
	return 1;
}

/*
 * Takes the next packet into link->packet and acknowledges it: 1, or 0 when
 * none came by `deadline`.
 */
static int
next_packet(struct gdb_link *link, int64_t deadline, struct lf_error *error)
{
	size_t used;
	int rc;

	for (;;) {
		rc = gdb_packet_read(link->in, link->in_len, link->packet,
		    &link->packet_len, &used, error);
		memmove(link->in, link->in + used, link->in_len - used);
		link->in_len -= used;
		if (rc < 0)
			return rc;
		if (rc > 0) {
			rc = gdb_link_send(link, "+", 1, error);
			return rc < 0 ? rc : 1;
		}
		rc = receive(link, error);
		if (rc == 0)
			rc = wait_fd(link, POLLIN, deadline, error);
		if (rc <= 0)
			return rc;
	}
}

/* Whether the last packet reports a stop; if so, it is kept. */
static int
take_stop(struct gdb_link *link)
{
	const char *text = link->packet, *thread;
	unsigned signal;

	if (link->packet_len < 3 || strchr("TSWX", text[0]) == NULL)
		return 0;
	if (sscanf(text + 1, "%2x", &signal) != 1)
		return 0;
	link->stop = (struct gdb_stop){.kind = text[0], .signal = signal};
	thread = strstr(text, "thread:");
	if (thread != NULL) {
		thread += strlen("thread:");
		/* With the process before it where the stub has several. */
		if (*thread == 'p' && strchr(thread, '.') != NULL)
			thread = strchr(thread, '.') + 1;
		link->stop.thread = strtoul(thread, NULL, 16);
	}
	link->stopped = true;
	return 1;
}

int
gdb_link_request(
    struct gdb_link *link, const char *payload, struct lf_error *error)
{
	int64_t deadline = clock_ms() + link->timeout_ms;
	int rc;

	rc = send_packet(link, payload, strlen(payload), error);
	while (rc >= 0) {
		rc = next_packet(link, deadline, error);
		if (rc == 0)
			return error_set(error, ETIMEDOUT,
			    "gdb stub: no answer to '%.32s' within %d ms",
			    payload, link->timeout_ms);
		if (rc > 0 && !take_stop(link))
			return 0;
	}
	return rc;
}

int
gdb_link_command(
    struct gdb_link *link, const char *payload, struct lf_error *error)
{
	int rc = gdb_link_request(link, payload, error);

	if (rc < 0)
		return rc;
	if (strcmp(link->packet, "OK") != 0)
		return error_set(error, EREMOTEIO,
		    "gdb stub: '%.32s' was answered '%.32s', not OK", payload,
		    link->packet);
	return 0;
}

int
gdb_link_wait_stop(struct gdb_link *link, int timeout_ms,
    struct gdb_stop *ret_stop, struct lf_error *error)
{
	int64_t deadline = clock_ms() + timeout_ms;
	int rc;

	while (!link->stopped) {
		rc = next_packet(link, deadline, error);
		if (rc <= 0)
			return rc;
		if (!take_stop(link))
			return error_set(error, EBADMSG,
			    "gdb stub: '%.32s' where a stop was awaited",
			    link->packet);
	}
	link->stopped = false;
	*ret_stop = link->stop;
	return 1;
}

int
gdb_link_resume(
    struct gdb_link *link, const char *payload, struct lf_error *error)
{
	link->stopped = false;
	return send_packet(link, payload, strlen(payload), error);
}
