/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread that does one task at a time for its owner and lives from the
 * first task to worker_done(). A vCPU wants to be run by the same thread each
 * time: for another one, KVM before Linux 6.12 waits for an RCU grace period
 * at the beginning of KVM_RUN (kvm_vcpu_ioctl(), virt/kvm/kvm_main.c), some 10
 * milliseconds.
 */
#ifndef DOMAIN_WORKER_H
#define DOMAIN_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include <libfork/error.h>

typedef void worker_fn(void *opaque);

struct worker {
	worker_fn *fn;
	void *opaque;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* the two below */
	pthread_cond_t changed;
	bool busy;
	bool quit;
};

/* Starts no thread yet. `fn` is what the thread does with `opaque`. */
void worker_init(struct worker *worker, worker_fn *fn, void *opaque);

/* Starts the thread ahead of its first task. */
int worker_start(struct worker *worker, struct lf_error *error);

/*
 * Begins the task; the one before must have been waited for. An error is that
 * the thread cannot be started: nothing was begun then, and it can be tried
 * again.
 */
int worker_begin(struct worker *worker, struct lf_error *error);

/* Begins the last one, with whose end the thread, which is there, ends, too. */
void worker_begin_last(struct worker *worker);

/* Returns when the task has ended; at once if none was begun. */
void worker_wait(struct worker *worker);

/*
 * Waits for the task, ends the thread, and leaves zeros. One of zeros is left
 * alone.
 */
void worker_done(struct worker *worker);

/* The same for one that was allocated, and frees it. NULL is allowed. */
void worker_free(struct worker *worker);

#endif
