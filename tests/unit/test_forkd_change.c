/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Late launches as forkd sees them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/change.h"
#include "lib/scratch.h"
#include "unit/forkd_scene.h"

static void
on_changed(void *opaque, struct domain *domain, const struct lf_error *error)
{
	struct scene *s = opaque;

	cr_assert_eq(domain, s->domain);
	s->done++;
	s->rc = error != NULL ? error->code : 0;
}

/* A fork without device model that runs. */
static void
open_scene(struct scene *s)
{
	scene_open(s);
	s->domain->parent = 7;
	s->domain->device_model = false;
}

Test(change, a_fork_that_is_being_launched_needs_no_device_model_that_waits)
{
	struct scene s;

	open_scene(&s);
	change_launch(s.domain, NULL, -1, false, on_changed, &s);
	scene_hear(&s, "launch");
	change_prepare(s.domain, on_changed, &s);
	cr_assert_eq(s.done, 1);
	cr_assert_eq(s.rc, 0);
	cr_assert_not_null(s.domain->launch_config);
	scene_answer(&s, 2);
	cr_assert_eq(s.rc, 0);
	cr_assert(s.domain->device_model);
	cr_assert_str_eq(s.domain->config->name, "one");
	scene_close(&s);
}

Test(change, a_second_launch_is_refused_and_the_first_goes_on)
{
	struct scene s;

	open_scene(&s);
	change_launch(s.domain, NULL, -1, false, on_changed, &s);
	scene_hear(&s, "launch");
	change_launch(s.domain, scene_config("two"), -1, false, on_changed, &s);
	cr_assert_eq(s.rc, -EBUSY);
	scene_answer(&s, 2);
	cr_assert_eq(s.rc, 0);
	cr_assert_str_eq(s.domain->config->name, "one");
	change_launch(s.domain, NULL, -1, false, on_changed, &s);
	cr_assert_eq(s.rc, -EBADFD);
	scene_close(&s);
}

Test(change, the_name_that_a_launch_gives_is_taken_from_its_begin_on)
{
	struct lf_error error;
	struct scene s;

	open_scene(&s);
	change_launch(s.domain, scene_config("two"), -1, false, on_changed, &s);
	cr_assert_eq(
	    registry_check_name(&s.daemon.registry, "two", &error), -EEXIST);
	cr_assert_eq(
	    registry_check_name(&s.daemon.registry, "one", &error), -EEXIST);
	/* It would be lost. */
	cr_assert_eq(registry_rename(s.domain, "three", &error), -EBUSY);
	scene_hear(&s, "launch");
	scene_answer(&s, 1);
	cr_assert_str_eq(s.domain->config->name, "two");
	cr_assert_eq(registry_check_name(&s.daemon.registry, "one", &error), 0);
	cr_assert_eq(registry_rename(s.domain, "three", &error), 1);
	cr_assert_eq(registry_rename(s.domain, "three", &error), 0);
	scene_close(&s);
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
	scene_close(&s);
}

Test(change, a_launch_of_an_earlier_forkd_is_waited_for_and_leaves_no_overlay)
{
	json_t *described = json_pack("{s:s}", "backend", "kvm");
	struct lf_error error;
	char path[64];
	struct scene s;

	open_scene(&s);
	s.domain->launch_config = scene_config("late");
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
	scene_close(&s);
}
