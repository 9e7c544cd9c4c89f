/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QMP client. The socket is non-blocking; waiting is poll() with what is left
 * of the caller's time. A command has an id, so that an answer that came after
 * its time-out would not be taken for the next one's.
 */
#include "qemu/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fdpass.h"
#include "base/frame.h"
#include "base/sys.h"

/* One answer at most; the largest, a memory tree, is some ten kilobytes. */
#define MESSAGE_MAX (8 * 1024 * 1024)
/* Events not taken by anybody; the oldest go first. */
#define EVENTS_MAX 1024

struct qmp {
	int fd;
	unsigned last_id;
	struct frame_reader in;
	json_t *events; /* array, oldest first */
};

int
qmp_fd(const struct qmp *qmp)
{
	return qmp->fd;
}

void
qmp_free(struct qmp *qmp)
{
	if (qmp == NULL)
		return;
	close_fd(qmp->fd);
	frame_reader_done(&qmp->in);
	json_decref(qmp->events);
	free(qmp);
}

/* What is being waited for, as errors name it, and until when. */
struct patience {
	const char *what;
	int64_t deadline;
};

static int
wait_socket(struct qmp *qmp, short events, const struct patience *p,
    struct lf_error *error)
{
	struct pollfd pfd = {.fd = qmp->fd, .events = events};

