/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One run of xlfork: from its arguments to its exit status. The only place
 * that prints an error and decides on the status.
 */
#include "xlfork/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libfork/libfork.h>

#include "base/error.h"
#include "xlfork/commands.h"
#include "xlfork/help.h"
#include "xlfork/report.h"

/* The words before the command: options of xlfork itself. */
static enum exit_status
run_without_command(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;

	if (word == NULL) {
		help_overview(stderr, command_groups);
		return STATUS_USAGE;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		help_overview(stdout, command_groups);
		return STATUS_DONE;
	}
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		printf("xlfork %s\n", lf_version());
		return STATUS_DONE;
	}
	report("unknown option '%.64s'; the command comes first, 'xlfork help' "
	       "lists all",
	    word);
	return STATUS_USAGE;
}

/* Standard output may be a full disk: the last moment to notice. */
static int
flush_output(struct lf_error *error)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		return error_sys(error, errno != 0 ? errno : EIO,
		    "cannot write to standard output");
	return 0;
}

enum exit_status
command_main(int argc, char **argv)
{
	const struct command *command;
	struct invocation call;
	struct lf_error error;
	int rc;

	lf_error_clear(&error);
	if (argc < 2 || argv[1][0] == '-') {
		enum exit_status status = run_without_command(argc, argv);

		if (flush_output(&error) == 0)
			return status;
		report("%s", error.message);
		return STATUS_FAILED;
	}
	rc = command_find(command_groups, argv[1], &command, &error);
	if (rc < 0) {
		report("%s", error.message);
		return STATUS_USAGE;
	}
	rc = command_parse(command, argc - 1, argv + 1, &call, &error);
	call.groups = command_groups;
	if (rc == 0 && call.help)
		help_command(stdout, command);
	else if (rc == 0)
		rc = command->run(&call, &error);
	if (rc == 0)
		rc = flush_output(&error);
	switch (rc) {
	case 0:
		return STATUS_DONE;
	case -COMMAND_EREPORTED:
		return STATUS_FAILED;
	case -COMMAND_ETROUBLE:
		return STATUS_TROUBLE;
	case -COMMAND_EUSAGE:
		report("%s", error.message);
		help_usage(stderr, command);
		return STATUS_USAGE;
	default:
		report("%s", error.message);
		return STATUS_FAILED;
	}
}
