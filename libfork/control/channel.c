/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection that carries objects with descriptors.
 */
#include "control/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

/* One object that the socket did not take whole. Descriptors go with its first
 * byte and are closed then. */
struct channel_output {
	struct channel_output *next;
	char *bytes;
	size_t len, sent;
	int fds[FDPASS_MAX];
	size_t fd_count;
};

static void
output_free(struct channel_output *out)
{
	if (out == NULL)
		return;
	while (out->fd_count > 0)
		close_fd(out->fds[--out->fd_count]);
	free(out->bytes);
	free(out);
}
DEFINE_CLEANUP(struct channel_output *, output_free);

int
channel_init(struct channel *c, int take_sock, struct lf_error *error)
{
	int flags;

	*c = (struct channel){.sock = take_sock};
	frame_reader_init(&c->reader, CHANNEL_OBJECT_MAX);
	flags = sys.fcntl(take_sock, F_GETFL, 0);
	if (flags < 0 ||
	    sys.fcntl(take_sock, F_SETFL, flags | O_NONBLOCK) < 0) {
		int rc = error_sys(
		    error, errno, "cannot make a socket non-blocking");

		channel_done(c);
		return rc;
	}
	return 0;
}

void
channel_done(struct channel *c)
{
	while (c->head != NULL) {
		struct channel_output *out = c->head;

		c->head = out->next;
		output_free(out);
	}
	while (c->fd_count > 0)
		close_fd(c->fds[--c->fd_count]);
	frame_reader_done(&c->reader);
	c->sock = close_fd(c->sock);
	c->tail = NULL;
	c->queued = 0;
}

static int
output_new(json_t *object, const int *fds, size_t fd_count,
    struct channel_output **ret_out, struct lf_error *error)
{
	cleanup(output_free_p) struct channel_output *out = NULL;
	size_t i;

	if (fd_count > FDPASS_MAX)
		return error_set(error, EINVAL,
		    "%zu descriptors with one message, at most %d go", fd_count,
		    FDPASS_MAX);
	out = sys.calloc(1, sizeof(*out));
	if (out == NULL)
		return error_nomem(error);
	for (i = 0; i < fd_count; i++) {
		int fd = sys.fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return error_sys(
			    error, errno, "cannot copy a descriptor to send");
		out->fds[out->fd_count++] = fd;
	}
	if (fd_count > 0 &&
	    json_object_set_new(object, "fds", json_integer(fd_count)) < 0)
		return error_nomem(error);
	out->bytes = frame_format(object, &out->len);
	if (out->bytes == NULL)
		return error_nomem(error);
	if (out->len > CHANNEL_OBJECT_MAX)
		return error_set(error, EMSGSIZE,
		    "a message of %zu bytes, at most %zu go", out->len,
		    CHANNEL_OBJECT_MAX);
	*ret_out = take_ptr(out);
	return 0;
}

int
channel_queue(struct channel *c, json_t *object, const int *fds,
    size_t fd_count, struct lf_error *error)
{
	struct channel_output *out = NULL;
	int rc;

	if (c->sock < 0)
		return error_set(error, EPIPE, "the connection is closed");
	rc = output_new(object, fds, fd_count, &out, error);
	if (rc < 0 || out == NULL)
		return rc;
	if (c->queued + out->len > CHANNEL_QUEUE_MAX) {
		output_free(out);
		return error_set(error, ENOBUFS,
		    "the other side does not read: %zu bytes wait for it",
		    c->queued);
	}
	if (c->tail != NULL)
		c->tail->next = out;
	else
		c->head = out;
	c->tail = out;
	c->queued += out->len;
	return 0;
}

int
channel_send(struct channel *c, json_t *object, const int *fds, size_t fd_count,
    struct lf_error *error)
{
	int rc = channel_queue(c, object, fds, fd_count, error);

	return rc < 0 ? rc : channel_flush(c, error);
}

int
channel_flush(struct channel *c, struct lf_error *error)
{
	while (c->head != NULL) {
		struct channel_output *out = c->head;
		ssize_t n;

		n = fdpass_send(c->sock, out->bytes + out->sent,
		    out->len - out->sent, out->fds, out->fd_count, error);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		while (out->fd_count > 0)
			close_fd(out->fds[--out->fd_count]);
		out->sent += (size_t)n;
		c->queued -= (size_t)n;
		if (out->sent < out->len)
			continue;
		c->head = out->next;
		if (c->head == NULL)
			c->tail = NULL;
		output_free(out);
	}
	return 0;
}

bool
channel_wants_write(const struct channel *c)
{
	return c->head != NULL;
}

int
channel_read(struct channel *c, struct lf_error *error)
{
	char buf[16384];
	size_t count = 0;
	ssize_t n;
	int rc;

	n = fdpass_receive(c->sock, buf, sizeof(buf), c->fds + c->fd_count,
	    FDPASS_MAX - c->fd_count, &count, error);
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	if (count == FDPASS_LOST) {
		if (c->lost)
			return channel_say_lost(error);
		c->lost = true;
		c->before_lost = c->fd_count;
		count = 0;
	}
	c->fd_count += count;
	if (n == 0)
		return error_set(
		    error, EPIPE, "the other side closed the connection");
	rc = frame_append(&c->reader, buf, (size_t)n, error);
	return rc < 0 ? rc : 1;
}

/* How many descriptors an object says that it has. */
static int
declared_fds(const json_t *object, size_t *ret_count, struct lf_error *error)
{
	const json_t *fds = json_object_get(object, "fds");

	*ret_count = 0;
	if (fds == NULL)
		return 0;
	if (!json_is_integer(fds) || json_integer_value(fds) < 0 ||
	    json_integer_value(fds) > FDPASS_MAX)
		return error_set(error, EBADMSG,
		    "member 'fds' of a message: a number from 0 to %d wanted",
		    FDPASS_MAX);
	*ret_count = (size_t)json_integer_value(fds);
	return 0;
}

int
channel_next(
    struct channel *c, struct channel_message *ret, struct lf_error *error)
{
	json_t *object = NULL;
	size_t count;
	int rc;

	rc = frame_next(&c->reader, &object, error);
	if (rc <= 0)
		return rc;
	rc = declared_fds(object, &count, error);
	ret->lost = rc == 0 && c->lost && count > c->before_lost;
	if (ret->lost) {
		c->lost = false;
		count = c->before_lost;
	}
	if (rc == 0 && count > c->fd_count)
		rc = error_set(error, EBADMSG,
		    "a message says that it has %zu descriptors, %zu came",
		    count, c->fd_count);
	if (rc < 0) {
		json_decref(object);
		return rc;
	}
	ret->object = object;
	ret->fd_count = count;
	memcpy(ret->fds, c->fds, count * sizeof(int));
	c->fd_count -= count;
	c->before_lost -= c->lost ? count : 0;
	memmove(c->fds, c->fds + count, c->fd_count * sizeof(int));
	return 1;
}

int
channel_say_lost(struct lf_error *error)
{
	return error_set(error, EMFILE,
	    "the descriptors of a message got lost: process %d has too many "
	    "open (raise its limit, RLIMIT_NOFILE)",
	    (int)getpid());
}

int
channel_message_take_fd(struct channel_message *m, size_t index)
{
	return index < m->fd_count ? take_fd(&m->fds[index]) : -1;
}

void
channel_message_done(struct channel_message *m)
{
	while (m->fd_count > 0)
		close_fd(m->fds[--m->fd_count]);
	json_decref(m->object);
	m->object = NULL;
}
