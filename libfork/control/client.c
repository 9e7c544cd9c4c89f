/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client's connection: one call at a time, events kept aside meanwhile.
 */
#include "control/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "control/channel.h"
#include "control/messages.h"

/* Events kept while a call waits; the oldest goes when there are more. */
#define EVENTS_MAX 1024

struct control_client {
	struct channel channel;
	json_t *events;
	json_int_t last_id;
};

/* When a call began and when it has to be over. */
struct deadline {
	int64_t begin_ms;
	int timeout_ms; /* negative: never */
	const struct control_wait *wait;
};

static struct deadline
deadline_begin(int timeout_ms, const struct control_wait *wait)
{
	return (struct deadline){clock_ms(), timeout_ms, wait};
}

/*
 * Waits until the socket can be read (or written, when something is queued),
 * lets the caller know of the time that goes by.
 */
static int
wait_ready(struct control_client *client, const struct deadline *d,
    struct lf_error *error)
{
	for (;;) {
		struct pollfd p = {
		    .fd = client->channel.sock, .events = POLLIN};
		int64_t elapsed = clock_ms() - d->begin_ms, left = -1;
		int n;

		if (channel_wants_write(&client->channel))
			p.events |= POLLOUT;
		if (d->timeout_ms >= 0) {
			left = d->timeout_ms - elapsed;
			if (left < 0)
				left = 0;
		}
		if (d->wait != NULL &&
		    (left < 0 || left > d->wait->interval_ms))
			left = d->wait->interval_ms;
		n = sys.poll(&p, 1, (int)left);
		if (n < 0 && errno != EINTR)
			return error_sys(error, errno, "cannot wait for forkd");
		if (n > 0)
			return 0;
		elapsed = clock_ms() - d->begin_ms;
		if (d->wait != NULL) {
			int rc = d->wait->waiting(
			    d->wait->opaque, (unsigned)elapsed);

			if (rc < 0)
				return error_set(
				    error, -rc, "gave up waiting for forkd");
		}
		if (d->timeout_ms >= 0 && elapsed >= d->timeout_ms)
			return error_set(error, ETIMEDOUT,
			    "forkd did not answer within %d ms", d->timeout_ms);
	}
}

/* The next object of any kind, in the message that the caller releases. */
static int
next_message(struct control_client *client, const struct deadline *d,
    struct channel_message *m, struct lf_error *error)
{
	int rc;

	for (;;) {
		rc = channel_next(&client->channel, m, error);
		if (rc != 0)
			break;
		rc = wait_ready(client, d, error);
		if (rc == 0)
			rc = channel_flush(&client->channel, error);
		if (rc == 0)
			rc = channel_read(&client->channel, error);
		if (rc < 0)
			break;
	}
	return rc < 0 ? rc : 0;
}

static bool
connection_ended(int rc)
{
	return rc == -EPIPE || rc == -ECONNRESET;
}

static int
connect_socket(
    const char *path, int timeout_ms, int *ret_sock, struct lf_error *error)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cleanup_close int sock = -1;
	/* A full backlog makes connect() wait, as long as a send would. */
	struct timeval limit = {timeout_ms / 1000, (timeout_ms % 1000) * 1000L};

	if (strlen(path) >= sizeof(addr.sun_path))
		return error_set(error, ENAMETOOLONG,
		    "socket path '%s' is longer than %zu bytes", path,
		    sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	sock = sys.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return error_sys(error, errno, "cannot make a socket");
	if (timeout_ms > 0 && sys.setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO,
				  &limit, sizeof(limit)) < 0)
		return error_sys(
		    error, errno, "cannot set a socket's time-out");
	if (sys.connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return error_sys(error, errno == EAGAIN ? ETIMEDOUT : errno,
		    "cannot connect to forkd at '%s'", path);
	*ret_sock = take_fd(&sock);
	return 0;
}

static int
read_greeting(struct control_client *client, const char *path, int timeout_ms,
    struct lf_error *error)
{
	struct deadline d = deadline_begin(timeout_ms, NULL);
	struct channel_message m = {0};
	int rc;

	rc = next_message(client, &d, &m, error);
	if (rc == 0 && json_object_get(m.object, "error") != NULL) {
		json_t *none = NULL;

		rc = control_read_answer(m.object, &none, error);
		json_decref(none);
	} else if (rc == 0 && json_object_get(m.object, "QMP") == NULL)
		rc = error_set(error, EBADMSG,
		    "what listens at '%s' is not a forkd", path);
	channel_message_done(&m);
	return rc;
}

int
control_client_connect(const char *path, int timeout_ms,
    struct control_client **ret_client, struct lf_error *error)
{
	cleanup_client struct control_client *client = NULL;
	cleanup_close int sock = -1;
	int rc;

