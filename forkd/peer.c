/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection in an event loop.
 */
#include "forkd/peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

/* Calls of ours that may be open at once: one for each domain, of a few
 * clients. */
#define CALLS_MAX 16384

/* How long a peer may take to read the last answer. */
#define FINISH_SECONDS 5

struct call {
	struct call *next;
	struct peer *peer;
	json_int_t id;
	char command[32];
	struct event *timer;
	peer_done *done;
	void *opaque;
};

struct peer {
	struct event_base *base;
	struct channel channel;
	const struct peer_ops *ops;
	void *opaque;
	struct event *readable, *writable;
	struct event *down; /* fires once, when the connection broke */
	struct lf_error why;
	bool broken, finishing, freed;
	unsigned in_use; /* functions of this file that are on the stack */
	struct call *calls;
	unsigned call_count;
	json_int_t last_id;
	struct peer_request *requests;
};

static void
event_free_p(struct event **event)
{
	if (*event != NULL)
		event_free(*event);
	*event = NULL;
}

static void
break_down(struct peer *peer, const struct lf_error *why)
{
	struct timeval now = {0};

	if (peer->broken)
		return;
	peer->broken = true;
	peer->why = *why;
	event_del(peer->readable);
	event_del(peer->writable);
	event_add(peer->down, &now);
}

static void
call_free(struct call *call)
{
	event_free_p(&call->timer);
	free(call);
}

static void
fail_calls(struct peer *peer, const struct lf_error *why)
{
	while (peer->calls != NULL) {
		struct call *call = peer->calls;
		struct lf_error error = *why;

		peer->calls = call->next;
		peer->call_count--;
		error_prefix(&error, error.code < 0 ? error.code : -EPIPE,
		    "command '%s' was not answered", call->command);
		call->done(call->opaque, &error, NULL, NULL);
		call_free(call);
	}
}

static void
destroy(struct peer *peer)
{
	event_free_p(&peer->readable);
	event_free_p(&peer->writable);
	event_free_p(&peer->down);
	channel_done(&peer->channel);
	free(peer);
}

static void
enter(struct peer *peer)
{
	peer->in_use++;
}

static void
leave(struct peer *peer)
{
	if (--peer->in_use == 0 && peer->freed)
		destroy(peer);
}

static void
on_down(evutil_socket_t fd, short what, void *arg)
{
	struct peer *peer = arg;

	(void)fd;
	(void)what;
	enter(peer);
	fail_calls(peer, &peer->why);
	if (!peer->freed)
		peer->ops->closed(peer->opaque, &peer->why);
	leave(peer);
}

/* After anything was queued or sent. */
static void
update_writable(struct peer *peer)
{
	if (peer->broken)
		return;
	if (channel_wants_write(&peer->channel)) {
		event_add(peer->writable, NULL);
		return;
	}
	event_del(peer->writable);
	if (peer->finishing)
		break_down(peer, &peer->why);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *peer = arg;
	struct lf_error error;

	(void)fd;
	(void)what;
	if (channel_flush(&peer->channel, &error) < 0)
		break_down(peer, &error);
	update_writable(peer);
}

/*
 * An error is that this object cannot be sent, for want of memory or
 * descriptors or for its size; the connection is as it was.
 */
static int
try_send(struct peer *peer, json_t *object, const int *fds, size_t fd_count,
    struct lf_error *error)
{
	struct lf_error why;
	int rc;

	if (peer->broken)
		return 0;
	if (object == NULL)
		return error_nomem(error);
	rc = channel_queue(&peer->channel, object, fds, fd_count, error);
	if (rc < 0 && rc != -ENOBUFS)
		return rc;
	if (rc < 0)
		break_down(peer, error);
	else if (channel_flush(&peer->channel, &why) < 0)
		break_down(peer, &why);
	else
		update_writable(peer);
	return 0;
}

/* What the other side waits for, or would miss. */
static void
send_object(struct peer *peer, json_t *object)
{
	struct lf_error error;

	if (try_send(peer, object, NULL, 0, &error) < 0)
		break_down(peer, &error);
}

static struct call *
take_call(struct peer *peer, json_int_t id)
{
	struct call **at, *call;

	for (at = &peer->calls; *at != NULL; at = &(*at)->next)
		if ((*at)->id == id) {
			call = *at;
			*at = call->next;
			peer->call_count--;
			return call;
		}
	return NULL;
}

static void
handle_answer(struct peer *peer, struct channel_message *m)
{
	struct call *call = take_call(
	    peer, json_integer_value(json_object_get(m->object, "id")));
	struct lf_error error;
	json_t *result = NULL;
	int rc;

	/* The answer to a call that timed out. */
	if (call == NULL)
		return;
	rc = m->lost ? channel_say_lost(&error)
		     : control_read_answer(m->object, &result, &error);
	call->done(call->opaque, rc < 0 ? &error : NULL, result, m);
	json_decref(result);
	call_free(call);
}

