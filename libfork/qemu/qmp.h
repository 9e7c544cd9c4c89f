/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QMP client: one connection to one QEMU. A command blocks its caller for a
 * bounded time; events that come meanwhile are queued. Everything that arrives
 * is outside data: QEMU runs guest code.
 *
 * A connection belongs to one thread at a time. An event loop watches qmp_fd()
 * for reading, calls qmp_read_events() and takes them with qmp_next_event();
 * after each qmp_execute() it has to look at the queue too. Knows nothing of
 * domains.
 */
#ifndef QEMU_QMP_H
#define QEMU_QMP_H

#include <stdbool.h>

#include <jansson.h>
#include <libfork/error.h>

#include "base/cleanup.h"

struct qmp;

/* How long QEMU may take for an ordinary command. */
#define QMP_TIMEOUT_MS 10000

/*
 * Takes over a connected socket: reads the greeting and negotiates. The
 * descriptor is closed in any case when this fails.
 */
int qmp_new(
    int take_fd, int timeout_ms, struct qmp **ret_qmp, struct lf_error *error);

/* Closes the connection. NULL is allowed. */
void qmp_free(struct qmp *qmp);

DEFINE_CLEANUP(struct qmp *, qmp_free);

int qmp_fd(const struct qmp *qmp);

/*
 * Runs a command and waits for its answer. `take_arguments` (NULL: none) is
 * consumed always. `ret_return` may be NULL; else it gets the caller's
 * reference to the "return" value. -EREMOTEIO: QEMU said no, and the message
 * has its words. -ETIMEDOUT and -EPIPE: the connection is of no use any more.
 */
int qmp_execute(struct qmp *qmp, const char *command, json_t *take_arguments,
    json_t **ret_return, struct lf_error *error);

/* The same with a time-out of its own. */
int qmp_execute_within(struct qmp *qmp, int timeout_ms, const char *command,
    json_t *take_arguments, json_t **ret_return, struct lf_error *error);

/* Gives QEMU a descriptor under a name (getfd); `fd` stays the caller's. */
int qmp_getfd(
    struct qmp *qmp, const char *name, int fd, struct lf_error *error);

/* A command of the human monitor; the caller frees the text. */
int qmp_hmp(
    struct qmp *qmp, const char *line, char **ret_text, struct lf_error *error);

/*
 * Reads what is there without blocking. 0, or -EPIPE when QEMU closed the
 * connection, or another error of the connection.
 */
int qmp_read_events(struct qmp *qmp, struct lf_error *error);

/* The oldest event, the caller's reference; NULL when there is none. */
json_t *qmp_next_event(struct qmp *qmp);

/* Takes all events of this name out of the queue. */
void qmp_drop_events(struct qmp *qmp, const char *name);

/*
 * Waits until an event of this name comes whose data `wanted` accepts (NULL:
 * any). Other events stay in the queue; this one is taken, and is the
 * caller's.
 */
int qmp_wait_event(struct qmp *qmp, int timeout_ms, const char *name,
    bool (*wanted)(const json_t *data), json_t **ret_event,
    struct lf_error *error);

#endif
