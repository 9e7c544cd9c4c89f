/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client's connection to forkd: calls with a time-out, and events. For
 * programs that may wait; a server's loops use channel.h directly. One thread
 * at a time.
 */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include <stddef.h>

#include <jansson.h>
#include <libfork/error.h>

#include "base/cleanup.h"

struct control_client;

/* How long to wait, where no number is right: for ever. */
#define CONTROL_NO_TIMEOUT (-1)

/*
 * Connects to the socket at `path` and reads the greeting. -ENOENT or
 * -ECONNREFUSED: nobody listens there; -EACCES: not ours to use; -EBADMSG: not
 * a forkd; -ETIMEDOUT.
 */
int control_client_connect(const char *path, int timeout_ms,
    struct control_client **ret_client, struct lf_error *error);

void control_client_free(struct control_client *client);

/* Descriptors to send with a call, and room for those that come back. */
struct control_fds {
	const int *send;
	size_t send_count;
	int *received; /* the caller's afterwards */
	size_t received_max, received_count;
};

/*
 * Called while a call waits, every `interval_ms`; a negative result ends the
 * call with that code.
 */
struct control_wait {
	int (*waiting)(void *opaque, unsigned elapsed_ms);
	void *opaque;
	unsigned interval_ms;
};

/*
 * Sends a command and waits for its answer. Takes `take_arguments` (NULL:
 * none). 0 with the caller's reference to what "return" holds (`ret_result`
 * may be NULL); the code and text that forkd gave; -ETIMEDOUT; -EPIPE: forkd
 * went away, the command may or may not have been carried out. After the last
 * two the connection is of no more use. Events that arrive meanwhile are kept
 * for control_client_next_event().
 */
int control_client_call(struct control_client *client, const char *command,
    json_t *take_arguments, struct control_fds *fds,
    const struct control_wait *wait, int timeout_ms, json_t **ret_result,
    struct lf_error *error);

/*
 * The next event, as {"event", "data", "timestamp"}: the caller's reference.
 * -ETIMEDOUT when none came in time, -EPIPE when forkd went away, what
 * `wait` (NULL: nothing is called) ended it with.
 */
int control_client_next_event(struct control_client *client,
    const struct control_wait *wait, int timeout_ms, json_t **ret_event,
    struct lf_error *error);

DEFINE_CLEANUP(struct control_client *, control_client_free);
#define cleanup_client cleanup(control_client_free_p)

#endif
