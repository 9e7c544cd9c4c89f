/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <criterion/criterion.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/life.h"
#include "lib/scratch.h"
#include "unit/forkd_scene.h"

static void
on_request(void *opaque, struct peer_request *request)
{
	struct scene *s = opaque;

	cr_assert_null(s->asked);
	s->asked = request;
}

static void
on_closed(void *opaque, const struct lf_error *why)
{
	(void)opaque;
	(void)why;
}

static const struct peer_ops process_ops = {
    .request = on_request,
    .closed = on_closed,
};

static void
nothing_stopped(struct domain *domain)
{
	(void)domain;
}

static const struct daemon_hooks hooks = {.stopped = nothing_stopped};

struct lf_domain_config *
scene_config(const char *name)
{
	struct lf_domain_config *config = lf_domain_config_new();
	struct lf_error error;

	cr_assert_eq(lf_domain_config_set(&config->name, name, &error), 0);
	cr_assert_eq(lf_domain_config_complete(config, &error), 0);
	return config;
}

void
scene_open(struct scene *s)
{
	struct lf_error error;
	int sv[2];

	scratch_make();
	*s = (struct scene){.daemon = {.base = event_base_new(),
				.hooks = &hooks,
				.overlay_dir = scratch}};
	cr_assert_eq(
	    registry_init(&s->daemon.registry, scratch, 0700, &error), 0);
	cr_assert_eq(registry_add(&s->daemon.registry, scene_config("one"), 0,
			 NULL, &s->domain, &error),
	    0);
	s->domain->owner = &s->daemon;
	s->domain->established = true;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(life_link(&s->daemon, s->domain, sv[0], &error), 0);
	cr_assert_eq(peer_new(s->daemon.base, sv[1], &process_ops, s,
			 &s->process, &error),
	    0);
}

void
scene_close(struct scene *s)
{
	registry_done(&s->daemon.registry);
	peer_free(s->process);
	event_base_free(s->daemon.base);
	scratch_remove();
}

void
scene_hear(struct scene *s, const char *command)
{
	while (s->asked == NULL)
		event_base_loop(s->daemon.base, EVLOOP_ONCE);
	cr_assert_str_eq(s->asked->name, command);
}

void
scene_answer(struct scene *s, unsigned done)
{
	peer_return(take_ptr(s->asked), json_object(), NULL, 0);
	while (s->done < done)
		event_base_loop(s->daemon.base, EVLOOP_ONCE);
}
