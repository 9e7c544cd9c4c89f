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

#include <jansson.h>
#include <libfork/domain.h>
#include <libfork/launcher.h>
#include <libfork/snapshot.h>

#include "forkd/peer.h"
#include "forkd/role.h"

struct need;

/* A fork that shares a snapshot of ours as long as this connection is there. */
struct lease {
	struct lease *next;
	struct domain_process *process;
	json_int_t holder;
	int sock;
	struct event *ended;
	struct lf_snapshot *snapshot;
};

/* A domain that lives here. */
struct hosted {
	struct hosted *next;
	struct domain_process *process;
	unsigned id;
	/* NULL: the first one, before it was booted or forked. */
	struct lf_domain *domain;
	struct lf_launcher launcher; /* asks forkd, in this domain's name */
	struct lf_dm_pool *pool;     /* its device model that waits; NULL */
	struct event *changed;
	unsigned jobs; /* that wait or are under way: the worker's meanwhile */
	bool doomed;   /* is being destroyed: takes no more commands */

	/* Main thread only: what is told of the domain, whoever has it. */
	bool ended;
	bool device_model; /* it is on QEMU */
	enum lf_domain_state state;
	char reason[256];
	/*
	 * "pty", "forwards" and so on; "access" and "registers" of the moment
	 * in which it stopped by itself.
	 */
	json_t *facts;
	bool launch_on_access; /* its policy for device accesses */
};

/* One command that takes time. */
struct job {
	struct job *next;
	struct peer_request *request;
	enum role_command_id command;
	struct hosted *hosted;
	int rc;
	struct lf_error error;
	json_t *result;
	struct lease *lease; /* that it made */
	struct hosted *made; /* a domain that it made */
	json_t *facts;       /* what it found out of the domain */
};

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

/*
 * A domain of this id that is not in the list yet; NULL when out of memory.
 * Any thread.
 */
struct hosted *hosted_new(struct domain_process *process, unsigned id);
void hosted_free(struct hosted *hosted);

/* --- domain_jobs.c: what the worker does --- */

/* Does a job; `job->rc` and what belongs to it are set. Worker only. */
void domain_job_run(struct job *job);

/* A job's arguments; a descriptor is the caller's, -1: none. */
json_t *domain_job_argument(const struct job *job, const char *name);
int domain_job_fd(struct job *job, const char *name);
int domain_job_config(const struct job *job,
    struct lf_domain_config **ret_config, struct lf_error *error);

/* A domain in a new shape: notes its facts, and lets it run, if it shall. */
int domain_go_on(
    struct job *job, struct lf_domain *domain, struct lf_error *error);

/* --- domain_fork.c: jobs of forks without device model --- */

int domain_fork_here(struct job *job, struct lf_error *error);
int domain_prepare(struct job *job, struct lf_error *error);
int domain_launch(struct job *job, struct lf_error *error);

/* The registers of all vCPUs, as a list; what cannot be read is left out. */
json_t *domain_registers(struct lf_domain *domain);
int domain_read_registers(
    struct lf_domain *domain, json_t **ret_registers, struct lf_error *error);

/* What it stopped at, where that was a device access; NULL otherwise. */
json_t *domain_access(const struct lf_exit *exit);

/* --- domain_launcher.c: programs by asking forkd --- */

void domain_launcher_init(struct hosted *hosted);

/*
 * Asks forkd for something in a domain's name and waits for the answer, which
 * the main thread brings: worker only, until the loop is over. `ret_fds` gets
 * exactly `fd_wanted` descriptors.
 */
int domain_need(const struct hosted *hosted, enum role_need_id id,
    json_t *take_arguments, const int *fds, size_t fd_count,
    json_t **ret_result, int *ret_fds, size_t fd_wanted,
    struct lf_error *error);

/* Main thread: sends what the worker needs, if it waits. */
void domain_need_send(struct domain_process *process);

#endif
