/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domain process: owns one domain and its snapshot, drives its QEMU, and
 * is the only one of forkd's processes that touches bytes a guest made.
 * Everything it needs reaches it as a descriptor; it opens and starts nothing.
 *
 * The main thread talks to forkd and never waits. Whatever takes time is a
 * job, done by one worker thread, one after the other; the libfork domain
 * belongs to the worker while a job runs and to the main thread otherwise.
 */
#ifndef FORKD_DOMAIN_PROCESS_H
#define FORKD_DOMAIN_PROCESS_H

#include <sys/types.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>

#include <jansson.h>
#include <libfork/domain.h>
#include <libfork/launcher.h>
#include <libfork/snapshot.h>

#include "forkd/peer.h"
#include "forkd/role.h"

struct need;

/* A fork that shares our snapshot as long as this connection is there. */
struct lease {
	struct lease *next;
	struct domain_process *process;
	json_int_t holder;
	int sock;
	struct event *ended;
	struct lf_snapshot *snapshot;
};

/* One command that takes time. */
struct job {
	struct job *next;
	struct peer_request *request;
	enum role_command_id command;
	int rc;
	struct lf_error error;
	json_t *result;
	struct lease *lease; /* that it made */
	json_t *facts;       /* what it found out of the domain */
};

struct domain_process {
	unsigned id;
	uid_t forkd_uid;       /* whom we obey, beside root */
	unsigned adopt_within; /* seconds; 0: for ever */
	struct event_base *base;
	struct event *listener, *wake, *changed;
	struct event *orphaned; /* ticks while no forkd is there */
	unsigned orphan_seconds;
	bool given_up;     /* no forkd will come */
	struct peer *peer; /* to forkd; NULL while none is there */
	struct lf_domain *domain;
	struct lf_launcher launcher;
	int origin; /* our lease on the parent's snapshot; -1 */
	struct lease *leases;
	bool established; /* was booted or forked, and answered so */
	bool ended;

	/* Main thread only: what is told of the domain, whoever has it. */
	enum lf_domain_state state;
	char reason[256];
	json_t *facts; /* "pty", "forwards" and so on */

	/* Between the threads. */
	pthread_mutex_t lock;
	pthread_cond_t work, answered;
	int wake_fd;
	struct job *queue; /* the first is the one under way */
	unsigned queued;
	bool job_done;
	struct need *need; /* what the worker waits for */
};

/* The role's main function; an exit status. */
int domain_process_main(unsigned id, unsigned adopt_within, uid_t forkd_uid);

/* --- domain_jobs.c: what the worker does --- */

/* Does a job; `job->rc` and what belongs to it are set. Worker only. */
void domain_job_run(struct domain_process *process, struct job *job);

/* --- domain_launcher.c: programs by asking forkd --- */

void domain_launcher_init(struct domain_process *process);

/*
 * Asks forkd for something and waits for the answer; worker only. `ret_fds`
 * gets exactly `fd_wanted` descriptors.
 */
int domain_need(struct domain_process *process, enum role_need_id id,
    json_t *take_arguments, const int *fds, size_t fd_count,
    json_t **ret_result, int *ret_fds, size_t fd_wanted,
    struct lf_error *error);

/* Main thread: sends what the worker needs, if it waits. */
void domain_need_send(struct domain_process *process);

#endif
