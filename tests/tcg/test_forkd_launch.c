/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SIGKILL for forkd while a fork without device model is being given one: the
 * next forkd has a fork that is the one or the other, and what is there belongs
 * to it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/count.h"
#include "lib/forkd_account.h"
#include "lib/forkd_test.h"
#include "lib/guest_vm.h"

TestSuite(
    forkd_launch, .init = forkd_setup, .fini = forkd_teardown, .timeout = 1200);

/* The steps of a launch take this long, here. */
#define STEPS_US 240000

/* QEMU's user may not be allowed to use KVM here; root is. */
static void
start(void)
{
	static const char *const as_root[] = {"--qemu-user", "root", NULL};

	forkd_start(geteuid() == 0 ? as_root : NULL);
}

static unsigned
fork_without_device_model(unsigned parent)
{
	json_t *arguments = forkd_domain(parent), *result;
	unsigned id;

	json_object_set_new(arguments, "device-model", json_false());
	result = forkd_call("fork-vm", arguments);
	id = (unsigned)json_integer_value(json_object_get(
	    json_array_get(json_object_get(result, "forks"), 0), "id"));
	json_decref(result);
	return id;
}

/*
 * As it is asked for: with a name, of which the paths of the overlay and of the
 * guest's console are made.
 */
static json_t *
launch_arguments(unsigned fork, const char *name)
{
	struct lf_domain_config *config = guest_busy(name);
	json_t *arguments = forkd_domain(fork);
	struct lf_disk *disk;

	lf_domain_config_add_disk(config, &disk, NULL);
	disk->path = guest_path("%s.qcow2", name);
	disk->format = LF_DISK_QCOW2;
	json_object_set_new(arguments, "config", forkd_config_value(config));
	lf_domain_config_free(config);
	return arguments;
}

/* Whether there is the overlay of a launch with that name. */
static bool
has_overlay(const char *name)
{
	char *path = guest_path("%s.qcow2", name);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

/* Launches it again, as soon as the first launch is known to be over. */
static int
launch_again(unsigned fork, const char *name)
{
	struct control_client *client = forkd_connect();
	struct lf_error error;
	int rc, tries;

	for (tries = 0, rc = -EBUSY; rc == -EBUSY && tries < 3000; tries++) {
		usleep(tries > 0 ? 20000 : 0);
		rc = control_client_call(client, "launch-dm",
		    name != NULL ? launch_arguments(fork, name)
				 : forkd_domain(fork),
		    NULL, NULL, 300000, NULL, &error);
	}
	cr_assert(rc == 0 || rc == -EBADFD, "%s", error.message);
	control_client_free(client);
	return rc;
}

/*
 * Whatever became of the launch, the fork has a device model now, the one or
 * the other, with its overlay, and its guest gets on.
 */
static void
check_fork(unsigned fork)
{
	const char *name =
	    launch_again(fork, "second") == 0 ? "second" : "first";
	char *serial = guest_path("%s.serial", name);

	cr_assert_str_eq(forkd_text(fork, "backend"), "qemu");
	cr_assert_str_eq(forkd_text(fork, "name"), name);
	cr_assert(has_overlay(name));
	cr_assert_neq(has_overlay("first"), has_overlay("second"));
	forkd_wait_state(fork, "running");
	free(guest_wait_text(serial, "tick"));
	forkd_destroy_all();
	/* An overlay at a place that the user named is the user's. */
	cr_assert(has_overlay(name));
	guest_shell("rm -f %s/*.qcow2 %s/*.serial", guest_dir(), guest_dir());
	free(serial);
}

static void
kill_during_launch(unsigned long us)
{
	struct lf_domain_config *config = guest_busy("parent");
	unsigned parent, fork;
	pid_t aside;

	start();
	guest_add_disk(config, "parent.disk");
	parent = forkd_create(config);
	fork = fork_without_device_model(parent);
	aside = forkd_call_aside("launch-dm", launch_arguments(fork, "first"));
	usleep((useconds_t)us);
	forkd_kill();
	waitpid(aside, NULL, 0);
	start();
	check_fork(fork);
	forkd_kill();
}

Test(forkd_launch, forkd_at_any_step_of_a_late_launch)
{
	unsigned long us, step = STEPS_US / test_count(6, 160);

	for (us = 0; us < STEPS_US; us += step)
		kill_during_launch(us);
}

/*
 * Launches are done one after the other: most of these are begun only when the
 * next forkd is there.
 */
Test(forkd_launch, forkd_while_launches_wait_for_each_other)
{
	unsigned parent, forks[4], i;
	pid_t aside[4];

	start();
	parent = forkd_create(guest_busy("parent"));
	for (i = 0; i < 4; i++)
		forks[i] = fork_without_device_model(parent);
	for (i = 0; i < 4; i++)
		aside[i] =
		    forkd_call_aside("launch-dm", forkd_domain(forks[i]));
	usleep(STEPS_US / 4);
	forkd_kill();
	for (i = 0; i < 4; i++)
		waitpid(aside[i], NULL, 0);
	start();
	for (i = 0; i < 4; i++) {
		launch_again(forks[i], NULL);
		cr_assert_str_eq(forkd_text(forks[i], "backend"), "qemu");
		forkd_wait_state(forks[i], "running");
	}
	forkd_check_accounts();
	forkd_destroy_all();
}