/* Hands a request to the owner; takes the message. */
static void
handle_request(struct peer *peer, struct channel_message *m)
{
	struct peer_request *request = sys.calloc(1, sizeof(*request));
	struct lf_error error;

	if (request == NULL) {
		error_nomem(&error);
		break_down(peer, &error);
		channel_message_done(m);
		return;
	}
	request->peer = peer;
	request->message = *m;
	*m = (struct channel_message){0};
	request->name = json_string_value(
	    json_object_get(request->message.object, "execute"));
	request->arguments =
	    json_object_get(request->message.object, "arguments");
	request->next = peer->requests;
	peer->requests = request;
	if (request->name == NULL) {
		error_set(&error, EBADMSG,
		    "member 'execute' of a message has to be a string");
		peer_fail(request, &error);
	} else if (request->message.lost) {
		channel_say_lost(&error);
		peer_fail(request, &error);
	} else
		peer->ops->request(peer->opaque, request);
}

static void
handle_message(struct peer *peer, struct channel_message *m)
{
	json_t *object = m->object;
	const char *event = json_string_value(json_object_get(object, "event"));
	struct lf_error error;

	if (peer->ops->request != NULL &&
	    json_object_get(object, "execute") != NULL)
		handle_request(peer, m);
	else if (json_object_get(object, "return") != NULL ||
		 json_object_get(object, "error") != NULL)
		handle_answer(peer, m);
	else if (event != NULL && peer->ops->event != NULL)
		peer->ops->event(
		    peer->opaque, event, json_object_get(object, "data"));
	else if (peer->ops->request != NULL) {
		json_t *answer;

		error_set(&error, EBADMSG, "a message without 'execute'");
		answer =
		    control_make_error(&error, json_object_get(object, "id"));
		send_object(peer, answer);
		json_decref(answer);
	}
	channel_message_done(m);
}

/* Works off what has arrived, as far as it may be now. */
static void
handle_messages(struct peer *peer)
{
	struct channel_message m = {0};
	struct lf_error error;

	enter(peer);
	while (!peer->freed && !peer->broken && !peer->finishing) {
		int rc;

		if (peer->ops->serial && peer->requests != NULL) {
			event_del(peer->readable);
			break;
		}
		rc = channel_next(&peer->channel, &m, &error);
		if (rc == 0)
			break;
		if (rc < 0) {
			json_t *answer = control_make_error(&error, NULL);

			send_object(peer, answer);
			json_decref(answer);
			peer_finish(peer, &error);
			break;
		}
		handle_message(peer, &m);
	}
	leave(peer);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *peer = arg;
	struct lf_error error;

	(void)fd;
	(void)what;
	if (channel_read(&peer->channel, &error) < 0)
		break_down(peer, &error);
	else
		handle_messages(peer);
}

int
peer_new(struct event_base *base, int take_sock, const struct peer_ops *ops,
    void *opaque, struct peer **ret_peer, struct lf_error *error)
{
	struct peer *peer = sys.calloc(1, sizeof(*peer));
	int rc;

	if (peer == NULL) {
		close_fd(take_sock);
		return error_nomem(error);
	}
	*peer = (struct peer){.base = base, .ops = ops, .opaque = opaque};
	rc = channel_init(&peer->channel, take_sock, error);
	if (rc < 0) {
		free(peer);
		return rc;
	}
	peer->readable =
	    event_new(base, take_sock, EV_READ | EV_PERSIST, on_readable, peer);
	peer->writable = event_new(
	    base, take_sock, EV_WRITE | EV_PERSIST, on_writable, peer);
	peer->down = evtimer_new(base, on_down, peer);
	if (peer->readable == NULL || peer->writable == NULL ||
	    peer->down == NULL || event_add(peer->readable, NULL) < 0) {
		destroy(peer);
		return error_nomem(error);
	}
	*ret_peer = peer;
	return 0;
}

void
peer_free(struct peer *peer)
{
	struct lf_error why;
	struct peer_request *request;

	if (peer == NULL || peer->freed)
		return;
	peer->freed = true;
	peer->broken = true;
	event_del(peer->readable);
	event_del(peer->writable);
	event_del(peer->down);
	enter(peer);
	error_set(&why, EPIPE, "the connection was closed");
	fail_calls(peer, &why);
	for (request = peer->requests; request != NULL; request = request->next)
		request->peer = NULL;
	leave(peer);
}

static void
on_call_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct call *call = arg;
	struct peer *peer = call->peer;
	struct lf_error error;

	(void)fd;
	(void)what;
	if (take_call(peer, call->id) == NULL)
		return;
	enter(peer);
	error_set(&error, ETIMEDOUT, "command '%s' was not answered in time",
	    call->command);
	call->done(call->opaque, &error, NULL, NULL);
	call_free(call);
	leave(peer);
}

