/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection in an event loop, the same at both ends: commands that we send
 * and their answers, commands that the other side sends, events either way.
 * forkd has one for each client and each domain process; a domain process has
 * one to forkd.
 *
 * Nothing blocks and nothing is unbounded. When a connection breaks, all open
 * calls fail, then the owner is told through closed(), from the loop and never
 * from inside a function of this file that it called; the owner frees it.
 */
#ifndef FORKD_PEER_H
#define FORKD_PEER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>
#include <libfork/error.h>

#include "control/channel.h"
#include "control/messages.h"

struct peer;

/* A command of the other side; answered exactly once, which frees it. */
struct peer_request {
	struct peer *peer; /* NULL once the connection is gone */
	struct peer_request *next;
	const char *name;               /* of the command */
	json_t *arguments;              /* NULL: none */
	struct channel_message message; /* owns both and the descriptors */
};

struct peer_ops {
	/* The request is the callee's. NULL: commands are not for us. */
	void (*request)(void *opaque, struct peer_request *request);
	void (*event)(void *opaque, const char *name, json_t *data);
	void (*closed)(void *opaque, const struct lf_error *why);
	bool serial; /* a command waits until the one before is answered */
};

/*
 * The end of a call: `error` is NULL and `answer` holds what came (borrowed,
 * descriptors may be taken out), or `error` says why not.
 */
typedef void peer_done(void *opaque, const struct lf_error *error,
    json_t *result, struct channel_message *answer);

/* Takes the socket, also on failure. */
int peer_new(struct event_base *base, int take_sock, const struct peer_ops *ops,
    void *opaque, struct peer **ret_peer, struct lf_error *error);

/*
 * Closes the connection; open calls fail with -EPIPE first, requests that are
 * still being worked on lose their peer. NULL is allowed.
 */
void peer_free(struct peer *peer);

/* What goes with a command: its arguments, which are taken, and descriptors. */
struct peer_load {
	json_t *take_arguments; /* NULL: none */
	const int *fds;
	size_t fd_count;
};

/*
 * Sends a command with its load (NULL: nothing goes with it); -1 ms is for
 * ever. `done` is called exactly once, from the loop, from peer_free(), or at
 * once: then nothing was sent, for want of memory (-ENOMEM) or of descriptors
 * (-EMFILE), or as it is too large.
 */
void peer_call(struct peer *peer, const char *command,
    const struct peer_load *load, int timeout_ms, peer_done *done,
    void *opaque);

/* Sends a ready-made object: a greeting, an event. */
void peer_send(struct peer *peer, json_t *object);

/* Lets everything that is queued go out, then closes from our side. */
void peer_finish(struct peer *peer, const struct lf_error *why);

/*
 * An argument of a request, NULL without it; a string; a descriptor that came
 * with it, the caller's from now on, or -1.
 */
json_t *peer_request_argument(
    const struct peer_request *request, const char *name);
const char *peer_request_string(
    const struct peer_request *request, const char *name);
int peer_request_fd(struct peer_request *request, const char *name);

/*
 * Whether who asked is gone and will read no answer. Nobody is told so by
 * closed() as long as a request of a serial peer is worked on.
 */
bool peer_request_deserted(const struct peer_request *request);

/*
 * Answers a request. `take_result` NULL stands for out of memory. An answer
 * that cannot be sent, for want of memory or descriptors or for its size,
 * becomes an error that says so, which is returned: what was made for whoever
 * asked has nobody then.
 */
int peer_return(struct peer_request *request, json_t *take_result,
    const int *fds, size_t fd_count);
void peer_fail(struct peer_request *request, const struct lf_error *error);

#endif
