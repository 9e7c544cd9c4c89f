/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all that change a domain end with: it goes on, watched.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "domain/backend.h"
#include "forkd/job.h"

static int watched_fd;
static unsigned unpauses;

static int
event_fd(const struct lf_domain *domain)
{
	(void)domain;
	return watched_fd;
}

static int
unpause(struct lf_domain *domain, struct lf_error *error)
{
	(void)domain;
	(void)error;
	unpauses++;
	return 0;
}

static const struct domain_backend backend = {
    .id = LF_BACKEND_KVM,
    .name = "kvm",
    .unpause = unpause,
    .event_fd = event_fd,
};

static int
go_on(struct lf_error *error)
{
	struct peer_request request = {.name = "reset"};
	struct job job = {.request = &request};
	struct lf_domain domain = {
	    .backend = &backend, .state = LF_DOMAIN_PAUSED};

	return job_go_on(&job, &domain, error);
}

Test(job, a_domain_goes_on)
{
	struct lf_error error;

	watched_fd = 0;
	cr_assert_eq(go_on(&error), 0);
	cr_assert_eq(unpauses, 1);
}

/* Nobody would hear that it stopped. */
Test(job, a_domain_that_cannot_be_watched_does_not_go_on)
{
	struct lf_error error;

	watched_fd = -1;
	cr_assert_eq(go_on(&error), -EMFILE);
	cr_assert_not_null(
	    strstr(error.message, "cannot be watched"), "%s", error.message);
	cr_assert_eq(unpauses, 0);
}
