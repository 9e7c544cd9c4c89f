/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker of a domain process does: one function a command.
 */
#ifndef FORKD_DOMAIN_JOBS_H
#define FORKD_DOMAIN_JOBS_H

struct job;

/* Does a job; `job->rc` and what belongs to it are set. Worker only. */
void domain_job_run(struct job *job);

#endif
