/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain that lives in a domain process: what is known and told of it. All
 * but making one is the main thread's, and of the domain itself only while no
 * job of it waits.
 */
#ifndef FORKD_HOSTED_H
#define FORKD_HOSTED_H

#include <event2/event.h>
#include <stdbool.h>

#include <jansson.h>
#include <libfork/domain.h>
#include <libfork/launcher.h>

#include "forkd/domain_launcher.h"
#include "forkd/peer.h"

struct domain_process;

struct hosted {
	struct hosted *next;
	struct domain_process *process;
	unsigned id;
	/* NULL: the first one, before it was booted or forked. */
	struct lf_domain *domain;
	struct domain_launcher launcher; /* asks forkd, in its name */
	struct lf_dm_pool *pool;         /* its device model that waits; NULL */
	struct event *changed;
	unsigned jobs; /* that wait or are under way: the worker's meanwhile */
	unsigned changes; /* of those jobs: launches, resets and the like */
	bool doomed;      /* is being destroyed: takes no more commands */

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

/*
 * A domain of this id that is not in the list yet; NULL when out of memory.
 * Any thread.
 */
struct hosted *hosted_new(struct domain_process *process, unsigned id);

/* With its domain, whose QEMU ends. NULL is allowed. */
void hosted_free(struct hosted *hosted);

/* The list; one that is being destroyed is not found. */
struct hosted *hosted_find(const struct domain_process *process, unsigned id);
void hosted_append(struct domain_process *process, struct hosted *take_hosted);
void hosted_remove(struct domain_process *process, struct hosted *hosted);

/* Looks at a domain, which is ours now, and tells what changed. */
void hosted_look_at(struct hosted *hosted);

/*
 * Looks whenever something happens, unless jobs wait or the domain crashed or
 * ended; and no more.
 */
void hosted_watch(struct hosted *hosted);
void hosted_unwatch(struct hosted *hosted);

/* Answers "describe". */
void hosted_describe(const struct hosted *hosted, struct peer_request *request);

#endif
