/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs for a process that may not start any: a launcher that asks forkd. A
 * forkd that goes away meanwhile is an error; nobody waits for the next one.
 */
#ifndef FORKD_DOMAIN_LAUNCHER_H
#define FORKD_DOMAIN_LAUNCHER_H

#include <libfork/launcher.h>

struct domain_process;

/* Asks in a domain's name. */
struct domain_launcher {
	struct lf_launcher lf;
	struct domain_process *process;
	unsigned id; /* of the domain */
};

/* The worker uses it; once the main thread's loop is over, everything fails. */
void domain_launcher_init(struct domain_launcher *launcher,
    struct domain_process *process, unsigned id);

/* Main thread: sends what the worker needs, if it waits. */
void domain_need_send(struct domain_process *process);

#endif
