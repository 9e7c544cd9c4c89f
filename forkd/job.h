/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One command that takes time, done by the worker of a domain process.
 */
#ifndef FORKD_JOB_H
#define FORKD_JOB_H

#include <jansson.h>
#include <libfork/domain.h>
#include <libfork/domain_config.h>
#include <libfork/error.h>

#include "forkd/peer.h"
#include "forkd/role.h"

struct hosted;
struct lease;

struct job {
	struct job *next;
	struct peer_request *request;
	enum role_command_id command;
	struct hosted *hosted;
	int rc;
	struct lf_error error;
	json_t *result;
	struct lease *lease; /* that it made */
	struct hosted *made; /* a domain that it made */
	json_t *facts;       /* what it found out of the domain */
};

/* A job's arguments; a descriptor is the caller's, -1: none. */
json_t *job_argument(const struct job *job, const char *name);
int job_fd(struct job *job, const char *name);
int job_config(const struct job *job, struct lf_domain_config **ret_config,
    struct lf_error *error);

/* A domain in a new shape: notes its facts, and lets it run, if it shall. */
int job_go_on(
    struct job *job, struct lf_domain *domain, struct lf_error *error);

#endif
