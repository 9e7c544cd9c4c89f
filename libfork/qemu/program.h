/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting a program as a child of this process with exactly the descriptors
 * that it shall have, its standard error in a bounded memfd.
 */
#ifndef QEMU_PROGRAM_H
#define QEMU_PROGRAM_H

#include <sys/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <libfork/error.h>

struct program {
	char *const *argv; /* argv[0] is looked for in PATH */
	int *fds;          /* become 3, 4, ... in the child */
	size_t fd_count;
	bool end_with_thread; /* killed when the calling thread ends */
};

/*
 * Starts it; fails with the reason when it could not be executed. Standard
 * input is /dev/null, standard output and error are the log, which has room
 * for 64 KiB and loses the rest.
 */
int program_start(const struct program *program, pid_t *ret_pid, int *ret_pidfd,
    int *ret_log_fd, struct lf_error *error);

/* Kills a child (SIGKILL) and waits for it; nothing with pidfd -1. */
void program_end(pid_t pid, int pidfd);

/*
 * Runs a program to its end (a minute at most). What it printed goes to
 * `*ret_text` (may be NULL; the caller frees it). -EIO with its own last words
 * when it failed.
 */
int program_run(char *const *argv, char **ret_text, struct lf_error *error);

/*
 * The last lines of a log (see program_start), joined to one, without the
 * program's name before each; "" when there are none.
 */
void program_last_words(int log_fd, char *buf, size_t size);

#endif