	rc = connect_socket(path, timeout_ms, &sock, error);
	if (rc < 0)
		return rc;
	client = sys.calloc(1, sizeof(*client));
	if (client == NULL)
		return error_nomem(error);
	client->channel.sock = -1;
	client->events = json_array();
	if (client->events == NULL)
		return error_nomem(error);
	rc = channel_init(&client->channel, take_fd(&sock), error);
	if (rc < 0)
		return rc;
	rc = read_greeting(client, path, timeout_ms, error);
	if (rc < 0)
		return rc;
	*ret_client = take_ptr(client);
	return 0;
}

void
control_client_free(struct control_client *client)
{
	if (client == NULL)
		return;
	channel_done(&client->channel);
	json_decref(client->events);
	free(client);
}

static int
keep_event(struct control_client *client, json_t *event, struct lf_error *error)
{
	if (json_array_size(client->events) >= EVENTS_MAX)
		json_array_remove(client->events, 0);
	if (json_array_append(client->events, event) < 0)
		return error_nomem(error);
	return 0;
}

static int
hand_over_fds(struct channel_message *m, struct control_fds *fds,
    const char *command, struct lf_error *error)
{
	size_t i;

	if (m->fd_count > (fds != NULL ? fds->received_max : 0))
		return error_set(error, EBADMSG,
		    "%s: the answer came with %zu descriptors that nobody "
		    "asked for",
		    command, m->fd_count);
	for (i = 0; i < m->fd_count; i++)
		fds->received[i] = channel_message_take_fd(m, i);
	if (fds != NULL)
		fds->received_count = m->fd_count;
	return 0;
}

/* Waits for the answer to the last command. */
static int
wait_answer(struct control_client *client, const char *command,
    const struct deadline *d, struct control_fds *fds, json_t **ret_result,
    struct lf_error *error)
{
	for (;;) {
		struct channel_message m = {0};
		json_t *result = NULL;
		int rc;

		rc = next_message(client, d, &m, error);
		if (connection_ended(rc))
			return error_set(error, EPIPE,
			    "forkd ended before it answered '%s'; 'xlfork "
			    "list' shows what was done",
			    command);
		if (rc < 0)
			return rc;
		if (json_object_get(m.object, "event") != NULL) {
			rc = keep_event(client, m.object, error);
			channel_message_done(&m);
			if (rc < 0)
				return rc;
			continue;
		}
		/* Without an id: forkd did not understand us at all. */
		if (json_object_get(m.object, "id") != NULL &&
		    json_integer_value(json_object_get(m.object, "id")) !=
			client->last_id) {
			channel_message_done(&m);
			continue;
		}
		rc = m.lost ? channel_say_lost(error)
			    : control_read_answer(m.object, &result, error);
		if (rc == 0)
			rc = hand_over_fds(&m, fds, command, error);
		channel_message_done(&m);
		if (rc == 0 && ret_result != NULL)
			*ret_result = take_ptr(result);
		json_decref(result);
		return rc;
	}
}

int
control_client_call(struct control_client *client, const char *command,
    json_t *take_arguments, struct control_fds *fds,
    const struct control_wait *wait, int timeout_ms, json_t **ret_result,
    struct lf_error *error)
{
	struct deadline d = deadline_begin(timeout_ms, wait);
	json_t *message;
	int rc;

	message =
	    control_make_command(command, take_arguments, ++client->last_id);
	if (message == NULL)
		return error_nomem(error);
	rc = channel_send(&client->channel, message,
	    fds != NULL ? fds->send : NULL, fds != NULL ? fds->send_count : 0,
	    error);
	json_decref(message);
	if (rc < 0)
		return rc;
	return wait_answer(client, command, &d, fds, ret_result, error);
}

int
control_client_next_event(struct control_client *client,
    const struct control_wait *wait, int timeout_ms, json_t **ret_event,
    struct lf_error *error)
{
	struct deadline d = deadline_begin(timeout_ms, wait);

	if (json_array_size(client->events) > 0) {
		*ret_event = json_incref(json_array_get(client->events, 0));
		json_array_remove(client->events, 0);
		return 0;
	}
	for (;;) {
		struct channel_message m = {0};
		int rc = next_message(client, &d, &m, error);

		if (connection_ended(rc))
			return error_set(error, EPIPE,
			    "forkd ended; the next command starts another");
		if (rc < 0)
			return rc;
		if (json_object_get(m.object, "event") != NULL) {
			*ret_event = json_incref(m.object);
			channel_message_done(&m);
			return 0;
		}
		channel_message_done(&m);
	}
}
