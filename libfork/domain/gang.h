/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running all vCPUs of a VM at once, each in a thread of its own, the first in
 * the caller's. A round ends when one vCPU has something to tell: the others
 * are stopped then, and nobody runs when gang_run() returns. The threads live
 * as long as the gang and sleep between rounds.
 */
#ifndef DOMAIN_GANG_H
#define DOMAIN_GANG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <libfork/error.h>
#include <libfork/exit.h>

struct vcpu;

/* What a vCPU's thread does in a round; `member` is its place. */
typedef int gang_fn(void *opaque, struct vcpu *vcpu, struct lf_exit *ret_exit,
    struct lf_error *error);

/* A vCPU that returns this has nothing to do; the others go on. */
#define GANG_IDLE 2

struct gang_member {
	struct gang *gang;
	struct vcpu *vcpu;
	pthread_t thread;
	bool started; /* thread is one to be joined */
	int rc;       /* of its last round */
	struct lf_exit exit;
	struct lf_error error;
	/* Its exit, error or full ring has not been told yet. */
	bool news;
};

struct gang {
	gang_fn *fn;
	void *opaque;
	struct gang_member *members; /* owned; the first has no thread */
	unsigned count;
	atomic_bool stop; /* gang_stop() was called and not answered yet */
	atomic_bool over; /* the round under way: somebody has news */

	pthread_mutex_t lock;
	pthread_cond_t begin, end;
	unsigned round;   /* the one under way */
	unsigned running; /* threads inside it */
	bool quit;
};

/* `vcpus` is copied. Threads are started only when there are several. */
int gang_init(struct gang *gang, gang_fn *fn, void *opaque,
    struct vcpu *const *vcpus, unsigned count, struct lf_error *error);
void gang_done(struct gang *gang);

/*
 * One round, unless news of the last one are left or a stop is to be answered.
 * Afterwards nobody runs, and members with something to tell have `news` set.
 */
void gang_run(struct gang *gang);

/*
 * Ends the round under way soon, and keeps others from beginning until
 * gang_take_stop() was called. Any thread.
 */
void gang_stop(struct gang *gang);

/* Answers all stops until now; false when there was none. */
bool gang_take_stop(struct gang *gang);

/* Forgets all news. */
void gang_forget(struct gang *gang);

#endif
