/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking at domains: list, info, domid, domname, console, events.
 */
#include "xlfork/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "xlfork/console.h"
#include "xlfork/domain_table.h"
#include "xlfork/output.h"
#include "xlfork/report.h"
#include "xlfork/session.h"

enum {
	LIST_TREE,
	LIST_JSON,
};

static const struct option_spec list_options[] = {
    [LIST_TREE] = {'t', "tree", NULL,
	"show which was forked from which, and how many pages of memory each "
	"fork has of its own",
	false},
    [LIST_JSON] = {'j', "json", NULL, "print JSON; sizes are in bytes", false},
    OPTION_END,
};

static int
list(const struct invocation *call, struct lf_error *error)
{
	cleanup_json json_t *result = NULL;
	json_t *arguments = NULL;
	unsigned flags = 0;
	int rc;

	if (call->word_count > 0) {
		rc =
		    session_domain("domain", call->words[0], &arguments, error);
		if (rc < 0)
			return rc;
	}
	if (call->given[LIST_TREE]) {
		if (arguments == NULL)
			arguments = json_object();
		json_object_set_new(arguments, "pages", json_true());
	}
	rc = session_single("list", arguments, "asking", &result, error);
	if (rc < 0)
		return rc;
	if (json_array_size(json_object_get(result, "domains")) == 0 &&
	    isatty(STDERR_FILENO) && !call->given[LIST_JSON])
		report("there are no domains; 'xlfork create' boots one");
	if (call->given[LIST_TREE])
		flags |= DOMAIN_TABLE_TREE;
	if (call->given[LIST_JSON])
		flags |= DOMAIN_TABLE_JSON;
	return domain_table_print(
	    stdout, json_object_get(result, "domains"), flags, error);
}

enum {
	INFO_JSON,
	INFO_REGISTERS,
};

static const struct option_spec info_options[] = {
    [INFO_JSON] = {'j', "json", NULL, "print JSON; sizes are in bytes", false},
    [INFO_REGISTERS] = {'r', "registers", NULL,
	"also the virtual CPUs' registers; of a domain that does not run",
	false},
    OPTION_END,
};

static int
info(const struct invocation *call, struct lf_error *error)
{
	cleanup_json json_t *result = NULL;
	json_t *arguments;
	int rc;

	rc = session_domain("domain", call->words[0], &arguments, error);
	if (rc == 0 && call->given[INFO_REGISTERS])
		json_object_set_new(arguments, "registers", json_true());
	if (rc == 0)
		rc =
		    session_single("info", arguments, "asking", &result, error);
	if (rc < 0)
		return rc;
	if (!call->given[INFO_JSON])
		return domain_info_print(stdout, result, error);
	if (json_dumpf(result, stdout, JSON_INDENT(3)) < 0 ||
	    fputc('\n', stdout) == EOF)
		return output_unwritten("the answer", error);
	return 0;
}

static int
domid(const struct invocation *call, struct lf_error *error)
{
	cleanup_json json_t *result = NULL;
	json_t *arguments;
	int rc;

	rc = session_domain("name", call->words[0], &arguments, error);
	if (rc == 0)
		rc = session_single(
		    "domid", arguments, "asking", &result, error);
	if (rc < 0)
		return rc;
	printf("%" PRId64 "\n",
	    (int64_t)json_integer_value(json_object_get(result, "id")));
	return 0;
}

static int
domname(const struct invocation *call, struct lf_error *error)
{
	cleanup_json json_t *result = NULL;
	const char *name = "";
	json_t *arguments;
	int rc;

	rc = session_domain("domain", call->words[0], &arguments, error);
	if (rc == 0)
		rc = session_single(
		    "domname", arguments, "asking", &result, error);
	if (rc == 0 && json_unpack(result, "{s:s}", "name", &name) < 0)
		rc = error_set(
		    error, EBADMSG, "forkd's answer to 'domname' has no name");
	if (rc < 0)
		return rc;
	printf("%s\n", name);
	return 0;
}

static int
do_console(const struct invocation *call, struct lf_error *error)
{
	cleanup_session struct session s = {.client = NULL};
	struct console console;
	int rc;

	rc = session_open(&s, false, error);
	if (rc == 0)
		rc = console_open(&s, call->words[0], &console, error);
	if (rc < 0)
		return rc;
	rc = console_relay(&console, error);
	console_close(&console);
	return rc;
}

/* How often it is looked whether somebody still reads the events. */
#define READER_CHECK_MS 250

enum { EVENTS_JSON };

static const struct option_spec events_options[] = {
    [EVENTS_JSON] = {'j', "json", NULL,
	"print each event as a JSON object on a line", false},
    OPTION_END,
};

/* 'xlfork events | grep -m 1 crashed' ends with grep, not an event later. */
static int
end_with_reader(void *none, unsigned elapsed_ms)
{
	(void)none;
	(void)elapsed_ms;
	return io_has_reader(STDOUT_FILENO) ? 0 : -ECANCELED;
}

static int
events(const struct invocation *call, struct lf_error *error)
{
	static const struct control_wait wait = {
	    .waiting = end_with_reader, .interval_ms = READER_CHECK_MS};
	cleanup_session struct session s = {.client = NULL};
	int rc;

	rc = session_open(&s, false, error);
	if (rc == 0)
		rc = session_call(
		    &s, "subscribe", NULL, "connecting", NULL, NULL, error);
	while (rc == 0) {
		cleanup_json json_t *event = NULL;

		rc = control_client_next_event(
		    s.client, &wait, CONTROL_NO_TIMEOUT, &event, error);
		if (rc < 0)
			break;
		if (call->given[EVENTS_JSON]) {
			json_dumpf(event, stdout, JSON_COMPACT);
			putchar('\n');
		} else {
			domain_event_print(stdout, event);
		}
		if (fflush(stdout) != 0)
			rc = output_unwritten("the events", error);
	}
	return rc == -ECANCELED ? 0 : rc;
}

const struct command look_commands[] = {
    {"list", list, list_options, "[DOMAIN]", 0, 1,
	"list the domains, or one of them", NULL},
    {"info", info, info_options, "DOMAIN", 1, 1,
	"show everything known of a domain",
	"Why it stands still, who holds its snapshot, where its console, its "
	"VNC socket and its forwarded ports are."},
    {"domid", domid, NULL, "NAME", 1, 1, "print the id of a named domain",
	NULL},
    {"domname", domname, NULL, "DOMAIN", 1, 1, "print a domain's name", NULL},
    {"console", do_console, NULL, "DOMAIN", 1, 1,
	"attach to a domain's serial console",
	"Ctrl-] leaves it. Works in pipes, too: the end of standard input "
	"ends nothing, the end of the domain does."},
    {"events", events, events_options, "", 0, 0,
	"print what happens to domains, as it happens",
	"Goes on until it is interrupted."},
    {.name = NULL},
};
