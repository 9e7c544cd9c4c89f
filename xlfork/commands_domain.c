/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a domain: create, pause, unpause, shutdown, destroy, rename.
 */
#include "xlfork/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "xlfork/config_file.h"
#include "xlfork/console.h"
#include "xlfork/report.h"
#include "xlfork/session.h"

/*
 * Does the same to several domains. Each failure is one line; the others are
 * done all the same.
 */
static int
for_each_domain(const struct invocation *call,
    int (*one)(struct session *s, const struct invocation *call,
	const char *domain, struct lf_error *error),
    struct lf_error *error)
{
	cleanup_session struct session s = {.client = NULL};
	unsigned i, failed = 0;
	int rc;

	rc = session_open(&s, false, error);
	if (rc < 0)
		return rc;
	for (i = 0; i < call->word_count; i++) {
		rc = one(&s, call, call->words[i], error);
		if (rc == 0)
			continue;
		if (call->word_count == 1)
			return rc;
		report("%s", error->message);
		failed++;
	}
	return failed > 0 ? -COMMAND_EREPORTED : 0;
}

/* A command that takes a domain and nothing else. */
static int
simple_call(struct session *s, const char *command, const char *domain,
    const char *doing, struct lf_error *error)
{
	json_t *arguments;
	int rc;

	rc = session_domain("domain", domain, &arguments, error);
	if (rc < 0)
		return rc;
	return session_call(s, command, arguments, doing, NULL, NULL, error);
}

enum {
	CREATE_DRY_RUN,
	CREATE_PAUSED,
	CREATE_CONSOLE,
};

static const struct option_spec create_options[] = {
    [CREATE_DRY_RUN] = {0, "dry-run", NULL,
	"print the QEMU command line and start nothing", false},
    [CREATE_PAUSED] = {'p', "paused", NULL,
	"do not let the guest run yet; 'unpause' does", false},
    [CREATE_CONSOLE] = {'c', "console", NULL,
	"attach to the console from the first line on", false},
    OPTION_END,
};

/* Attached before the guest runs, so that nothing it says is missed. */
static int
create_attached(
    struct session *s, const char *id, bool paused, struct lf_error *error)
{
	struct console console;
	int rc;

	rc = console_open(s, id, &console, error);
	if (rc < 0)
		return error_prefix(
		    error, rc, "domain %s was made and is paused", id);
	if (!paused)
		rc = simple_call(s, "unpause", id, "starting", error);
	if (rc == 0)
		rc = console_relay(&console, error);
	console_close(&console);
	return rc;
}

static int
create(const struct invocation *call, struct lf_error *error)
{
	bool attach = call->given[CREATE_CONSOLE];
	bool paused = call->given[CREATE_PAUSED];
	cleanup_session struct session s = {.client = NULL};
	cleanup_json json_t *config = NULL, *result = NULL;
	json_t *arguments;
	char id[24];
	int rc;

	if (call->given[CREATE_DRY_RUN]) {
		if (attach || paused)
			return usage_error(call, error,
			    "--dry-run starts nothing, so it goes with no "
			    "other option");
		return config_file_dry_run(call->words[0], error);
	}
	rc = config_file_load(call->words[0], &config, error);
	if (rc < 0)
		return rc;
	rc = session_open(&s, false, error);
	if (rc < 0)
		return rc;
	arguments = json_pack(
	    "{s:O, s:b}", "config", config, "paused", paused || attach);
	if (arguments == NULL)
		return error_nomem(error);
	rc = session_call(
	    &s, "create", arguments, "starting QEMU", NULL, &result, error);
	if (rc < 0)
		return error_prefix(error, rc, "%s", call->words[0]);
	snprintf(id, sizeof(id), "%" PRId64,
	    (int64_t)json_integer_value(json_object_get(result, "id")));
	if (attach)
		return create_attached(&s, id, paused, error);
	printf("%s\n", id);
	return 0;
}

static int
pause_one(struct session *s, const struct invocation *call, const char *domain,
    struct lf_error *error)
{
	(void)call;
	return simple_call(s, "pause", domain, "pausing", error);
}

static int
do_pause(const struct invocation *call, struct lf_error *error)
{
	return for_each_domain(call, pause_one, error);
}

static int
unpause_one(struct session *s, const struct invocation *call,
    const char *domain, struct lf_error *error)
{
	(void)call;
	return simple_call(s, "unpause", domain, "unpausing", error);
}

static int
do_unpause(const struct invocation *call, struct lf_error *error)
{
	return for_each_domain(call, unpause_one, error);
}

enum { SHUTDOWN_WAIT };

static const struct option_spec shutdown_options[] = {
    [SHUTDOWN_WAIT] = {'w', "wait", NULL, "return when the domain is gone",
	false},
    OPTION_END,
};

