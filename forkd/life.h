/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a domain as forkd sees it: its processes start, are adopted, die
 * or are ended. Whatever dies by itself leaves a domain that is crashed, with
 * the reason, until somebody destroys it.
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
 * A fork that will live in the process in which its parent lives: on record,
 * no process is started.
 */
int life_host(struct daemon *daemon, struct domain *domain,
    const struct domain *parent, struct lf_error *error);

/*
 * Asks the process that the domain lives in (takes the arguments; NULL: none),
 * in its name; `done` is called once, at once when there is no process.
 */
void life_call(struct domain *domain, enum role_command_id command,
    json_t *take_arguments, const int *fds, size_t fd_count, int timeout_ms,
    peer_done *done, void *opaque);

/* Notes a state that is decided here, and tells. */
void life_report(
    struct domain *domain, enum control_state state, const char *reason);

/*
 * Takes a domain of an earlier forkd over: connects to its process, or finds
 * out that it is dead. A domain that was not established is removed. A failure
 * is ours, not the domain's, which goes on: another forkd may try again.
 */
int life_adopt(
    struct daemon *daemon, struct domain *domain, struct lf_error *error);

/* Notes the QEMU that was started for a domain and watches it. */
int life_set_qemu(struct daemon *daemon, struct domain *domain,
    const struct process *take_qemu, struct lf_error *error);

/* Watches a QEMU that only tells what CPU the domain's guest has. */
int life_set_probe(struct daemon *daemon, struct domain *domain,
    const struct process *take_probe, struct lf_error *error);

/*
 * Ends all processes of a domain, then removes it and calls `done` (NULL:
 * nobody asks). `why` goes into the event. The domain is doomed from now on
 * and freed before `done`.
 */
void life_destroy(struct daemon *daemon, struct domain *domain, const char *why,
    void (*done)(void *opaque), void *opaque);

#endif
