/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What has to do with no domain: doctor, config-convert, help, version.
 */
#include "xlfork/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libfork/libfork.h>

#include "base/error.h"
#include "control/start.h"
#include "xlfork/config_file.h"
#include "xlfork/doctor.h"
#include "xlfork/help.h"
#include "xlfork/session.h"

enum { DOCTOR_JSON };

static const struct option_spec doctor_options[] = {
    [DOCTOR_JSON] = {'j', "json", NULL, "print JSON", false},
    OPTION_END,
};

static int
doctor(const struct invocation *call, struct lf_error *error)
{
	return doctor_run(stdout, call->given[DOCTOR_JSON], error);
}

enum { CONVERT_OUTPUT };

static const struct option_spec convert_options[] = {
    [CONVERT_OUTPUT] = {'o', "output", "FILE",
	"write there instead of standard output", false},
    OPTION_END,
};

static int
config_convert(const struct invocation *call, struct lf_error *error)
{
	return config_file_convert(
	    call->words[0], call->value[CONVERT_OUTPUT], error);
}

static int
help(const struct invocation *call, struct lf_error *error)
{
	const struct command *command;
	int rc;

	if (call->word_count == 0) {
		help_overview(stdout, call->groups);
		return 0;
	}
	rc = command_find(call->groups, call->words[0], &command, error);
	if (rc == 0)
		help_command(stdout, command);
	return rc;
}

/* The daemon's version too, if one runs; none is started for that. */
static int
version(const struct invocation *call, struct lf_error *error)
{
	cleanup_session struct session s = {.client = NULL};
	cleanup_json json_t *result = NULL;
	const char *text = "?";
	json_int_t pid = 0;
	int rc;

	(void)call;
	printf("xlfork %s\n", lf_version());
	rc = control_start(NULL, false, SESSION_QUICK_MS, &s.client, error);
	if (rc == -ENOENT) {
		printf("forkd  not running\n");
		return 0;
	}
	if (rc == 0)
		rc = session_call(
		    &s, "query-version", NULL, "asking", NULL, &result, error);
	if (rc == 0 && json_unpack(result, "{s:s, s:I}", "version", &text,
			   "pid", &pid) < 0)
		rc = error_set(error, EBADMSG,
		    "forkd's answer to 'query-version' has no version");
	if (rc == 0)
		printf("forkd  %s, process %d\n", text, (int)pid);
	return rc;
}

const struct command host_commands[] = {
    {"doctor", doctor, doctor_options, "", 0, 0,
	"check this host: what is good, limited or missing",
	"Each line says what was found and, where it is not good, what to do "
	"about it. The exit status is 1 when something is missing that "
	"nothing works without."},
    {"config-convert", config_convert, convert_options, "CONFIG", 1, 1,
	"turn one configuration syntax into the other",
	"From xl.cfg to domain XML or back; which one CONFIG is in is seen "
	"from its content."},
    {"help", help, NULL, "[COMMAND]", 0, 1, "list the commands, or explain one",
	NULL},
    {"version", version, NULL, "", 0, 0,
	"print the versions of xlfork and of the running forkd", NULL},
    {.name = NULL},
};
