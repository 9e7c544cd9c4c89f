/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/life.h"
#include "forkd/spawn.h"
#include "lib/scratch.h"
#include "unit/forkd_scene.h"

struct lf_domain_config *
scene_config(const char *name)
{
	struct lf_domain_config *config = lf_domain_config_new();
	struct lf_error error;

	cr_assert_eq(lf_domain_config_set(&config->name, name, &error), 0);
	cr_assert_eq(lf_domain_config_complete(config, &error), 0);
	return config;
}

struct domain *
scene_add(struct registry *registry, const char *name, unsigned parent)
{
	struct domain *domain = NULL;
	struct lf_error error;

	cr_assert_eq(registry_add(registry, scene_config(name), parent, NULL,
			 &domain, &error),
	    0, "%s", error.message);
	return domain;
}

void
scene_no_report(const struct lf_error *error)
{
	cr_assert(false, "%s", error->message);
}

void
scene_start_stand_in(struct domain *domain)
{
	struct spawn_user same = {.change = false};
	char *argv[] = {"sleep", "1000", NULL};
	struct spawn_request request = {
	    .program = "sleep", .argv = argv, .log_fd = -1, .user = &same};
	struct lf_error error;
	int go;

	cr_assert_eq(spawn_begin(&request, &domain->process, &go, &error), 0);
	cr_assert_eq(spawn_go(go, &error), 0);
}

struct peer *
scene_link(struct daemon *daemon, struct domain *domain,
    const struct peer_ops *ops, void *opaque)
{
	struct peer *process;
	struct lf_error error;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(life_link(daemon, domain, sv[0], &error), 0);
	cr_assert_eq(
	    peer_new(daemon->base, sv[1], ops, opaque, &process, &error), 0);
	return process;
}

void
scene_closed(void *opaque, const struct lf_error *why)
{
	(void)opaque;
	(void)why;
}

int
scene_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	cr_assert_eq(connect(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return sock;
}

static void
on_request(void *opaque, struct peer_request *request)
{
	struct scene *s = opaque;

	cr_assert_null(s->asked);
	s->asked = request;
}

static const struct peer_ops process_ops = {
    .request = on_request,
    .closed = scene_closed,
};

static void
nothing_stopped(struct domain *domain)
{
	(void)domain;
}

static const struct daemon_hooks hooks = {.stopped = nothing_stopped};

void
scene_open(struct scene *s)
{
	struct lf_error error;

	scratch_make();
	*s = (struct scene){.daemon = {.base = event_base_new(),
				.hooks = &hooks,
				.overlay_dir = scratch}};
	cr_assert_eq(
	    registry_init(&s->daemon.registry, scratch, 0700, &error), 0);
	s->domain = scene_add(&s->daemon.registry, "one", 0);
	s->domain->owner = &s->daemon;
	s->domain->established = true;
	s->process = scene_link(&s->daemon, s->domain, &process_ops, s);
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
