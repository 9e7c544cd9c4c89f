/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a domain as forkd sees it: its processes start, die or are ended.
 * Whatever dies by itself leaves a domain that is crashed, with the reason,
 * until somebody destroys it. What a domain process says that is more than life
 * and death goes to the daemon's hooks.
 */
#ifndef FORKD_LIFE_H
#define FORKD_LIFE_H

#include <libfork/error.h>

#include "forkd/peer.h"
#include "forkd/registry.h"
#include "forkd/role.h"

struct daemon;

/* Starts the domain process; the domain has a link afterwards. */
int life_start(
    struct daemon *daemon, struct domain *domain, struct lf_error *error);

/*
 * Asks the process that the domain lives in, in its name, as peer_call();
 * `done` is called once, at once when there is no process.
 */
void life_call(struct domain *domain, enum role_command_id command,
    const struct peer_load *load, int timeout_ms, peer_done *done,
    void *opaque);

/*
 * Takes a report of a state, from the domain process with what else it says
 * (`data`) or from here (NULL), and tells.
 */
void life_report(struct domain *domain, enum control_state state,
    const char *reason, const json_t *data);

/*
 * It was booted or forked, and its creation was told: tells what it stopped by
 * in between.
 */
void life_establish(struct domain *domain);

/* The first reason counts: what comes after it is its consequence. */
void life_crash(struct domain *domain, const char *reason);

/* Watches the processes of a domain of an earlier forkd. */
int life_watch(
    struct daemon *daemon, struct domain *domain, struct lf_error *error);

/* The connection to its domain process; takes the socket, also on failure. */
int life_link(struct daemon *daemon, struct domain *domain, int take_sock,
    struct lf_error *error);

/* Notes the QEMU that was started for a domain and watches it. */
int life_set_qemu(struct daemon *daemon, struct domain *domain,
    const struct process *take_qemu, struct lf_error *error);

/* Watches a QEMU that only tells what CPU the domain's guest has. */
int life_set_probe(struct daemon *daemon, struct domain *domain,
    const struct process *take_probe, struct lf_error *error);

/*
 * Ends all processes of a domain, then removes it and calls `done` (NULL:
 * nobody asks). `why` goes into the event. The domain is doomed from now on
 * and freed before `done`. A forkd that ends leaves the domain to the next one.
 */
void life_destroy(struct daemon *daemon, struct domain *domain, const char *why,
    void (*done)(void *opaque), void *opaque);

#endif
