/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection that carries QMP-framed JSON objects with descriptors. Used
 * by clients, by forkd and by domain processes alike.
 *
 * The framing is QMP's; one member is added: "fds": N at the top level says
 * that the N descriptors sent with the object's first byte belong to it. Other
 * members refer to them by index. Nothing here blocks: bytes that the socket
 * does not take wait in a bounded queue, and a peer that lets it overflow is
 * given up. Both directions are limited, since neither end trusts the other.
 *
 * Knows nothing of what the objects mean.
 */
#ifndef CONTROL_CHANNEL_H
#define CONTROL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>
#include <libfork/error.h>

#include "base/fdpass.h"
#include "base/frame.h"

/*
 * Bytes of one object, and of all that wait to be sent, at most: a list of as
 * many domains as forkd takes care of, with long names and reasons, has 3 MiB.
 */
#define CHANNEL_OBJECT_MAX ((size_t)4 * 1024 * 1024)
#define CHANNEL_QUEUE_MAX  (CHANNEL_OBJECT_MAX + 1024 * 1024)

struct channel_output;

struct channel {
	int sock; /* owned, non-blocking */
	struct frame_reader reader;
	int fds[FDPASS_MAX]; /* received, not yet taken by an object */
	size_t fd_count;
	bool lost;          /* behind the first of these some got lost */
	size_t before_lost; /* so many */
	struct channel_output *head, *tail; /* what waits to be sent */
	size_t queued;                      /* bytes of it */
};

/* An object with the descriptors that came with it, all owned. */
struct channel_message {
	json_t *object;
	int fds[FDPASS_MAX];
	size_t fd_count;
	bool lost; /* it came with some; this process had no room for them */
};

/* Takes the socket and makes it non-blocking. */
int channel_init(struct channel *c, int take_sock, struct lf_error *error);

/* Closes the socket and everything that still waits. */
void channel_done(struct channel *c);

/*
 * Sends an object (borrowed) with copies of `fds`, or queues it. -ENOBUFS:
 * the peer does not read and the queue is full; -EPIPE and others: it is gone.
 */
int channel_send(struct channel *c, json_t *object, const int *fds,
    size_t fd_count, struct lf_error *error);

/*
 * The same without sending yet. After an error but -ENOBUFS nothing is queued,
 * and the connection can go on without the object: there are no descriptors
 * left for the copies, or it is too large.
 */
int channel_queue(struct channel *c, json_t *object, const int *fds,
    size_t fd_count, struct lf_error *error);

/* Sends what is queued, as far as the socket takes it. */
int channel_flush(struct channel *c, struct lf_error *error);

/* Whether the socket has to be polled for writing. */
bool channel_wants_write(const struct channel *c);

/*
 * Reads what the socket has, once. Returns 1 when something came, 0 when there
 * is nothing now, -EPIPE at the end of the stream, or another negative errno.
 */
int channel_read(struct channel *c, struct lf_error *error);

/*
 * Takes the next complete object. Returns 1 with `*ret`, 0 when more bytes are
 * needed, or a negative errno after which the connection is of no use.
 */
int channel_next(
    struct channel *c, struct channel_message *ret, struct lf_error *error);

/* -EMFILE, for a message whose descriptors are lost. */
int channel_say_lost(struct lf_error *error);

/* Takes descriptor `index` out of a message; -1 when there is none such. */
int channel_message_take_fd(struct channel_message *m, size_t index);

/* Releases what a message still holds. */
void channel_message_done(struct channel_message *m);

#endif
