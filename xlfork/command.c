/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding a command in a table and taking its words apart. Nothing is
 * guessed: a word that is not in the table is an error, with a suggestion
 * where one comes near.
 */
#include "xlfork/command.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "xlfork/suggest.h"

/* Words that will mean something one day, so they abbreviate nothing now. */
static const char *const reserved[] = {
    "save",
    "restore",
    "transfer",
    "dump-core",
    "gdb",
};

static bool
is_reserved(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(reserved[i], name) == 0)
			return true;
	return false;
}

#define EACH_COMMAND(groups, g, c)                                           \
	for (const struct command_group *g = groups; g->title != NULL; g++)  \
		for (const struct command *c = g->commands; c->name != NULL; \
		     c++)

static int
unknown_command(const struct command_group *groups, const char *name,
    struct lf_error *error)
{
	struct suggestion near;

	suggestion_init(&near, name);
	EACH_COMMAND(groups, g, c)
	suggestion_offer(&near, c->name);
	if (near.best != NULL)
		return error_set(error, COMMAND_EUSAGE,
		    "unknown command '%.64s'; did you mean '%s'?", name,
		    near.best);
	return error_set(error, COMMAND_EUSAGE,
	    "unknown command '%.64s'; 'xlfork help' lists all commands", name);
}

static int
ambiguous_command(const struct command_group *groups, const char *name,
    struct lf_error *error)
{
	char list[256] = "";
	size_t used = 0;

	EACH_COMMAND(groups, g, c)
	if (strncmp(c->name, name, strlen(name)) == 0 && used < sizeof(list))
		used += (size_t)snprintf(list + used, sizeof(list) - used,
		    "%s%s", used > 0 ? ", " : "", c->name);
	return error_set(
	    error, COMMAND_EUSAGE, "'%.64s' may be any of: %s", name, list);
}

int
command_find(const struct command_group *groups, const char *name,
    const struct command **ret_command, struct lf_error *error)
{
	const struct command *found = NULL;
	unsigned count = 0;

	EACH_COMMAND(groups, g, c)
	{
		if (strcmp(c->name, name) == 0) {
			*ret_command = c;
			return 0;
		}
		if (strncmp(c->name, name, strlen(name)) == 0) {
			found = c;
			count++;
		}
	}
	if (count == 0 || name[0] == '\0' || is_reserved(name))
		return unknown_command(groups, name, error);
	if (count > 1)
		return ambiguous_command(groups, name, error);
	*ret_command = found;
	return 0;
}

int
usage_error(const struct invocation *call, struct lf_error *error,
    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_vfill(error, COMMAND_EUSAGE, format, args);
	va_end(args);
	return error_prefix(error, -COMMAND_EUSAGE, "%s", call->command->name);
}

static int
unknown_option(
    const struct invocation *call, const char *word, struct lf_error *error)
{
	const struct option_spec *o;
	struct suggestion near;
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	suggestion_init(&near, name + strspn(name, "-"));
	for (o = call->command->options; o != NULL && o->name != NULL; o++)
		suggestion_offer(&near, o->name);
	if (near.best != NULL && strlen(near.best) > 1)
		return usage_error(call, error,
		    "unknown option '%s'; did you mean '--%s'?", name,
		    near.best);
	return usage_error(call, error, "unknown option '%s'", name);
}

/* Values that getopt_long() returns for options: their place in the table. */
#define OPTION_BASE 256
#define OPTION_HELP (OPTION_BASE + OPTIONS_MAX)

