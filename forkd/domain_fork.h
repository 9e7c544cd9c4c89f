/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forks without device model, which live in the process that owns their
 * snapshot: jobs that make one, prepare its device model and launch it.
 */
#ifndef FORKD_DOMAIN_FORK_H
#define FORKD_DOMAIN_FORK_H

#include <libfork/error.h>

struct job;

int domain_fork_here(struct job *job, struct lf_error *error);
int domain_prepare(struct job *job, struct lf_error *error);
int domain_launch(struct job *job, struct lf_error *error);

#endif
