/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forks without device model.
 */
#include "forkd/domain_fork.h"

#include <errno.h>
#include <stdio.h>

#include <libfork/domain_config.h>
#include <libfork/pool.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/domain_process.h"
#include "forkd/fork_options.h"
#include "forkd/hosted.h"
#include "forkd/job.h"

/* VMs made ahead for each kind of fork: some 200 KiB and two mappings each. */
#define POOL_DEPTH 4

/* --- making one --- */

/* Forks go without a pool when there is no memory or thread for it. */
static struct lf_pool *
vm_pool(struct domain_process *p)
{
	struct lf_error error;

	if (p->pool == NULL && lf_pool_new(POOL_DEPTH, &p->pool, &error) < 0)
		fprintf(stderr, "%s\n", error.message);
	return p->pool;
}

static int
fork_frozen(struct job *job, struct hosted *fork, struct lf_error *error)
{
	struct hosted *parent = job->hosted;
	struct lf_fork_options options;
	struct lf_snapshot *snapshot = NULL;
	int rc;

	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_KVM;
	/* For the guest that probes the parent's CPU. */
	options.launcher = &parent->launcher.lf;
	options.name = json_string_value(job_argument(job, "name"));
	options.pool = vm_pool(parent->process);
	rc = fork_options_read(job_argument(job, "options"), &options, error);
	if (rc == 0)
		rc = lf_domain_freeze(parent->domain, &snapshot, error);
	if (rc < 0)
		return rc;
	fork->launch_on_access = options.io_policy == LF_IO_LAUNCH;
	rc = lf_domain_fork(snapshot, &options, &fork->domain, error);
	lf_snapshot_unref(snapshot);
	return rc < 0 ? rc : job_go_on(job, fork->domain, error);
}

int
domain_fork_here(struct job *job, struct lf_error *error)
{
	json_int_t id = json_integer_value(job_argument(job, "id"));
	struct hosted *fork;
	int rc;

	if (lf_domain_state(job->hosted->domain) != LF_DOMAIN_FROZEN)
		return error_set(
		    error, EBADFD, "the parent is not frozen any more");
	fork = hosted_new(job->hosted->process, (unsigned)id);
	if (fork == NULL)
		return error_nomem(error);
	rc = fork_frozen(job, fork, error);
	if (rc < 0)
		hosted_free(fork);
	else
		job->made = fork;
	return rc;
}

/* --- its device model --- */

int
domain_prepare(struct job *job, struct lf_error *error)
{
	struct hosted *h = job->hosted;
	struct lf_domain_config *config = NULL;
	struct lf_dm_pool *pool = NULL;
	int rc;

	if (h->pool != NULL || lf_domain_backend(h->domain) != LF_BACKEND_KVM)
		return error_set(error, EBADFD,
		    "the fork has a device model, or one that waits");
	rc = job_config(job, &config, error);
	if (rc < 0)
		return rc;
	rc = lf_dm_pool_new(lf_domain_origin(h->domain), &h->launcher.lf,
	    config, 1, &pool, error);
	lf_domain_config_free(config);
	if (rc == 0)
		rc = lf_dm_pool_fill(pool, error);
	if (rc < 0) {
		lf_dm_pool_free(pool);
		return rc;
	}
	h->pool = pool;
	return 0;
}

/* Says whether the device model that waited was used; it is not any more. */
static void
end_pool(struct job *job)
{
	struct hosted *h = job->hosted;
	const char *miss;

	if (h->pool == NULL)
		return;
	miss = lf_dm_pool_miss(h->pool);
	job->result =
	    json_pack("{s:b, s:s*}", "waited", miss == NULL, "miss", miss);
	lf_dm_pool_free(take_ptr(h->pool));
}

int
domain_launch(struct job *job, struct lf_error *error)
{
	cleanup_close int devstate = job_fd(job, "devstate");
	struct lf_domain *domain = job->hosted->domain;
	struct lf_domain_config *config = NULL;
	struct lf_launch_options options = {
	    .launcher = &job->hosted->launcher.lf,
	    .devstate_fd = devstate,
	    .dm_pool = job->hosted->pool,
	};
	int rc;

	rc = job_config(job, &config, error);
	if (rc < 0)
		return rc;
	options.config = config;
	rc = lf_domain_launch(domain, &options, error);
	lf_domain_config_free(config);
	if (rc == 0)
		end_pool(job);
	return rc < 0 ? rc : job_go_on(job, domain, error);
}
