/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The insides of being AFL++'s target: afl.c (shared memory, the loop),
 * afl_handshake.c (introductions), afl_child.c (the process that AFL++ kills).
 */
#ifndef FUZZ_AFL_H
#define FUZZ_AFL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <libfork/afl.h>

/* The descriptors: commands come on the first, answers go to the second. */
#define AFL_CONTROL_FD 198
#define AFL_STATUS_FD  199

/*
 * AFL++ ends a run that takes too long by killing the process whose id it was
 * told. It gets that of a process that does nothing else; a thread waits for
 * its end, and for AFL++'s own, and interrupts the run.
 */
struct afl_child {
	struct lf_fuzz *fuzz;
	pthread_t thread;
	bool started;
	int control_fd; /* hangs up when AFL++ is gone */
	int quit_fd;    /* eventfd */
	void *stack;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pid_t owner;
	pid_t pid;   /* 0: none now */
	int failure; /* errno: none could be made, and none will be */
	bool killed; /* one was, and nobody has asked since */
	bool gone;   /* AFL++ */
};

struct lf_afl {
	uint8_t *map; /* attached; NULL: none */
	size_t map_bytes;
	const uint8_t *input; /* attached: length, then bytes; NULL: none */
	size_t input_bytes;
	bool once;         /* no fork server is wanted, only one run */
	bool offers_input; /* there is shared memory for test cases */
	bool introduced;   /* refusals come too late */
	struct afl_child child;
};

/* What the two sides agreed on. */
struct afl_terms {
	size_t map_bytes;       /* in: the target's map; 0: none */
	bool shared_input;      /* in: possible; out: agreed on */
	const void *dictionary; /* in; NULL: none */
	size_t dictionary_len;
};

/* Which introduction: AFL++ up to 4.10 knows the first only, later both. */
enum afl_version {
	AFL_VERSION_OLD,
	AFL_VERSION_NEW,
};

/* The one that can say what is to be said: maps above 8 MiB need the new. */
enum afl_version afl_handshake_version(const struct afl_terms *terms);

/* -EPIPE: AFL++ went away; -EPROTO: it said something unknown. */
int afl_handshake(int control_fd, int status_fd, enum afl_version version,
    struct afl_terms *terms, struct lf_error *error);

/* The word that says no, for a negative errno. */
uint32_t afl_handshake_refusal(int code);

/* Four bytes in host order, as AFL++ writes them. 1; 0: the end; or errno. */
int afl_read_word(int fd, uint32_t *ret_word, struct lf_error *error);
int afl_write(int fd, const void *bytes, size_t len, struct lf_error *error);

int afl_child_start(struct afl_child *child, struct lf_fuzz *fuzz,
    int control_fd, struct lf_error *error);
void afl_child_end(struct afl_child *child);

/* The process's id; waits until there is one. 0: AFL++ is gone; or errno. */
pid_t afl_child_pid(struct afl_child *child, struct lf_error *error);

/* Waits until it is killed, or AFL++ is gone. */
void afl_child_wait(struct afl_child *child);

#endif
