/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Births as forkd sees them: what a fork does before its maker says that it is
 * there is told afterwards, and nothing of it is lost.
 */
#include <criterion/criterion.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "control/messages.h"
#include "forkd/birth.h"
#include "forkd/role.h"
#include "unit/forkd_scene.h"

/* What is lost is waited for in vain. */
TestSuite(birth, .timeout = 60);

/* A client that has subscribed, and what it was told. */
struct listener {
	struct client client;
	struct peer *end;
	char told[8][32];
	json_t *last;
	unsigned count;
};

static void
on_event(void *opaque, const char *name, json_t *data)
{
	struct listener *l = opaque;

	cr_assert_lt(l->count, 8);
	snprintf(l->told[l->count++], sizeof(l->told[0]), "%s", name);
	json_decref(l->last);
	l->last = json_incref(data);
}

static const struct peer_ops listener_ops = {
    .event = on_event,
    .closed = scene_closed,
};

static void
listen_to(struct listener *l, struct scene *s)
{
	struct lf_error error;
	int sv[2];

	*l = (struct listener){.client = {.subscribed = true}};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(peer_new(s->daemon.base, sv[0], &listener_ops, l,
			 &l->client.peer, &error),
	    0);
	cr_assert_eq(
	    peer_new(s->daemon.base, sv[1], &listener_ops, l, &l->end, &error),
	    0);
	s->daemon.clients = &l->client;
}

static void
listen_no_more(struct listener *l, struct scene *s)
{
	s->daemon.clients = NULL;
	json_decref(l->last);
	peer_free(l->client.peer);
	peer_free(l->end);
}

static void
await(struct listener *l, struct scene *s, unsigned count)
{
	while (l->count < count)
		event_base_loop(s->daemon.base, EVLOOP_ONCE);
	/* And no more. */
	event_base_loop(s->daemon.base, EVLOOP_NONBLOCK);
	cr_assert_eq(l->count, count);
}

/* The process tells of the fork that is being made. */
static void
tell(struct scene *s, const char *name, json_t *take_data)
{
	json_t *event;

	json_object_set_new(take_data, "domain", json_integer(2));
	event = control_make_event(name, take_data);
	peer_send(s->process, event);
	json_decref(event);
}

static void
on_born(void *opaque, struct domain *domain, const struct lf_error *error)
{
	struct scene *s = opaque;

	(void)domain;
	s->done++;
	s->rc = error != NULL ? error->code : 0;
}

/* A fork is being made: its process has been asked for it. */
static void
begin(struct scene *s, struct listener *l)
{
	scene_open(s);
	listen_to(l, s);
	birth_fork_here(
	    &s->daemon, s->domain, json_object(), false, on_born, s);
	scene_hear(s, "fork-here");
}

static void
end(struct scene *s, struct listener *l)
{
	listen_no_more(l, s);
	scene_close(s);
}

Test(birth, what_a_fork_stopped_by_before_it_was_there_is_told_with_it)
{
	struct listener listener;
	struct scene s;

	begin(&s, &listener);
	tell(&s, ROLE_EVENT_STATE,
	    json_pack("{s:s, s:s}", "state", "running", "reason", ""));
	tell(&s, ROLE_EVENT_STATE,
	    json_pack("{s:s, s:s, s:[]}", "state", "crashed", "reason",
		"device access", "registers"));
	scene_answer(&s, 1);
	cr_assert_eq(s.rc, 0);
	await(&listener, &s, 2);
	cr_expect_str_eq(listener.told[0], "DOMAIN_CREATED");
	cr_expect_str_eq(listener.told[1], "DOMAIN_STATE");
	cr_expect_str_eq(
	    json_string_value(json_object_get(listener.last, "state")),
	    "crashed");
	cr_expect_str_eq(
	    json_string_value(json_object_get(listener.last, "reason")),
	    "device access");
	cr_expect_not_null(json_object_get(listener.last, "registers"));
	end(&s, &listener);
}

Test(birth, that_a_fork_runs_is_told_once)
{
	struct listener listener;
	struct scene s;

	begin(&s, &listener);
	tell(&s, ROLE_EVENT_STATE,
	    json_pack("{s:s, s:s}", "state", "running", "reason", ""));
	scene_answer(&s, 1);
	await(&listener, &s, 1);
	cr_expect_str_eq(listener.told[0], "DOMAIN_CREATED");
	end(&s, &listener);
}

Test(birth, a_guest_that_was_off_before_its_domain_was_there_is_gone)
{
	struct listener listener;
	struct scene s;

	begin(&s, &listener);
	tell(&s, ROLE_EVENT_ENDED, json_object());
	scene_answer(&s, 1);
	cr_assert_eq(s.rc, 0);
	scene_hear(&s, "destroy");
	scene_answer(&s, 1);
	await(&listener, &s, 2);
	cr_expect_str_eq(listener.told[1], "DOMAIN_DESTROYED");
	cr_expect_str_eq(
	    json_string_value(json_object_get(listener.last, "reason")),
	    "poweroff");
	cr_expect_null(registry_find_id(&s.daemon.registry, 2));
	end(&s, &listener);
}
