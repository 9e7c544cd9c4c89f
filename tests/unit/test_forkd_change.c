/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Late launches as forkd sees them. The domain process is the other end of a
 * connection, played by the test.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/change.h"
#include "forkd/daemon.h"
#include "forkd/peer.h"
#include "forkd/registry.h"
#include "lib/scratch.h"

/* A forkd with a domain, whose process has been asked for something. */
struct scene {
	struct daemon daemon;
	struct domain *domain;
	struct peer *process;
	struct peer_request *asked;
	unsigned done;
	int rc; /* of the last change that came to its end */
};

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

static const struct peer_ops ops = {.request = on_request, .closed = on_closed};

static void
on_changed(void *opaque, struct domain *domain, const struct lf_error *error)
{
	struct scene *s = opaque;

	cr_assert_eq(domain, s->domain);
	s->done++;
	s->rc = error != NULL ? error->code : 0;
}

static struct lf_domain_config *
make_config(const char *name)
{
	struct lf_domain_config *config = lf_domain_config_new();
	struct lf_error error;

	cr_assert_eq(lf_domain_config_set(&config->name, name, &error), 0);
	cr_assert_eq(lf_domain_config_complete(config, &error), 0);
	return config;
}

/* A fork without device model that runs. */
static void
open_scene(struct scene *s)
{
	struct lf_error error;
	int sv[2];

	scratch_make();
	*s = (struct scene){
	    .daemon = {.base = event_base_new(), .overlay_dir = scratch}};
	cr_assert_eq(
	    registry_init(&s->daemon.registry, scratch, 0700, &error), 0);
	cr_assert_eq(registry_add(&s->daemon.registry, make_config("one"), 7,
			 NULL, &s->domain, &error),
	    0);
	s->domain->owner = &s->daemon;
	s->domain->established = true;
	s->domain->device_model = false;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(
	    peer_new(s->daemon.base, sv[0], &ops, s, &s->domain->link, &error),
	    0);
	cr_assert_eq(
	    peer_new(s->daemon.base, sv[1], &ops, s, &s->process, &error), 0);
}

static void
close_scene(struct scene *s)
{
	peer_free(s->process);
	registry_done(&s->daemon.registry);
	event_base_free(s->daemon.base);
	scratch_remove();
}

/* The process has heard the question. */
static void
hear(struct scene *s, const char *command)
{
	while (s->asked == NULL)
		event_base_loop(s->daemon.base, EVLOOP_ONCE);
	cr_assert_str_eq(s->asked->name, command);
}

static void
answer(struct scene *s, unsigned done)
{
	peer_return(take_ptr(s->asked), json_object(), NULL, 0);
	while (s->done < done)
		event_base_loop(s->daemon.base, EVLOOP_ONCE);
}

Test(change, a_fork_that_is_being_launched_needs_no_device_model_that_waits)
{
	struct scene s;

	open_scene(&s);
	change_launch(s.domain, NULL, -1, false, on_changed, &s);
	hear(&s, "launch");
	change_prepare(s.domain, on_changed, &s);
	cr_assert_eq(s.done, 1);
	cr_assert_eq(s.rc, 0);
	cr_assert_not_null(s.domain->launch_config);
	answer(&s, 2);
	cr_assert_eq(s.rc, 0);
	cr_assert(s.domain->device_model);
	cr_assert_str_eq(s.domain->config->name, "one");
	close_scene(&s);
}

Test(change, a_second_launch_is_refused_and_the_first_goes_on)
{
	struct scene s;

	open_scene(&s);
	change_launch(s.domain, NULL, -1, false, on_changed, &s);
	hear(&s, "launch");
	change_launch(s.domain, make_config("two"), -1, false, on_changed, &s);
	cr_assert_eq(s.rc, -EBUSY);
	answer(&s, 2);
	cr_assert_eq(s.rc, 0);
	cr_assert_str_eq(s.domain->config->name, "one");
	change_launch(s.domain, NULL, -1, false, on_changed, &s);
	cr_assert_eq(s.rc, -EBADFD);
	close_scene(&s);
}

Test(change, the_name_that_a_launch_gives_is_taken_from_its_begin_on)
{
	struct lf_error error;
	struct scene s;

	open_scene(&s);
	change_launch(s.domain, make_config("two"), -1, false, on_changed, &s);
	cr_assert_eq(
	    registry_check_name(&s.daemon.registry, "two", &error), -EEXIST);
	cr_assert_eq(
	    registry_check_name(&s.daemon.registry, "one", &error), -EEXIST);
	/* It would be lost. */
	cr_assert_eq(registry_rename(s.domain, "three", &error), -EBUSY);
	hear(&s, "launch");
	answer(&s, 1);
	cr_assert_str_eq(s.domain->config->name, "two");
	cr_assert_eq(registry_check_name(&s.daemon.registry, "one", &error), 0);
	cr_assert_eq(registry_rename(s.domain, "three", &error), 1);
	cr_assert_eq(registry_rename(s.domain, "three", &error), 0);
	close_scene(&s);
}

Test(change, an_overlay_of_a_reset_that_nobody_heard_of_is_the_users)
{
	json_t *described = json_pack("{s:s}", "backend", "qemu");
	struct lf_error error;
	char named[64], ours[64];
	struct scene s;

	open_scene(&s);
	s.domain->device_model = true;
	snprintf(named, sizeof(named), "/somewhere%s/fork.qcow2", scratch);
	snprintf(ours, sizeof(ours), "%s/1-disk.qcow2", scratch);
	cr_assert_eq(file_list_add(&s.domain->overlays, named, &error), 0);
	cr_assert_eq(file_list_add(&s.domain->overlays, ours, &error), 0);
	change_adopt(s.domain, described);
	cr_assert(file_list_has(&s.domain->named, named));
	cr_assert_not(file_list_has(&s.domain->overlays, named));
	cr_assert(file_list_has(&s.domain->overlays, ours));
	json_decref(described);
	close_scene(&s);
}

Test(change, a_launch_of_an_earlier_forkd_is_waited_for_and_leaves_no_overlay)
{
	json_t *described = json_pack("{s:s}", "backend", "kvm");
	struct lf_error error;
	char path[64];
	struct scene s;

	open_scene(&s);
	s.domain->launch_config = make_config("late");
	snprintf(path, sizeof(path), "%s/late.qcow2", scratch);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	cr_assert_eq(file_list_add(&s.domain->overlays, path, &error), 0);
	change_adopt_begin(s.domain);
	change_launch(s.domain, NULL, -1, false, on_changed, &s);
	cr_assert_eq(s.rc, -EBUSY);
	change_adopt(s.domain, described);
	cr_assert_not(s.domain->launching);
	cr_assert_null(s.domain->launch_config);
	cr_assert_eq(s.domain->overlays.count, 0);
	cr_assert_neq(access(path, F_OK), 0);
	json_decref(described);
	close_scene(&s);
}
