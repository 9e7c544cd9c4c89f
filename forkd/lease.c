/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases on snapshots.
 */
#include "forkd/lease.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/domain_process.h"

void
lease_free(struct lease *lease)
{
	if (lease->ended != NULL)
		event_free(lease->ended);
	close_fd(lease->sock);
	lf_snapshot_unref(lease->snapshot);
	free(lease);
}

/* Nothing is ever sent on it after the snapshot: readable means the end. */
static void
on_lease_ended(evutil_socket_t fd, short what, void *arg)
{
	struct lease *lease = arg;
	struct lease **at = &lease->process->leases;

	(void)fd;
	(void)what;
	while (*at != lease)
		at = &(*at)->next;
	*at = lease->next;
	lease_free(lease);
}

int
lease_begin(
    struct domain_process *p, struct lease *take_lease, struct lf_error *error)
{
	take_lease->process = p;
	take_lease->ended = event_new(
	    p->base, take_lease->sock, EV_READ, on_lease_ended, take_lease);
	if (take_lease->ended == NULL ||
	    event_add(take_lease->ended, NULL) < 0) {
		lease_free(take_lease);
		return error_nomem(error);
	}
	take_lease->next = p->leases;
	p->leases = take_lease;
	return 0;
}
