/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains of a domain process after a command: they go on, watched, and what
 * they stop by is told.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "domain/backend.h"
#include "domain/state.h"
#include "forkd/domain_process.h"
#include "forkd/hosted.h"
#include "forkd/job.h"
#include "forkd/role.h"

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

/* It ran, and stands at a device. */
static int
dispatch(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error)
{
	(void)error;
	domain_set_state(domain, LF_DOMAIN_PAUSED, "port write: 0x80, 1 byte");
	ret_exit->reason = LF_EXIT_IO;
	ret_exit->io.port = 0x80;
	ret_exit->io.size = ret_exit->io.count = 1;
	return 1;
}

static const struct domain_backend backend = {
    .id = LF_BACKEND_KVM,
    .name = "kvm",
    .unpause = unpause,
    .event_fd = event_fd,
    .dispatch = dispatch,
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

/* --- what is told --- */

struct listener {
	char states[64];   /* told, in order */
	unsigned launches; /* so often one wanted a device model */
};

static void
on_event(void *opaque, const char *name, json_t *data)
{
	struct listener *l = opaque;
	size_t used = strlen(l->states);

	cr_assert_str_eq(name, ROLE_EVENT_STATE);
	snprintf(l->states + used, sizeof(l->states) - used, "%s ",
	    json_string_value(json_object_get(data, "state")));
	l->launches +=
	    json_is_true(json_object_get(data, "wants-device-model"));
}

static void
on_closed(void *opaque, const struct lf_error *why)
{
	(void)opaque;
	(void)why;
}

static const struct peer_ops ops = {.event = on_event, .closed = on_closed};

/*
 * Let go, it makes the same access at once: before anybody has seen that it
 * ran. Whoever let it go waits to hear of it.
 */
Test(hosted, a_domain_that_stops_again_where_it_stood_is_told_of_again,
    .timeout = 60)
{
	struct domain_process p = {.base = event_base_new()};
	struct listener listener = {.launches = 0};
	struct peer *forkd = NULL;
	struct lf_domain domain = {
	    .backend = &backend, .state = LF_DOMAIN_PAUSED};
	struct hosted *h = hosted_new(&p, 2);
	struct lf_error error;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(
	    peer_new(p.base, sv[0], &ops, &listener, &p.peer, &error), 0);
	cr_assert_eq(
	    peer_new(p.base, sv[1], &ops, &listener, &forkd, &error), 0);
	h->domain = &domain;
	h->launch_on_access = true;
	hosted_look_at(h);
	while (listener.launches < 1)
		event_base_loop(p.base, EVLOOP_ONCE);
	cr_assert_str_eq(listener.states, "paused ");
	hosted_look_at(h);
	event_base_loop(p.base, EVLOOP_NONBLOCK);
	cr_assert_str_eq(listener.states, "paused running paused ");
	cr_assert_eq(listener.launches, 2);
	h->domain = NULL;
	hosted_free(h);
	peer_free(p.peer);
	peer_free(forkd);
	event_base_free(p.base);
}
