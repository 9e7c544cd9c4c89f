/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a command is, and what it gets to work with: its words, taken apart. The
 * table of all commands is in commands.h; nothing here knows any of them.
 */
#ifndef XLFORK_COMMAND_H
#define XLFORK_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/error.h>

/* What the program exits with. */
enum exit_status {
	STATUS_DONE = 0,
	STATUS_FAILED = 1,  /* one line on standard error says why */
	STATUS_USAGE = 2,   /* the words made no sense */
	STATUS_TROUBLE = 2, /* it failed, where 1 has another meaning */
};

/*
 * Codes beside errno's that a command may return, negative: the words made no
 * sense; all that failed was already reported (or status 1 is no failure);
 * the same in a command whose status 1 is no failure.
 */
#define COMMAND_EUSAGE    4096
#define COMMAND_EREPORTED 4097
#define COMMAND_ETROUBLE  4098

#define OPTIONS_MAX       32

struct option_spec {
	char letter;          /* 0: has none */
	const char *name;     /* without dashes */
	const char *argument; /* "FILE"; NULL: takes none */
	const char *meaning;
	bool later; /* accepted, then answered with "not in this version" */
};

#define OPTION_END           \
	{                    \
		.name = NULL \
	}

struct invocation;

struct command {
	const char *name;
	int (*run)(const struct invocation *call, struct lf_error *error);
	const struct option_spec *options; /* NULL: none but --help */
	const char *words;                 /* "DOMAIN FILE"; "": none */
	unsigned min_words, max_words;
	const char *summary; /* half a line, lower case, no full stop */
	const char *details; /* for its own help page; NULL: nothing to add */
};

/* A table of commands is in groups; the last row's title is NULL. */
struct command_group {
	const char *title;
	const struct command *commands; /* ended by a row without a name */
};

/* A command with its words taken apart. */
struct invocation {
	const struct command *command;
	const struct command_group *groups; /* the table that it is in */
	bool help;                          /* --help: nothing else counts */
	bool given[OPTIONS_MAX];
	const char *value[OPTIONS_MAX];
	const char *const *words;
	unsigned word_count;
};

/*
 * The command called `name`, or the only one that begins with it.
 * -COMMAND_EUSAGE: none or several; the message says which come near.
 */
int command_find(const struct command_group *groups, const char *name,
    const struct command **ret_command, struct lf_error *error);

/*
 * Takes apart the words after the command's name. argv[0] is that name; argv
 * is reordered. -COMMAND_EUSAGE.
 */
int command_parse(const struct command *command, int argc, char **argv,
    struct invocation *ret_call, struct lf_error *error);

/* Runs xlfork with these arguments; the result is its exit status. */
enum exit_status command_main(int argc, char **argv);

/* "words that make no sense", with the command's name before it. */
int usage_error(const struct invocation *call, struct lf_error *error,
    const char *format, ...) __attribute__((format(printf, 3, 4), cold));

/* An option's number from `min` to `max`; -COMMAND_EUSAGE otherwise. */
int option_number(const struct invocation *call, unsigned option,
    unsigned long min, unsigned long max, unsigned long *ret_number,
    struct lf_error *error);

/* The families' tables. */
extern const struct command domain_commands[];
extern const struct command look_commands[];
extern const struct command fork_commands[];
extern const struct command devstate_commands[];
extern const struct command fuzz_commands[];
extern const struct command host_commands[];

#endif
