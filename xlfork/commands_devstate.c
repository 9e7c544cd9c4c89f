/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device-state files: devstate show, devstate diff. Needs no forkd; reads the
 * file with the rights of who runs it. Names in a file are outside data: they
 * are printed without what a terminal would obey.
 */
#include "xlfork/command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/devstate.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "xlfork/devstate_print.h"
#include "xlfork/report.h"

DEFINE_CLEANUP(struct lf_devstate *, lf_devstate_free);
#define cleanup_devstate cleanup(lf_devstate_free_p)

enum { DEVSTATE_JSON };

static const struct option_spec devstate_options[] = {
    [DEVSTATE_JSON] = {'j', "json", NULL,
	"print JSON; integers are text there, none loses a bit", false},
    OPTION_END,
};

static int
open_file(const char *path, struct lf_devstate **ret, struct lf_error *error)
{
	cleanup_close int fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return error_sys(
		    error, errno, "cannot open device state '%.256s'", path);
	rc = lf_devstate_open(fd, ret, error);
	return rc < 0 ? error_prefix(error, rc, "'%.256s'", path) : 0;
}

static int
show(const struct invocation *call, struct lf_error *error)
{
	cleanup_devstate struct lf_devstate *devstate = NULL;
	int rc;

	if (call->word_count > 2)
		return usage_error(call, error,
		    "'%.64s' is one word too many: show takes one file",
		    call->words[2]);
	rc = open_file(call->words[1], &devstate, error);
	if (rc < 0)
		return rc;
	return call->given[DEVSTATE_JSON]
		   ? devstate_print_json(stdout, devstate, error)
		   : devstate_print_tree(stdout, devstate, error);
}

/* As diff(1) has it: 0 the same, 1 different, 2 trouble. */
static int
diff(const struct invocation *call, struct lf_error *error)
{
	cleanup_devstate struct lf_devstate *a = NULL, *b = NULL;
	int rc;

	if (call->word_count < 3)
		return usage_error(
		    call, error, "diff takes two files, the second is missing");
	rc = open_file(call->words[1], &a, error);
	if (rc == 0)
		rc = open_file(call->words[2], &b, error);
	if (rc == 0)
		rc = devstate_print_differences(
		    stdout, a, b, call->given[DEVSTATE_JSON], error);
	/* Here, as 1 means something else, no failure goes unnoticed. */
	if (rc >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		rc = error_sys(error, errno != 0 ? errno : EIO,
		    "cannot write to standard output");
	if (rc < 0) {
		report("%s", error->message);
		return -COMMAND_ETROUBLE;
	}
	return rc > 0 ? -COMMAND_EREPORTED : 0;
}

static int
devstate(const struct invocation *call, struct lf_error *error)
{
	if (strcmp(call->words[0], "show") == 0)
		return show(call, error);
	if (strcmp(call->words[0], "diff") == 0)
		return diff(call, error);
	return usage_error(call, error, "'%.64s' is neither 'show' nor 'diff'",
	    call->words[0]);
}

const struct command devstate_commands[] = {
    {"devstate", devstate, devstate_options, "show|diff FILE [FILE]", 2, 3,
	"print a device-state file, or compare two",
	"'devstate show FILE' prints the file's sections as a tree: every "
	"integer, and of what only QEMU understands the number of bytes. "
	"'devstate diff FILE FILE' prints the fields that differ; its exit "
	"status is 0 when there are none, 1 when there are some, and 2 when "
	"a file cannot be read."},
    {.name = NULL},
};
