/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A job's arguments, and what all that change a domain end with.
 */
#include "forkd/job.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/config_json.h"

json_t *
job_argument(const struct job *job, const char *name)
{
	return peer_request_argument(job->request, name);
}

int
job_fd(struct job *job, const char *name)
{
	return peer_request_fd(job->request, name);
}

int
job_config(const struct job *job, struct lf_domain_config **ret_config,
    struct lf_error *error)
{
	return config_json_read(job_argument(job, "config"), ret_config, error);
}

/* What a domain on QEMU knows of itself, for those who ask. */
static int
collect_facts(
    struct lf_domain *domain, json_t **ret_facts, struct lf_error *error)
{
	cleanup_free char *text = NULL;
	int rc;

	if (lf_domain_backend(domain) != LF_BACKEND_QEMU)
		return 0;
	rc = lf_domain_describe(domain, &text, error);
	if (rc == 0)
		*ret_facts = json_loads(text, 0, NULL);
	return rc;
}

int
job_go_on(struct job *job, struct lf_domain *domain, struct lf_error *error)
{
	int rc = collect_facts(domain, &job->facts, error);

	/* Made now: what happens from here on is not missed. */
	if (rc == 0 && lf_domain_event_fd(domain) < 0)
		rc = error_set(error, EMFILE,
		    "it cannot be watched: its domain process has too many "
		    "descriptors open (raise its limit, RLIMIT_NOFILE)");
	if (rc == 0 && !json_is_true(job_argument(job, "paused")))
		rc = lf_domain_unpause(domain, error);
	return rc;
}
