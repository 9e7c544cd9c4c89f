/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting programs, and knowing processes again. A child waits before exec
 * until it is told to go on; if forkd dies in between, the child ends by
 * itself. So a process is always on record before it runs, whenever forkd is
 * killed.
 */
#ifndef FORKD_SPAWN_H
#define FORKD_SPAWN_H

#include <sys/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

/* A descriptor that the program finds under `number` (from 3 on). */
struct spawn_fd {
	int fd; /* borrowed */
	int number;
	bool copy; /* a copy in memory that anybody may read, not the file */
};

/* The user that a program runs as. */
struct spawn_user {
	bool change; /* false: as we are */
	uid_t uid;
	gid_t gid;
	gid_t extra_gid; /* one more group; equal to gid: none */
};

struct spawn_request {
	const char *program; /* looked for in PATH when without '/' */
	char *const *argv;
	const struct spawn_fd *fds;
	size_t fd_count;
	int log_fd;        /* standard error and output; -1: /dev/null */
	bool ends_with_us; /* a helper of ours, of no use to the next forkd */
	const struct spawn_user *user;
};

/* A process for sure: its id may be used again, its start time tells. */
struct process {
	pid_t pid; /* 0: none */
	int pidfd; /* owned; -1: none */
	uint64_t start_time;
};

#define PROCESS_NONE ((struct process){.pidfd = -1})

/*
 * Makes the child, which waits. `*ret_go` is given to spawn_go() once the
 * process is on record; closing it instead ends the child.
 */
int spawn_begin(const struct spawn_request *request,
    struct process *ret_process, int *ret_go, struct lf_error *error);

/*
 * Lets the child go on, and closes `take_go`; by whoever has the descriptor.
 */
int spawn_go(int take_go, struct lf_error *error);

/* As many descriptors for this process, and its children, as are allowed. */
void spawn_raise_limit(void);

/* Ends a child that was not let go, and collects it: it is none then. */
void spawn_cancel(struct process *process);

/* SIGKILL; nothing when there is none. The process is still to be waited for.
 */
void process_kill(const struct process *process);

/* Forgets the process, which may go on. */
void process_done(struct process *process);

/*
 * Finds a process again by what was recorded: -ESRCH when it is gone or the
 * number is another's by now.
 */
int process_find(pid_t pid, uint64_t start_time, struct process *ret_process,
    struct lf_error *error);

/*
 * After the pidfd became readable: how the process ended, in words ("killed by
 * signal 9"). Collects it if it is our child.
 */
void process_collect(const struct process *process, char *ret_how, size_t size);

/* What the log of a program ends with, as one line; "" when it is empty. */
void spawn_last_line(int log_fd, char *ret_line, size_t size);

/* A file for a program's output that cannot grow without limit. */
int spawn_make_log(int *ret_fd, struct lf_error *error);

#endif
