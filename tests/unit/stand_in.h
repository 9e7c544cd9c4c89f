/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stand-in for forkd, which says the same whatever it is asked, and xlfork's
 * commands run against it. Everything here fails the test when it fails.
 */
#ifndef TESTS_UNIT_STAND_IN_H
#define TESTS_UNIT_STAND_IN_H

#include <stdatomic.h>
#include <sys/types.h>

/*
 * What the stand-in answers to a command; fd -1: none goes with it. Of two
 * answers the second is for later, when the test says so.
 */
struct stand_in_answer {
	const char *command; /* NULL: the last of a list */
	const char *text;    /* NULL: hangs up */
	int fd;
};

#define STAND_IN_ASKED_MAX 4096

/* Of the processes that are started here: nothing stays behind. */
#define STAND_IN_LIFE_SECONDS 110

/* What the test and the stand-in both see. */
struct stand_in_shared {
	char asked[STAND_IN_ASKED_MAX]; /* commands, arguments, one a line */
	atomic_bool later;
	atomic_bool held; /* nothing is answered until it is not */
};

extern struct stand_in_shared *stand_in_shared;

/* Its run directory: whoever puts something there removes it again. */
extern char stand_in_dir[64];

void stand_in_start(const struct stand_in_answer *answers);

/* For TestSuite(.fini): it goes even when a test fails. */
void stand_in_stop(void);

/* Runs xlfork with the words of `line`; its exit status. */
int stand_in_run(const char *line);

/* ... which is `status`, and what it writes to a standard stream is this. */
void stand_in_expect(
    const char *line, int status, int stream, const char *expected);

/* Of a child; -1: it did not exit. */
int stand_in_exit_status(pid_t pid);

#endif
