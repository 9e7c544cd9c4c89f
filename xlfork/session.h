/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlfork's end of the conversation with forkd: connects (and starts a forkd
 * when none listens), shows that a call takes its time, and prints both sides
 * of it where the user asked for debug messages.
 */
#ifndef XLFORK_SESSION_H
#define XLFORK_SESSION_H

#include <stdbool.h>

#include <jansson.h>
#include <libfork/error.h>

#include "control/client.h"

struct session {
	struct control_client *client;
	bool debug;  /* print what is said */
	int work_ms; /* how long a call may take; 0: SESSION_WORK_MS */
};

/* How long forkd may take for what it does at once, and for work. */
#define SESSION_QUICK_MS 30000
#define SESSION_WORK_MS  600000

int session_open(struct session *s, bool debug, struct lf_error *error);
void session_close(struct session *s);

/*
 * A command and its answer, as control_client_call(). `doing` is what a user
 * reads while waiting.
 */
int session_call(struct session *s, const char *command, json_t *take_arguments,
    const char *doing, struct control_fds *fds, json_t **ret_result,
    struct lf_error *error);

/* Opens a session for just one call. */
int session_single(const char *command, json_t *take_arguments,
    const char *doing, json_t **ret_result, struct lf_error *error);

/* Arguments with one member "domain" (or "name"): -EINVAL if it can be none. */
int session_domain(const char *member, const char *domain,
    json_t **ret_arguments, struct lf_error *error);

static inline void
json_decref_p(json_t **value)
{
	json_decref(*value);
}
#define cleanup_json    cleanup(json_decref_p)
#define cleanup_session cleanup(session_close)

#endif
