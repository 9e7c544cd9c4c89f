/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domain process: owns one domain and its snapshot, hosts the forks
 * without device model of that snapshot and of theirs, drives the QEMUs of
 * all these, and is the only one of forkd's processes that touches bytes a
 * guest made. Everything it needs reaches it as a descriptor; it opens and
 * starts nothing.
 *
 * The main thread talks to forkd and never waits. Whatever takes time is a
 * job, done by one worker thread, one after the other; a domain belongs to the
 * worker as long as jobs of it wait, and to the main thread otherwise.
 */
#ifndef FORKD_DOMAIN_PROCESS_H
#define FORKD_DOMAIN_PROCESS_H

#include <sys/types.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>

#include "forkd/peer.h"

struct hosted;
struct job;
struct lease;
struct lf_pool;
struct need;

struct domain_process {
	uid_t forkd_uid;       /* whom we obey, beside root */
	unsigned adopt_within; /* seconds; 0: for ever */
	struct event_base *base;
	struct event *listener, *wake;
	struct event *orphaned; /* ticks while no forkd is there */
	unsigned orphan_seconds;
	bool given_up;        /* no forkd will come */
	bool over;            /* the loop has ended: nobody can be asked */
	struct peer *peer;    /* to forkd; NULL while none is there */
	struct hosted *first; /* the one that the process is for; then forks */
	int origin;           /* our lease on the parent's snapshot; -1 */
	struct lease *leases;
	bool established; /* was booted or forked, and answered so */
	/* VMs for the next forks, from the first one on; the worker's. */
	struct lf_pool *pool;

	/* Between the threads. */
	pthread_mutex_t lock;
	pthread_cond_t work, answered;
	int wake_fd;
	struct job *queue; /* the first is the one under way */
	unsigned queued;
	bool job_done;
	struct need *need; /* what the worker waits for */
};

#endif
