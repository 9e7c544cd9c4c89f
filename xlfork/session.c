/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection to forkd.
 */
#include "xlfork/session.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "control/start.h"
#include "xlfork/progress.h"

int
session_open(struct session *s, bool debug, struct lf_error *error)
{
	*s = (struct session){.debug = debug};
	return control_start(NULL, true, SESSION_QUICK_MS, &s->client, error);
}

void
session_close(struct session *s)
{
	control_client_free(s->client);
	s->client = NULL;
}

/* "debug: <what> <JSON>", one line. */
static void
debug_json(const char *what, json_t *value)
{
	fprintf(stderr, "debug: %s ", what);
	if (value == NULL || json_dumpf(value, stderr, JSON_COMPACT) < 0)
		fputs("{}", stderr);
	fputc('\n', stderr);
}

int
session_call(struct session *s, const char *command, json_t *take_arguments,
    const char *doing, struct control_fds *fds, json_t **ret_result,
    struct lf_error *error)
{
	cleanup_json json_t *result = NULL;
	struct progress progress;
	struct control_wait wait = {.waiting = progress_tick,
	    .opaque = &progress,
	    .interval_ms = PROGRESS_INTERVAL_MS};
	double begin = clock_seconds();
	int rc;

	if (take_arguments == NULL)
		take_arguments = json_object();
	if (take_arguments == NULL)
		return error_nomem(error);
	if (s->debug)
		debug_json(command, take_arguments);
	progress_begin(&progress, doing);
	rc = control_client_call(s->client, command, take_arguments, fds, &wait,
	    s->work_ms > 0 ? s->work_ms : SESSION_WORK_MS, &result, error);
	progress_end(&progress);
	if (s->debug) {
		fprintf(stderr, "debug: %s: %s after %.1f ms\n", command,
		    rc < 0 ? "failed" : "done",
		    (clock_seconds() - begin) * 1e3);
		if (rc == 0)
			debug_json("answer", result);
	}
	if (rc == 0 && ret_result != NULL)
		*ret_result = take_ptr(result);
	return rc;
}

int
session_single(const char *command, json_t *take_arguments, const char *doing,
    json_t **ret_result, struct lf_error *error)
{
	cleanup_session struct session s = {.client = NULL};
	int rc;

	rc = session_open(&s, false, error);
	if (rc < 0) {
		json_decref(take_arguments);
		return rc;
	}
	return session_call(
	    &s, command, take_arguments, doing, NULL, ret_result, error);
}

int
session_domain(const char *member, const char *domain, json_t **ret_arguments,
    struct lf_error *error)
{
	json_t *name, *arguments;

	if (domain[0] == '\0')
		return error_set(error, EINVAL,
		    "an empty word is no domain; 'xlfork list' shows them");
	name = json_string(domain);
	if (name == NULL)
		return error_set(error, EINVAL,
		    "domain '%.64s' cannot exist: names are UTF-8 text",
		    domain);
	arguments = json_object();
	if (json_object_set_new(arguments, member, name) < 0) {
		json_decref(arguments);
		return error_nomem(error);
	}
	*ret_arguments = arguments;
	return 0;
}
