/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases: a fork in another process shares a snapshot of ours as long as its
 * connection is there.
 */
#ifndef FORKD_LEASE_H
#define FORKD_LEASE_H

#include <event2/event.h>

#include <jansson.h>
#include <libfork/error.h>
#include <libfork/snapshot.h>

struct domain_process;

struct lease {
	struct lease *next;
	struct domain_process *process;
	json_int_t holder;
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

#endif
