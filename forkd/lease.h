/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases: a fork in another process shares a snapshot of ours as long as its
 * connection is there.
 */
#ifndef FORKD_LEASE_H
#define FORKD_LEASE_H

#include <event2/event.h>
#include <sys/types.h>

#include <jansson.h>
#include <libfork/error.h>
#include <libfork/snapshot.h>

struct domain_process;

struct lease {
	struct lease *next;
	struct domain_process *process;
	unsigned domain;   /* whose snapshot it is */
	json_int_t holder; /* a fork that forkd knows; 0: a process that it */
	pid_t pid;         /* ... does not, and its id; 0: not known */
	int sock;
	struct event *ended;
	struct lf_snapshot *snapshot;
};

/*
 * Watches a lease, from now on one of the process's. A fork whose lease is not
 * watched would not know that nobody holds its snapshot: then it is freed.
 */
int lease_begin(struct domain_process *process, struct lease *take_lease,
    struct lf_error *error);
void lease_free(struct lease *lease);

/*
 * -EBUSY while processes that forkd does not know hold the domain's snapshot;
 * the message names them. A connection that is closed holds nothing, be it
 * that nobody has noticed yet: it is looked at, and let go.
 */
int lease_check(
    struct domain_process *process, unsigned domain, struct lf_error *error);

/* The ids of these processes; NULL: out of memory. */
json_t *lease_processes(struct domain_process *process, unsigned domain);

#endif
