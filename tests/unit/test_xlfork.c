/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlfork's table of commands against its manual page and its completion; the
 * parsing of words; what tables, trees and events look like.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "xlfork/command.h"
#include "xlfork/commands.h"
#include "xlfork/domain_table.h"
#include "xlfork/help.h"
#include "xlfork/output.h"
#include "xlfork/suggest.h"

/* A set of words "COMMAND" and "COMMAND --option" and "COMMAND -o". */
#define WORDS_MAX 256
struct words {
	char word[WORDS_MAX][64];
	unsigned count;
};

static void
add(struct words *w, const char *command, const char *option)
{
	cr_assert_lt(w->count, WORDS_MAX);
	snprintf(w->word[w->count++], sizeof(w->word[0]), "%s%s%s", command,
	    option[0] != '\0' ? " " : "", option);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Says which words are in one set only. */
static void
assert_same(struct words *program, struct words *other, const char *where)
{
	unsigned i = 0, j = 0, wrong = 0;

	qsort(program->word, program->count, sizeof(program->word[0]), compare);
	qsort(other->word, other->count, sizeof(other->word[0]), compare);
	while (i < program->count || j < other->count) {
		int c = i == program->count ? 1
			: j == other->count
			    ? -1
			    : strcmp(program->word[i], other->word[j]);

		if (c < 0)
			cr_log_error(
			    "'%s' is not in %s", program->word[i], where);
		else if (c > 0)
			cr_log_error("'%s' is in %s, not in xlfork",
			    other->word[j], where);
		wrong += c != 0;
		i += c <= 0;
		j += c >= 0;
	}
	cr_assert_eq(wrong, 0);
	cr_assert_gt(program->count, 40);
}

static void
words_of_program(struct words *w)
{
	const struct command_group *g;
	const struct command *c;
	const struct option_spec *o;
	char option[64];

	w->count = 0;
	for (g = command_groups; g->title != NULL; g++)
		for (c = g->commands; c->name != NULL; c++) {
			add(w, c->name, "");
			for (o = c->options; o != NULL && o->name != NULL;
			     o++) {
				cr_assert_lt(
				    o - c->options, OPTIONS_MAX, "%s", c->name);
				snprintf(
				    option, sizeof(option), "--%s", o->name);
				add(w, c->name, option);
				snprintf(
				    option, sizeof(option), "-%c", o->letter);
				if (o->letter != 0)
					add(w, c->name, option);
			}
		}
}

static FILE *
open_source(const char *name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", getenv("top_srcdir"), name);
	file = fopen(path, "r");
	cr_assert_not_null(file, "%s", path);
	return file;
}

Test(xlfork, the_manual_page_has_every_command_and_option_and_no_other)
{
	static struct words program, manual;
	char line[512], command[64] = "", first[64], second[64];
	FILE *file = open_source("docs/xlfork.1");

	words_of_program(&program);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, ".It Cm %63s", first) == 1) {
			strcpy(command, first);
			add(&manual, command, "");
		} else if (sscanf(line, ".It Fl %63s , Fl -%60s", first,
			       second) == 2) {
			char option[64];

			snprintf(option, sizeof(option), "-%.60s", first);
			add(&manual, command, option);
			snprintf(option, sizeof(option), "--%.60s", second);
			add(&manual, command, option);
		} else if (sscanf(line, ".It Fl -%60s", first) == 1) {
			char option[64];

			snprintf(option, sizeof(option), "--%.60s", first);
			add(&manual, command, option);
		}
	}
	fclose(file);
	assert_same(&program, &manual, "docs/xlfork.1");
}

/* Asks the completion itself, by sourcing it in a shell. */
Test(xlfork, the_completion_has_every_command_and_option_and_no_other)
{
	static struct words program, completion;
	char script[8192], first[64], second[64];
	FILE *pipe;
	int n;

	words_of_program(&program);
	snprintf(script, sizeof(script),
	    "bash -c '. \"%s/xlfork/completion/xlfork\"\n"
	    "for c in $_xlfork_commands; do echo $c .\n"
	    "for o in $(_xlfork_options $c); do echo $c $o; done; done'",
	    getenv("top_srcdir"));
	pipe = popen(script, "r");
	cr_assert_not_null(pipe);
	while ((n = fscanf(pipe, "%63s %63s", first, second)) == 2) {
		if (strcmp(second, "-h") == 0 || strcmp(second, "--help") == 0)
			continue;
		add(&completion, first, strcmp(second, ".") == 0 ? "" : second);
	}
	cr_assert_eq(pclose(pipe), 0);
	assert_same(&program, &completion, "xlfork/completion/xlfork");
}

