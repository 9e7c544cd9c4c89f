/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that nobody looks at any more but that have to be collected: the
 * loop does it when they have ended, however long that takes.
 */
#ifndef FORKD_RETIRE_H
#define FORKD_RETIRE_H

#include <event2/event.h>

#include "forkd/spawn.h"

/* Kills a process and forgets it; nothing when there is none. */
void retire_process(struct event_base *base, struct process *take_process);

/* Collects a process that has ended, and forgets it and its event. */
void retire_collect(
    struct process *process, struct event **ended, char *ret_how, size_t size);

#endif
