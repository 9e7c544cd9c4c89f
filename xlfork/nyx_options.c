/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file of options for libnyx.so: words between blanks and line ends, without
 * quotes; from a word that begins with # to the end of its line is a comment.
 */
#include "xlfork/nyx_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "xlfork/commands.h"
#include "xlfork/fuzz_modes.h"
#include "xlfork/fuzz_options.h"

#define FILE_NAME    "options"
#define PROGRAM_NAME "program.elf"
#define BLANKS       " \t\r\n"

/* --- the file --- */

/* 0 also when there is none. */
static int
read_text(struct nyx_options *options, struct lf_error *error)
{
	struct fuzz_file file = {.bytes = NULL};
	int rc = fuzz_file_read(options->path, &file, error);

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	options->text = (char *)file.bytes; /* one byte longer than the file */
	options->text[file.len] = '\0';
	if (strlen(options->text) != file.len)
		return error_set(error, EINVAL, "it is no text");
	return 0;
}

static int
cut(struct nyx_options *options, int *ret_argc, struct lf_error *error)
{
	char *at = options->text;
	int argc = 0;

	options->argv[argc++] =
	    FILE_NAME; /* in the place of a command's name */
	while (at != NULL && *(at += strspn(at, BLANKS)) != '\0') {
		char *word = at;

		if (*word == '#') {
			at += strcspn(at, "\n");
			continue;
		}
		if (argc > NYX_WORDS_MAX)
			return error_set(
			    error, E2BIG, "more than %d words", NYX_WORDS_MAX);
		options->argv[argc++] = word;
		at += strcspn(at, BLANKS);
		if (*at != '\0')
			*at++ = '\0';
		if (strpbrk(word, "'\"\\") != NULL)
			return error_set(error, EINVAL,
			    "'%.64s': words have no quotes here", word);
	}
	options->argv[argc] = NULL;
	*ret_argc = argc;
	return 0;
}

/* afl-fuzz takes its own words apart in the same variables. */
static int
parse(struct nyx_options *options, int argc, struct lf_error *error)
{
	char *argument = optarg;
	int at = optind, print = opterr, letter = optopt;
	int rc = command_parse(
	    &fuzz_commands[0], argc, options->argv, &options->call, error);

	optarg = argument;
	optind = at;
	opterr = print;
	optopt = letter;
	return rc;
}

/* --- what the words mean here --- */

static int
refuse_words(const struct invocation *call, struct lf_error *error)
{
	static const enum fuzz_option alone[] = {FUZZ_INPUT, FUZZ_REPLAY,
	    FUZZ_BENCH, FUZZ_WORKERS, FUZZ_COVERED, FUZZ_JSON};
	size_t i;

	if (call->help)
		return error_set(
		    error, EINVAL, "--help is not for afl-fuzz -X");
	for (i = 0; i < sizeof(alone) / sizeof(alone[0]); i++)
		if (call->given[alone[i]])
			return error_set(error, EINVAL,
			    "--%s is not for afl-fuzz -X, which has its own "
			    "inputs",
			    fuzz_options[alone[i]].name);
	if (call->given[FUZZ_TIMEOUT])
		return error_set(error, EINVAL,
		    "--timeout is not for afl-fuzz -X: its -t is the limit");
	if (call->given[FUZZ_COVERAGE] &&
	    strcmp(call->value[FUZZ_COVERAGE], "none") == 0)
		return error_set(error, EINVAL,
		    "--coverage none is not for afl-fuzz -X, which needs some");
	return 0;
}

/* A file's path, as seen from where afl-fuzz runs. */
static int
find_file(struct nyx_options *options, const char *dir, enum fuzz_option option,
    struct lf_error *error)
{
	struct invocation *call = &options->call;
	char *path;
	size_t room;

	if (!call->given[option] || call->value[option][0] == '/')
		return 0;
	room = strlen(dir) + strlen(call->value[option]) + 2;
	path = sys.malloc(room);
	if (path == NULL)
		return error_nomem(error);
	snprintf(path, room, "%s/%s", dir, call->value[option]);
	options->files[options->file_count++] = path;
	call->value[option] = path;
	return 0;
}

static int
find_files(struct nyx_options *options, const char *dir, struct lf_error *error)
{
	static const enum fuzz_option files[] = {
	    FUZZ_PROGRAM, FUZZ_BLOCKS, FUZZ_REPORTS, FUZZ_PREFIX, FUZZ_SYMBOLS};
	struct invocation *call = &options->call;
	size_t i, count = sizeof(files) / sizeof(files[0]);
	int rc = 0;

	_Static_assert(sizeof(files) / sizeof(files[0]) <= NYX_FILES_MAX,
	    "each has a place");
	/* The last one need not be a file. */
	if (call->given[FUZZ_SYMBOLS] &&
	    strcmp(call->value[FUZZ_SYMBOLS], "guest") == 0)
		count--;
	for (i = 0; rc == 0 && i < count; i++)
		rc = find_file(options, dir, files[i], error);
	return rc;
}

static int
take(struct nyx_options *options, const char *dir, struct lf_error *error)
{
	struct invocation *call = &options->call;
	int argc, rc = read_text(options, error);

	if (rc == 0)
		rc = cut(options, &argc, error);
	if (rc == 0)
		rc = parse(options, argc, error);
	if (rc == 0)
		rc = refuse_words(call, error);
	if (rc < 0)
		return rc;
	if (call->word_count == 0 && !call->given[FUZZ_PROGRAM]) {
		call->given[FUZZ_PROGRAM] = true;
		call->value[FUZZ_PROGRAM] = PROGRAM_NAME;
	}
	rc = fuzz_check_words(call, true, error);
	return rc == 0 ? find_files(options, dir, error) : rc;
}

int
nyx_options_read(
    struct nyx_options *options, const char *dir, struct lf_error *error)
{
	int rc;

	snprintf(options->path, sizeof(options->path), "%s/" FILE_NAME, dir);
	rc = take(options, dir, error);
	return rc < 0 ? error_prefix(error, rc, "'%s'", options->path) : 0;
}

void
nyx_options_done(struct nyx_options *options)
{
	while (options->file_count > 0)
		free(options->files[--options->file_count]);
	free(options->text);
}