Test(xlfork, help_fits_a_terminal_and_explains_every_command)
{
	const struct command_group *g;
	const struct command *c;
	char *text = NULL, *line;
	size_t len;
	FILE *stream;

	for (g = command_groups; g->title != NULL; g++)
		for (c = g->commands; c->name != NULL; c++) {
			stream = open_memstream(&text, &len);
			help_command(stream, c);
			fclose(stream);
			for (line = strtok(text, "\n"); line != NULL;
			     line = strtok(NULL, "\n"))
				cr_expect_leq(strlen(line), 80, "%s: '%s'",
				    c->name, line);
			free(text);
		}
}

Test(xlfork, a_command_may_be_shortened_while_it_is_the_only_one)
{
	static const struct {
		const char *word, *command; /* NULL: an error */
	} rows[] = {
	    {"list", "list"},
	    {"li", "list"},
	    {"fork", "fork-vm"},
	    {"cre", "create"},
	    {"save-d", "save-devstate"},
	    {"do", NULL}, /* doctor, domid, domname */
	    {"c", NULL},
	    {"", NULL},
	    {"lists", NULL},
	    {"LIST", NULL},
	    /* Words of later versions abbreviate nothing. */
	    {"save", NULL},
	    {"restore", NULL},
	    {"transfer", NULL},
	    {"dump-core", NULL},
	    {"gdb", NULL},
	};
	const struct command *command;
	struct lf_error error;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int rc = command_find(
		    command_groups, rows[i].word, &command, &error);

		if (rows[i].command == NULL) {
			cr_expect_eq(rc, -COMMAND_EUSAGE, "%s", rows[i].word);
			continue;
		}
		cr_expect_eq(rc, 0, "%s", rows[i].word);
		cr_expect_str_eq(command->name, rows[i].command);
	}
}

Test(xlfork, options_stand_anywhere_and_two_dashes_end_them)
{
	char *argv[] = {"fork-vm", "web", "-n", "3", "--paused", "--", NULL};
	char *dashes[] = {"rename", "--", "-a", "-b", NULL};
	const struct command *command;
	struct invocation call;
	struct lf_error error;

	cr_assert_eq(
	    command_find(command_groups, "fork-vm", &command, &error), 0);
	cr_assert_eq(command_parse(command, 6, argv, &call, &error), 0);
	cr_assert_eq(call.word_count, 1);
	cr_assert_str_eq(call.words[0], "web");
	cr_assert_str_eq(call.value[2], "3");
	cr_assert(call.given[3]);
	cr_assert_not(call.given[0]);

	cr_assert_eq(
	    command_find(command_groups, "rename", &command, &error), 0);
	cr_assert_eq(command_parse(command, 4, dashes, &call, &error), 0);
	cr_assert_str_eq(call.words[0], "-a");
	cr_assert_str_eq(call.words[1], "-b");
}

Test(xlfork, a_suggestion_is_near_or_there_is_none)
{
	static const struct {
		const char *typed, *offered, *best;
	} rows[] = {
	    {"crate", "create", "create"},
	    {"lsit", "list", "list"},
	    {"suspend", "unpause", NULL},
	    {"restore", "destroy", NULL},
	    {"x", "list", NULL},
	    {"save", "save-devstate", "save-devstate"},
	    {"averyveryveryveryverylongwordthatnobodymeant", "list", NULL},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct suggestion s;

		suggestion_init(&s, rows[i].typed);
		suggestion_offer(&s, rows[i].offered);
		if (rows[i].best == NULL)
			cr_expect_null(s.best, "%s: %s", rows[i].typed, s.best);
		else
			cr_expect_str_eq(s.best, rows[i].best);
	}
}

Test(xlfork, sizes_are_written_as_people_do)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
	    {0, "0"},
	    {4096, "4K"},
	    {UINT64_C(256) << 20, "256M"},
	    {UINT64_C(1536) << 20, "1.5G"},
	    {UINT64_C(5) << 30, "5G"},
	    {UINT64_C(3355443), "3.2M"},
	    {UINT64_C(4) << 40, "4T"},
	};
	char buf[OUTPUT_SIZE_MAX];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_str_eq(output_size(rows[i].bytes, buf), rows[i].text);
}