/* getopt_long() said '?'; optopt tells its reasons apart. */
static int
bad_option(
    const struct invocation *call, const char *word, struct lf_error *error)
{
	const struct option_spec *o = call->command->options;
	const char letter[3] = {'-', (char)optopt, '\0'};
	unsigned count = 0;
	size_t len;

	if (optopt == OPTION_HELP)
		return usage_error(
		    call, error, "option '--help' takes no value");
	if (optopt >= OPTION_BASE)
		return usage_error(call, error, "option '--%s' takes no value",
		    o[optopt - OPTION_BASE].name);
	if (optopt != 0)
		return unknown_option(call, letter, error);
	len = strcspn(word, "=") - 2;
	for (; o != NULL && o->name != NULL; o++)
		count += strncmp(o->name, word + 2, len) == 0;
	if (count > 1)
		return usage_error(
		    call, error, "option '%.64s' may be several", word);
	return unknown_option(call, word, error);
}

struct getopt_tables {
	struct option longs[OPTIONS_MAX + 2];
	char letters[3 + 2 * (OPTIONS_MAX + 1)];
};

static void
fill_tables(const struct option_spec *options, struct getopt_tables *t)
{
	char *letter = t->letters;
	unsigned i;

	*letter++ = ':'; /* tell a missing value from an unknown option */
	*letter++ = 'h';
	for (i = 0; options != NULL && options[i].name != NULL; i++) {
		t->longs[i].name = options[i].name;
		t->longs[i].has_arg = options[i].argument != NULL;
		t->longs[i].val = OPTION_BASE + (int)i;
		if (options[i].letter == 0)
			continue;
		*letter++ = options[i].letter;
		if (options[i].argument != NULL)
			*letter++ = ':';
	}
	t->longs[i].name = "help";
	t->longs[i].val = OPTION_HELP;
}

static unsigned
option_index(const struct option_spec *options, int value)
{
	unsigned i;

	if (value >= OPTION_BASE)
		return (unsigned)(value - OPTION_BASE);
	for (i = 0; options[i].letter != value; i++)
		;
	return i;
}

static int
check_words(const struct invocation *call, struct lf_error *error)
{
	const struct command *c = call->command;

	if (call->word_count > c->max_words)
		return usage_error(call, error, "'%.64s' is one word too many",
		    call->words[c->max_words]);
	if (call->word_count < c->min_words) {
		const char *word = c->words;
		unsigned i;

		for (i = 0; i < call->word_count; i++)
			word += strcspn(word, " ") + 1;
		return usage_error(call, error, "%.*s is missing",
		    (int)strcspn(word, " ."), word);
	}
	return 0;
}

int
command_parse(const struct command *command, int argc, char **argv,
    struct invocation *ret_call, struct lf_error *error)
{
	struct invocation call = {.command = command};
	const struct option_spec *options = command->options;
	struct getopt_tables t = {.letters = ""};
	int value, rc;
	unsigned i;

	fill_tables(options, &t);
	optind = 0; /* start anew: glibc also forgets where it was */
	opterr = 0;
	for (;;) {
		value = getopt_long(argc, argv, t.letters, t.longs, NULL);
		if (value == -1)
			break;
		if (value == '?')
			return bad_option(&call, argv[optind - 1], error);
		if (value == ':')
			return usage_error(&call, error,
			    "option '%s' needs a value", argv[optind - 1]);
		if (value == 'h' || value == OPTION_HELP) {
			call.help = true;
			*ret_call = call;
			return 0;
		}
		i = option_index(options, value);
		if (call.given[i])
			return usage_error(&call, error,
			    "option '--%s' is given twice", options[i].name);
		call.given[i] = true;
		call.value[i] = optarg;
	}
	call.words = (const char *const *)argv + optind;
	call.word_count = (unsigned)(argc - optind);
	rc = check_words(&call, error);
	if (rc < 0)
		return rc;
	*ret_call = call;
	return 0;
}

int
option_number(const struct invocation *call, unsigned option, unsigned long min,
    unsigned long max, unsigned long *ret_number, struct lf_error *error)
{
	const char *text = call->value[option];
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 ||
	    number < min || number > max)
		return usage_error(call, error,
		    "--%s '%.32s' is not a number from %lu to %lu",
		    call->command->options[option].name, text, min, max);
	*ret_number = number;
	return 0;
}