void
peer_call(struct peer *peer, const char *command, const struct peer_load *load,
    int timeout_ms, peer_done *done, void *opaque)
{
	static const struct peer_load nothing = {.take_arguments = NULL};
	struct timeval limit = {timeout_ms / 1000, (timeout_ms % 1000) * 1000L};
	struct call *call = sys.calloc(1, sizeof(*call));
	struct lf_error error;
	struct event *timer;
	json_t *message;
	int rc;

	if (load == NULL)
		load = &nothing;
	/* A call without its time limit might never end. */
	timer = call != NULL ? evtimer_new(peer->base, on_call_timeout, call)
			     : NULL;
	if (timer == NULL || peer->call_count >= CALLS_MAX ||
	    (timeout_ms >= 0 && event_add(timer, &limit) < 0)) {
		event_free_p(&timer);
		free(call);
		json_decref(load->take_arguments);
		error_nomem(&error);
		done(opaque, &error, NULL, NULL);
		return;
	}
	*call = (struct call){.next = peer->calls,
	    .peer = peer,
	    .id = ++peer->last_id,
	    .timer = timer,
	    .done = done,
	    .opaque = opaque};
	strncpy(call->command, command, sizeof(call->command) - 1);
	peer->calls = call;
	peer->call_count++;
	/* A broken peer fails its calls when the loop tells of its end. */
	message = control_make_command(command, load->take_arguments, call->id);
	rc = try_send(peer, message, load->fds, load->fd_count, &error);
	json_decref(message);
	if (rc < 0) {
		call_free(take_call(peer, call->id));
		error_prefix(&error, rc, "command '%s'", command);
		done(opaque, &error, NULL, NULL);
	}
}

void
peer_send(struct peer *peer, json_t *object)
{
	send_object(peer, object);
}

void
peer_finish(struct peer *peer, const struct lf_error *why)
{
	struct timeval limit = {FINISH_SECONDS, 0};

	if (peer->broken || peer->finishing)
		return;
	peer->finishing = true;
	peer->why = *why;
	event_del(peer->readable);
	/* Whoever does not even read why is not waited for. */
	event_add(peer->down, &limit);
	update_writable(peer);
}

json_t *
peer_request_argument(const struct peer_request *request, const char *name)
{
	return json_object_get(request->arguments, name);
}

const char *
peer_request_string(const struct peer_request *request, const char *name)
{
	return json_string_value(peer_request_argument(request, name));
}

int
peer_request_fd(struct peer_request *request, const char *name)
{
	const json_t *index = peer_request_argument(request, name);

	return index == NULL ? -1
			     : channel_message_take_fd(&request->message,
				   (size_t)json_integer_value(index));
}

/* The answer that was meant to be sent cannot be. */
static void
refuse(struct peer *peer, const struct peer_request *request,
    const struct lf_error *why)
{
	json_t *object = control_make_error(
	    why, json_object_get(request->message.object, "id"));

	send_object(peer, object);
	json_decref(object);
}

/* Sends the answer, or why it cannot be sent, and forgets the request. */
static int
answer(struct peer_request *request, json_t *take_object, const int *fds,
    size_t fd_count)
{
	struct peer *peer = request->peer;
	struct lf_error error;
	int rc = 0;

	if (peer != NULL) {
		struct peer_request **at = &peer->requests;

		while (*at != request)
			at = &(*at)->next;
		*at = request->next;
		rc = try_send(peer, take_object, fds, fd_count, &error);
		if (rc < 0)
			refuse(peer, request, &error);
	}
	json_decref(take_object);
	channel_message_done(&request->message);
	free(request);
	/* The next command may wait in the buffer already. */
	if (peer != NULL && peer->ops->serial && !peer->broken &&
	    !peer->finishing) {
		event_add(peer->readable, NULL);
		if (peer->in_use == 0)
			handle_messages(peer);
	}
	return rc;
}

bool
peer_request_deserted(const struct peer_request *request)
{
	struct pollfd p = {.events = 0};

	if (request->peer == NULL || request->peer->broken)
		return true;
	/* One that only writes no more may still read: that is no POLLHUP. */
	p.fd = request->peer->channel.sock;
	return sys.poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

int
peer_return(struct peer_request *request, json_t *take_result, const int *fds,
    size_t fd_count)
{
	return answer(request,
	    control_make_return(
		take_result, json_object_get(request->message.object, "id")),
	    fds, fd_count);
}

void
peer_fail(struct peer_request *request, const struct lf_error *error)
{
	answer(request,
	    control_make_error(
		error, json_object_get(request->message.object, "id")),
	    NULL, 0);
}