static const char three_domains[] =
    "[{\"id\": 1, \"name\": \"web\", \"state\": \"frozen\","
    "  \"memory\": 268435456, \"vcpus\": 1, \"backend\": \"qemu\"},"
    " {\"id\": 2, \"name\": \"web-1\", \"state\": \"running\","
    "  \"memory\": 268435456, \"vcpus\": 1, \"backend\": \"qemu\","
    "  \"parent\": 1},"
    " {\"id\": 12, \"name\": \"web-1-1\", \"state\": \"crashed\","
    "  \"memory\": 268435456, \"vcpus\": 1, \"backend\": \"qemu\","
    "  \"parent\": 2, \"reason\": \"QEMU was killed\"}]";

static void
assert_table(const char *domains, unsigned flags, const char *wanted)
{
	json_t *array = json_loads(domains, 0, NULL);
	char *text = NULL;
	size_t len = 0;
	FILE *stream = tmpfile();
	struct lf_error error;

	cr_assert_not_null(array);
	cr_assert_eq(domain_table_print(stream, array, flags, &error), 0, "%s",
	    error.message);
	len = (size_t)ftell(stream);
	text = calloc(1, len + 1);
	rewind(stream);
	cr_assert_eq(fread(text, 1, len, stream), len);
	fclose(stream);
	cr_expect_str_eq(text, wanted, "got:\n%s\nwanted:\n%s", text, wanted);
	free(text);
	json_decref(array);
}

Test(xlfork, the_list_of_domains_as_a_table)
{
	assert_table(three_domains, 0,
	    "ID NAME    STATE   MEMORY VCPUS BACKEND PARENT REASON\n"
	    " 1 web     frozen    256M     1 qemu           \n"
	    " 2 web-1   running   256M     1 qemu         1 \n"
	    "12 web-1-1 crashed   256M     1 qemu         2 QEMU was killed\n");
}

Test(xlfork, the_list_of_domains_as_a_tree)
{
	assert_table(three_domains, DOMAIN_TABLE_TREE,
	    "ID NAME        STATE   MEMORY VCPUS BACKEND PARENT REASON\n"
	    " 1 web         frozen    256M     1 qemu           \n"
	    " 2 `-web-1     running   256M     1 qemu         1 \n"
	    "12   `-web-1-1 crashed   256M     1 qemu         2 QEMU was "
	    "killed\n");
}

Test(xlfork, the_list_of_domains_as_json)
{
	assert_table(three_domains, DOMAIN_TABLE_JSON,
	    "{\n"
	    "   \"domains\": [\n"
	    "      {\n"
	    "         \"id\": 1,\n"
	    "         \"name\": \"web\",\n"
	    "         \"state\": \"frozen\",\n"
	    "         \"memory\": 268435456,\n"
	    "         \"vcpus\": 1,\n"
	    "         \"backend\": \"qemu\",\n"
	    "         \"parent\": null,\n"
	    "         \"reason\": null\n"
	    "      },{\n"
	    "         \"id\": 2,\n"
	    "         \"name\": \"web-1\",\n"
	    "         \"state\": \"running\",\n"
	    "         \"memory\": 268435456,\n"
	    "         \"vcpus\": 1,\n"
	    "         \"backend\": \"qemu\",\n"
	    "         \"parent\": 1,\n"
	    "         \"reason\": null\n"
	    "      },{\n"
	    "         \"id\": 12,\n"
	    "         \"name\": \"web-1-1\",\n"
	    "         \"state\": \"crashed\",\n"
	    "         \"memory\": 268435456,\n"
	    "         \"vcpus\": 1,\n"
	    "         \"backend\": \"qemu\",\n"
	    "         \"parent\": 2,\n"
	    "         \"reason\": \"QEMU was killed\"\n"
	    "      }\n"
	    "   ]\n"
	    "}\n");
}

Test(xlfork, an_empty_list)
{
	assert_table("[]", 0, "");
	assert_table("[]", DOMAIN_TABLE_JSON,
	    "{\n"
	    "   \"domains\": [\n"
	    "\n"
	    "   ]\n"
	    "}\n");
}