/* Reads events until the domain is gone. */
static int
wait_until_gone(struct session *s, int64_t id, struct lf_error *error)
{
	for (;;) {
		cleanup_json json_t *event = NULL;
		const char *name = "", *state = "";
		json_int_t which = -1;
		int rc;

		rc = control_client_next_event(
		    s->client, NULL, CONTROL_NO_TIMEOUT, &event, error);
		if (rc < 0)
			return error_prefix(
			    error, rc, "cannot wait for the shutdown");
		if (json_unpack(event, "{s:s, s:{s:I, s?s}}", "event", &name,
			"data", "id", &which, "state", &state) < 0 ||
		    which != id)
			continue;
		if (strcmp(name, "DOMAIN_DESTROYED") == 0)
			return 0;
		if (strcmp(state, "crashed") == 0)
			return error_set(error, EIO,
			    "domain %" PRId64 " crashed while shutting down; "
			    "'xlfork info %" PRId64 "' says why",
			    id, id);
	}
}

static int
shutdown_one(struct session *s, const struct invocation *call,
    const char *domain, struct lf_error *error)
{
	cleanup_json json_t *result = NULL;
	json_t *arguments;
	int rc;

	rc = session_domain("domain", domain, &arguments, error);
	if (rc < 0)
		return rc;
	if (call->given[SHUTDOWN_WAIT]) {
		rc = session_call(
		    s, "subscribe", NULL, "connecting", NULL, NULL, error);
		if (rc < 0) {
			json_decref(arguments);
			return rc;
		}
	}
	rc = session_call(s, "shutdown", arguments, "pressing the power button",
	    NULL, &result, error);
	if (rc < 0 || !call->given[SHUTDOWN_WAIT])
		return rc;
	return wait_until_gone(
	    s, json_integer_value(json_object_get(result, "id")), error);
}

static int
do_shutdown(const struct invocation *call, struct lf_error *error)
{
	return for_each_domain(call, shutdown_one, error);
}

enum { DESTROY_RECURSIVE };

static const struct option_spec destroy_options[] = {
    [DESTROY_RECURSIVE] = {'r', "recursive", NULL,
	"also destroy all domains forked from it, and theirs", false},
    OPTION_END,
};

static int
destroy_one(struct session *s, const struct invocation *call,
    const char *domain, struct lf_error *error)
{
	json_t *arguments;
	int rc;

	rc = session_domain("domain", domain, &arguments, error);
	if (rc < 0)
		return rc;
	if (call->given[DESTROY_RECURSIVE])
		json_object_set_new(arguments, "recursive", json_true());
	return session_call(
	    s, "destroy", arguments, "destroying", NULL, NULL, error);
}

static int
destroy(const struct invocation *call, struct lf_error *error)
{
	return for_each_domain(call, destroy_one, error);
}

static int
do_rename(const struct invocation *call, struct lf_error *error)
{
	json_t *arguments, *name;
	int rc;

	rc = session_domain("domain", call->words[0], &arguments, error);
	if (rc < 0)
		return rc;
	if (call->words[1][0] == '\0') {
		json_decref(arguments);
		return error_set(error, EINVAL, "an empty word is no name");
	}
	name = json_string(call->words[1]);
	if (name == NULL) {
		json_decref(arguments);
		return error_set(error, EINVAL,
		    "'%.64s' can be no name: names are UTF-8 text",
		    call->words[1]);
	}
	json_object_set_new(arguments, "name", name);
	return session_single("rename", arguments, "renaming", NULL, error);
}

const struct command domain_commands[] = {
    {"create", create, create_options, "CONFIG", 1, 1,
	"boot a domain under QEMU",
	"CONFIG is a file in the syntax of xl.cfg or a libvirt-style domain "
	"XML; see xlfork.cfg(5). Prints the new domain's id."},
    {"shutdown", do_shutdown, shutdown_options, "DOMAIN...", 1, ~0U,
	"press a domain's power button",
	"The guest decides what it does about it; 'destroy' does not ask."},
    {"destroy", destroy, destroy_options, "DOMAIN...", 1, ~0U,
	"end a domain at once",
	"A domain from which forks were made is destroyed after them, or with "
	"them by --recursive."},
    {"pause", do_pause, NULL, "DOMAIN...", 1, ~0U,
	"stop a domain's virtual CPUs", NULL},
    {"unpause", do_unpause, NULL, "DOMAIN...", 1, ~0U,
	"let a paused or frozen domain run on",
	"A frozen domain drops its snapshot, so it stays frozen while it has "
	"forks."},
    {"rename", do_rename, NULL, "DOMAIN NAME", 2, 2,
	"give a domain another name", NULL},
    {.name = NULL},
};