	for (;;) {
		int64_t left = p->deadline - clock_ms();
		int n;

		if (left <= 0)
			return error_set(error, ETIMEDOUT,
			    "QEMU does not answer to %s", p->what);
		n = sys.poll(&pfd, 1, left > INT32_MAX ? INT32_MAX : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_sys(
			    error, errno, "cannot wait for QEMU (%s)", p->what);
	}
}

/* Reads once; 1 when bytes came, 0 when none are there now. */
static int
read_some(struct qmp *qmp, struct lf_error *error)
{
	char buf[16384];
	ssize_t n;

	/* Room first: bytes that were read must not get lost. */
	if (frame_reserve(&qmp->in, sizeof(buf), error) < 0)
		return -ENOMEM;
	do
		n = sys.read(qmp->fd, buf, sizeof(buf));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return error_set(
		    error, EPIPE, "QEMU closed its monitor connection");
	if (n < 0)
		return error_sys(error, errno, "cannot read from QEMU");
	return frame_append(&qmp->in, buf, (size_t)n, error) < 0 ? -ENOMEM : 1;
}

static int
queue_event(struct qmp *qmp, json_t *event, struct lf_error *error)
{
	if (json_array_size(qmp->events) >= EVENTS_MAX)
		json_array_remove(qmp->events, 0);
	if (json_array_append(qmp->events, event) < 0)
		return error_nomem(error);
	return 0;
}

/*
 * The next message that is no event, out of what was read already. 1, 0 when
 * there is none.
 */
static int
next_answer(struct qmp *qmp, json_t **ret_answer, struct lf_error *error)
{
	for (;;) {
		json_t *message = NULL;
		int rc = frame_next(&qmp->in, &message, error);

		if (rc < 0)
			return error_prefix(error, rc, "QEMU's monitor");
		if (rc == 0)
			return 0;
		if (json_object_get(message, "event") == NULL) {
			*ret_answer = message;
			return 1;
		}
		rc = queue_event(qmp, message, error);
		json_decref(message);
		if (rc < 0)
			return rc;
	}
}

static int
wait_answer(struct qmp *qmp, const struct patience *p, json_t **ret_answer,
    struct lf_error *error)
{
	for (;;) {
		int rc = next_answer(qmp, ret_answer, error);

		if (rc != 0)
			return rc;
		rc = wait_socket(qmp, POLLIN, p, error);
		if (rc == 0)
			rc = read_some(qmp, error);
		if (rc < 0)
			return error_prefix(error, rc, "'%s'", p->what);
	}
}

static int
send_all(struct qmp *qmp, const char *line, size_t len, int fd,
    const struct patience *p, struct lf_error *error)
{
	size_t done = 0;

	while (done < len) {
		bool first = done == 0;
		ssize_t n = fdpass_send(qmp->fd, line + done, len - done, &fd,
		    first && fd >= 0 ? 1 : 0, error);
		int rc = 0;

		if (n == -EAGAIN)
			rc = wait_socket(qmp, POLLOUT, p, error);
		else if (n < 0)
			rc = error_prefix(
			    error, n, "'%s': QEMU's monitor", p->what);
		else
			done += n;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* An answer is {"return": ...} or {"error": {"class", "desc"}}. */
static int
judge(const json_t *answer, const char *what, json_t **ret_return,
    struct lf_error *error)
{
	json_t *value = json_object_get(answer, "return");
	const char *desc;

	if (value != NULL) {
		if (ret_return != NULL)
			*ret_return = json_incref(value);
		return 0;
	}
	desc = json_string_value(
	    json_object_get(json_object_get(answer, "error"), "desc"));
	if (desc == NULL)
		return error_set(error, EBADMSG,
		    "'%s': QEMU's answer is neither a return nor an error",
		    what);
	return error_set(error, EREMOTEIO, "QEMU refused '%s': %s", what, desc);
}

static int
exchange(struct qmp *qmp, const json_t *request, int fd,
    const struct patience *p, json_t **ret_return, struct lf_error *error)
{
	cleanup_free char *line = NULL;
	size_t len = 0;
	int rc;

	line = frame_format(request, &len);
	if (line == NULL)
		return error_nomem(error);
	rc = send_all(qmp, line, len, fd, p, error);
	if (rc < 0)
		return rc;
	for (;;) {
		cleanup(json_decrefp) json_t *answer = NULL;
		const json_t *id;

		rc = wait_answer(qmp, p, &answer, error);
		if (rc < 0)
			return rc;
		id = json_object_get(answer, "id");
		if (id == NULL || json_integer_value(id) == qmp->last_id)
			return judge(answer, p->what, ret_return, error);
	}
}

static int
execute(struct qmp *qmp, int timeout_ms, const char *command,
    json_t *take_arguments, int fd, json_t **ret_return, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *arguments = take_arguments;
	cleanup(json_decrefp) json_t *request = NULL;
	struct patience p = {.what = command};

	request = json_pack("{s:s, s:i, s:O*}", "execute", command, "id",
	    (int)++qmp->last_id, "arguments", arguments);
	if (request == NULL)
		return error_nomem(error);
	p.deadline = clock_ms() + timeout_ms;
	return exchange(qmp, request, fd, &p, ret_return, error);
}

int
qmp_execute_within(struct qmp *qmp, int timeout_ms, const char *command,
    json_t *take_arguments, json_t **ret_return, struct lf_error *error)
{
	return execute(
	    qmp, timeout_ms, command, take_arguments, -1, ret_return, error);
}

int
qmp_execute(struct qmp *qmp, const char *command, json_t *take_arguments,
    json_t **ret_return, struct lf_error *error)
{
	return execute(qmp, QMP_TIMEOUT_MS, command, take_arguments, -1,
	    ret_return, error);
}

int
qmp_getfd(struct qmp *qmp, const char *name, int fd, struct lf_error *error)
{
	json_t *arguments = json_pack("{s:s}", "fdname", name);

	if (arguments == NULL)
		return error_nomem(error);
	return execute(
	    qmp, QMP_TIMEOUT_MS, "getfd", arguments, fd, NULL, error);
}

int
qmp_hmp(
    struct qmp *qmp, const char *line, char **ret_text, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *value = NULL;
	json_t *arguments = json_pack("{s:s}", "command-line", line);
	int rc;

	if (arguments == NULL)
		return error_nomem(error);
	rc =
	    qmp_execute(qmp, "human-monitor-command", arguments, &value, error);
	if (rc < 0)
		return error_prefix(error, rc, "'%s'", line);
	if (!json_is_string(value))
		return error_set(
		    error, EBADMSG, "'%s': QEMU's answer is not text", line);
	*ret_text = sys.strdup(json_string_value(value));
	if (*ret_text == NULL)
		return error_nomem(error);
	return 0;
}

int
qmp_read_events(struct qmp *qmp, struct lf_error *error)
{
	int rc, read_rc;

	do {
		json_t *stray = NULL;

		read_rc = read_some(qmp, error);
		/* An answer now is one whose command ran into its time-out. */
		while ((rc = next_answer(qmp, &stray, error)) == 1)
			json_decref(stray);
	} while (rc == 0 && read_rc > 0);
	return rc < 0 ? rc : read_rc;
}

json_t *
qmp_next_event(struct qmp *qmp)
{
	json_t *event = json_array_get(qmp->events, 0);

	if (event != NULL) {
		json_incref(event);
		json_array_remove(qmp->events, 0);
	}
	return event;
}

/* Takes the first event that fits out of the queue. */
static json_t *
take_event(struct qmp *qmp, const char *name, bool (*wanted)(const json_t *))
{
	json_t *event;
	size_t i;

	json_array_foreach(qmp->events, i, event)
	{
		const char *its =
		    json_string_value(json_object_get(event, "event"));

		if (its == NULL || strcmp(its, name) != 0)
			continue;
		if (wanted != NULL && !wanted(json_object_get(event, "data")))
			continue;
		json_incref(event);
		json_array_remove(qmp->events, i);
		return event;
	}
	return NULL;
}

void
qmp_drop_events(struct qmp *qmp, const char *name)
{
	json_t *event;

	while ((event = take_event(qmp, name, NULL)) != NULL)
		json_decref(event);
}

int
qmp_wait_event(struct qmp *qmp, int timeout_ms, const char *name,
    bool (*wanted)(const json_t *data), json_t **ret_event,
    struct lf_error *error)
{
	const struct patience p = {name, clock_ms() + timeout_ms};

	for (;;) {
		/* It may have come with the answer to the last command. */
		int rc = qmp_read_events(qmp, error);

		/* What came together with the end still counts. */
		*ret_event = take_event(qmp, name, wanted);
		if (*ret_event != NULL)
			return 0;
		if (rc >= 0)
			rc = wait_socket(qmp, POLLIN, &p, error);
		if (rc < 0)
			return error_prefix(
			    error, rc, "waiting for event %s", name);
	}
}

/* The greeting is {"QMP": {...}}; nothing may be sent before it. */
static int
negotiate(struct qmp *qmp, int timeout_ms, struct lf_error *error)
{
	const struct patience p = {"the greeting", clock_ms() + timeout_ms};
	cleanup(json_decrefp) json_t *greeting = NULL;
	int rc;

	rc = wait_answer(qmp, &p, &greeting, error);
	if (rc < 0)
		return rc;
	if (!json_is_object(json_object_get(greeting, "QMP")))
		return error_set(
		    error, EBADMSG, "not a QMP server: no greeting");
	return execute(
	    qmp, timeout_ms, "qmp_capabilities", NULL, -1, NULL, error);
}

int
qmp_new(
    int take_fd, int timeout_ms, struct qmp **ret_qmp, struct lf_error *error)
{
	struct qmp *qmp = sys.calloc(1, sizeof(*qmp));
	int flags, rc;

	if (qmp == NULL) {
		close_fd(take_fd);
		return error_nomem(error);
	}
	qmp->fd = take_fd;
	frame_reader_init(&qmp->in, MESSAGE_MAX);
	qmp->events = json_array();
	flags = sys.fcntl(take_fd, F_GETFL, 0);
	if (qmp->events == NULL)
		rc = error_nomem(error);
	else if (flags < 0 ||
		 sys.fcntl(take_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		rc = error_sys(error, errno, "cannot use QEMU's monitor");
	else
		rc = negotiate(qmp, timeout_ms, error);
	if (rc < 0) {
		qmp_free(qmp);
		return rc;
	}
	*ret_qmp = qmp;
	return 0;
}