Test(xlfork, parents_that_make_a_circle_do_not_hang_the_list)
{
	assert_table("[{\"id\": 1, \"name\": \"a\", \"parent\": 2},"
		     " {\"id\": 2, \"name\": \"b\", \"parent\": 1}]",
	    DOMAIN_TABLE_TREE,
	    "ID NAME STATE MEMORY VCPUS BACKEND PARENT\n"
	    " 1 a               0     0              2\n"
	    " 2 `-b             0     0              1\n");
}

/* What a function prints on a stream. */
static void
assert_prints(const json_t *value, const char *wanted, bool event)
{
	char *text = NULL;
	size_t len;
	FILE *stream = open_memstream(&text, &len);
	struct lf_error error;

	if (event)
		domain_event_print(stream, value);
	else
		cr_assert_eq(domain_info_print(stream, value, &error), 0);
	fclose(stream);
	cr_expect_str_eq(text, wanted, "got:\n%s\nwanted:\n%s", text, wanted);
	free(text);
}

Test(xlfork, info_shows_what_forkd_said_and_no_control_character)
{
	json_t *info = json_loads(
	    "{\"id\": 1, \"name\": \"web\", \"state\": \"frozen\","
	    " \"memory\": 268435456, \"memory-private\": 1048576,"
	    " \"memory-shared\": 267386880, \"vcpus\": 2,"
	    " \"backend\": \"qemu\", \"machine\": \"q35\","
	    " \"accelerator\": \"tcg\","
	    " \"accelerator-reason\": \"KVM here is software\","
	    " \"holders\": [{\"id\": 2, \"name\": \"a\"},"
	    "               {\"id\": 3, \"name\": \"b\"},"
	    "               {\"process\": 9}],"
	    " \"console\": {\"type\": \"pty\", \"path\": \"/dev/pts/4\"},"
	    " \"log\": [\"one\", \"two\\u001b[31m\"], \"pid\": 7}",
	    0, NULL);

	cr_assert_not_null(info);
	assert_prints(info,
	    "id:            1\n"
	    "name:          web\n"
	    "state:         frozen\n"
	    "held by:       domain 2 a\n"
	    "               domain 3 b\n"
	    "               process 9\n"
	    "backend:       qemu\n"
	    "accelerator:   tcg (KVM here is software)\n"
	    "machine:       q35\n"
	    "vcpus:         2\n"
	    "memory:        256M\n"
	    "in use:        1M of its own (with that of its QEMU), 255M "
	    "shared\n"
	    "console:       pty /dev/pts/4\n"
	    "process:       7\n"
	    "log:           one\n"
	    "               two?[31m\n",
	    false);
	json_decref(info);
}

Test(xlfork, an_event_is_one_line)
{
	static const struct {
		const char *event, *line;
	} rows[] = {
	    {"{\"event\": \"DOMAIN_CREATED\", \"data\": {\"id\": 2, \"name\": "
	     "\"web-1\", \"parent\": 1}, \"timestamp\": {\"seconds\": 3600, "
	     "\"microseconds\": 7500}}",
		"01:00:00.007 domain 2 web-1 forked from domain 1\n"},
	    {"{\"event\": \"DOMAIN_STATE\", \"data\": {\"id\": 2, \"name\": "
	     "\"web-1\", \"state\": \"crashed\", \"reason\": \"killed\"}, "
	     "\"timestamp\": {\"seconds\": 0, \"microseconds\": 0}}",
		"00:00:00.000 domain 2 web-1 crashed (killed)\n"},
	    {"{\"event\": \"DOMAIN_DESTROYED\", \"data\": {\"id\": 2, "
	     "\"name\": \"x\", \"reason\": \"poweroff\"}}",
		"00:00:00.000 domain 2 x gone (poweroff)\n"},
	    {"{\"event\": \"\\u001b[2J\", \"data\": {\"id\": 2, \"name\": "
	     "\"\\u0007\", \"reason\": \"a\\nb\\u001b]0;c\"}}",
		"00:00:00.000 domain 2 ? ?[2J (a?b?]0;c)\n"},
	};
	size_t i;

	setenv("TZ", "UTC", 1);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *event = json_loads(rows[i].event, 0, NULL);

		cr_assert_not_null(event);
		assert_prints(event, rows[i].line, true);
		json_decref(event);
	}
}
