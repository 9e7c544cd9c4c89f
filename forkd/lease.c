/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases on snapshots.
 */
#include "forkd/lease.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
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

static void
end_lease(struct lease *lease)
{
	struct lease **at = &lease->process->leases;

	while (*at != lease)
		at = &(*at)->next;
	*at = lease->next;
	lease_free(lease);
}

/* Nothing is ever sent on it after the snapshot: readable means the end. */
static void
on_lease_ended(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end_lease(arg);
}

/* Who made the connection. */
static pid_t
peer_of(int sock)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (sys.getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return 0;
	return who.pid;
}

int
lease_begin(
    struct domain_process *p, struct lease *take_lease, struct lf_error *error)
{
	take_lease->process = p;
	take_lease->pid = peer_of(take_lease->sock);
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

json_t *
lease_processes(struct domain_process *p, unsigned domain)
{
	json_t *pids = json_array();
	struct lease *lease, *next;

	for (lease = p->leases; lease != NULL; lease = next) {
		struct pollfd sock = {.fd = lease->sock, .events = POLLIN};

		next = lease->next;
		if (lease->domain != domain || lease->holder != 0)
			continue;
		if (sys.poll(&sock, 1, 0) > 0)
			end_lease(lease);
		else if (pids != NULL)
			json_array_append_new(pids, json_integer(lease->pid));
	}
	return pids;
}

int
lease_check(struct domain_process *p, unsigned domain, struct lf_error *error)
{
	json_t *pids = lease_processes(p, domain), *pid;
	size_t count = json_array_size(pids), i;
	char text[128] = "";
	int rc = 0;

	if (pids == NULL)
		return error_nomem(error);
	json_array_foreach(pids, i, pid)
	{
		size_t used = strlen(text);

		if (i < 8)
			snprintf(text + used, sizeof(text) - used,
			    "%s%" JSON_INTEGER_FORMAT, i > 0 ? ", " : "",
			    json_integer_value(pid));
	}
	if (count > 0)
		rc = error_set(error, EBUSY,
		    "its snapshot is held by process%s %s%s; end %s first",
		    count > 1 ? "es" : "", text, count > 8 ? ", ..." : "",
		    count > 1 ? "them" : "it");
	json_decref(pids);
	return rc;
}
