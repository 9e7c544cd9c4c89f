/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Help texts: nothing is said here that the table of commands does not know.
 */
#include "xlfork/help.h"

#include <ctype.h>
#include <string.h>

/* Columns of the options' left side, and of a line. */
#define LEFT_WIDTH 28
#define LINE_WIDTH 79

/*
 * Prints words from column `column` on; further lines begin at `indent`.
 */
static unsigned
print_wrapped(FILE *stream, const char *text, unsigned column, unsigned indent)
{
	while (*text != '\0') {
		unsigned len = (unsigned)strcspn(text, " ");

		if (column > indent && column + 1 + len > LINE_WIDTH) {
			fprintf(stream, "\n%*s", (int)indent, "");
			column = indent;
		}
		if (column > indent) {
			fputc(' ', stream);
			column++;
		}
		fprintf(stream, "%.*s", (int)len, text);
		column += len;
		text += len + strspn(text + len, " ");
	}
	return column;
}

void
help_usage(FILE *stream, const struct command *command)
{
	fprintf(stream, "usage: xlfork %s%s%s%s\n", command->name,
	    command->options != NULL ? " [OPTION]..." : "",
	    command->words[0] != '\0' ? " " : "", command->words);
}

void
help_overview(FILE *stream, const struct command_group *groups)
{
	const struct command_group *g;
	const struct command *c;

	fputs("usage: xlfork COMMAND [OPTION]... [WORD]...\n\n"
	      "Fork virtual machines: freeze one, and make others that go on "
	      "from there.\n"
	      "A command may be shortened as long as it is the only one that "
	      "begins so.\n",
	    stream);
	for (g = groups; g->title != NULL; g++) {
		fprintf(stream, "\n%s:\n", g->title);
		for (c = g->commands; c->name != NULL; c++)
			fprintf(stream, "  %-16s %s\n", c->name, c->summary);
	}
	fputs("\n'xlfork help COMMAND' says more about one; "
	      "xlfork(1) is the manual.\n",
	    stream);
}

static void
print_option(FILE *stream, const struct option_spec *o)
{
	char left[64];
	unsigned column;
	int len;

	if (o->letter != 0)
		len = snprintf(
		    left, sizeof(left), "  -%c, --%s", o->letter, o->name);
	else
		len = snprintf(left, sizeof(left), "      --%s", o->name);
	if (o->argument != NULL)
		len += snprintf(
		    left + len, sizeof(left) - (size_t)len, " %s", o->argument);
	if (len >= LEFT_WIDTH)
		fprintf(stream, "%s\n%*s", left, LEFT_WIDTH, "");
	else
		fprintf(stream, "%-*s", LEFT_WIDTH, left);
	column = print_wrapped(stream, o->meaning, LEFT_WIDTH, LEFT_WIDTH);
	if (o->later)
		print_wrapped(
		    stream, "(not in this version)", column, LEFT_WIDTH);
	fputc('\n', stream);
}

void
help_command(FILE *stream, const struct command *command)
{
	static const struct option_spec help = {
	    'h', "help", NULL, "print this and do nothing", false};
	const struct option_spec *o;

	help_usage(stream, command);
	fprintf(stream, "\n%c%s.\n", toupper((unsigned char)*command->summary),
	    command->summary + 1);
	if (command->details != NULL) {
		print_wrapped(stream, command->details, 0, 0);
		fputc('\n', stream);
	}
	fputs("\nOptions:\n", stream);
	for (o = command->options; o != NULL && o->name != NULL; o++)
		print_option(stream, o);
	print_option(stream, &help);
}
