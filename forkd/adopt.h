/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains of an earlier forkd: their processes are found again by what is on
 * record, and asked how they are.
 */
#ifndef FORKD_ADOPT_H
#define FORKD_ADOPT_H

#include <libfork/error.h>

struct daemon;
struct domain;

/*
 * Takes a domain over: connects to its process, or finds out that it is dead.
 * A domain that was not established is removed, unless it lives in
 * another's process that knows it. A failure is ours, not the
 * domain's, which goes on: another forkd may try again. The domain in whose
 * process it lives has to be adopted before it.
 */
int adopt_domain(
    struct daemon *daemon, struct domain *domain, struct lf_error *error);

#endif
