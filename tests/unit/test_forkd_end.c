/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ends. What a forkd that is told to end leaves to the next one: all that was
 * under way. It loses its connections itself, and takes none of that for an
 * end. And domains that somebody holds, which do not end.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "forkd/birth.h"
#include "forkd/change.h"
#include "forkd/command.h"
#include "forkd/life.h"
#include "forkd/rundir.h"
#include "unit/forkd_scene.h"

TestSuite(end, .timeout = 60);

static void
on_born(void *opaque, struct domain *domain, const struct lf_error *error)
{
	struct scene *s = opaque;

	(void)domain;
	s->done++;
	s->rc = error != NULL ? error->code : 0;
}

/* A record's member, as the next forkd reads it. */
static json_t *
recorded(const struct scene *s, unsigned id, const char *member)
{
	char path[256];
	struct lf_error error;
	json_t *value = NULL, *found;

	snprintf(path, sizeof(path), "%s/domains/%u/domain.json",
	    s->daemon.overlay_dir, id);
	cr_assert_eq(
	    rundir_read_json(path, &value, &error), 0, "%s", error.message);
	found = json_incref(json_object_get(value, member));
	json_decref(value);
	return found;
}

/* The daemon's part of its end; nobody is left of whom it asked something. */
static void
end_forkd(struct scene *s)
{
	registry_done(&s->daemon.registry);
	if (s->asked != NULL)
		peer_return(take_ptr(s->asked), json_object(), NULL, 0);
}

/* Its process has it, maybe, and answered: that is asked by the next one. */
Test(end, a_fork_that_is_being_made_stays_on_record)
{
	json_t *established;
	struct scene s;

	scene_open(&s);
	birth_fork_here(&s.daemon, s.domain, json_object(), false, on_born, &s);
	scene_hear(&s, "fork-here");
	end_forkd(&s);
	cr_assert_eq(s.done, 1);
	cr_assert_lt(s.rc, 0);
	established = recorded(&s, 2, "established");
	cr_assert(json_is_false(established));
	json_decref(established);
	scene_close(&s);
}

static void
start_sleeper(struct process *ret)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		for (;;)
			pause();
	}
	*ret = (struct process){.pid = pid, .pidfd = pidfd_open(pid, 0)};
	cr_assert_geq(ret->pidfd, 0);
}

/* The QEMU has the guest by now, maybe. */
Test(end, a_launch_under_way_goes_on)
{
	struct domain *fork;
	struct lf_error error;
	struct scene s;
	json_t *launch;
	pid_t qemu;

	scene_open(&s);
	cr_assert_eq(registry_add(&s.daemon.registry, scene_config("fork"), 1,
			 s.domain, &fork, &error),
	    0);
	fork->owner = &s.daemon;
	fork->established = true;
	change_launch(fork, NULL, -1, false, on_born, &s);
	scene_hear(&s, "launch");
	start_sleeper(&fork->qemu);
	qemu = fork->qemu.pid;
	end_forkd(&s);
	cr_assert_eq(s.done, 1);
	launch = recorded(&s, 2, "launch-config");
	cr_assert_not_null(launch);
	json_decref(launch);
	usleep(10000);
	cr_assert_eq(waitpid(qemu, NULL, WNOHANG), 0, "it was killed");
	kill(qemu, SIGKILL);
	waitpid(qemu, NULL, 0);
	scene_close(&s);
}

static unsigned callocs_left;

static void *
calloc_fails_once(size_t count, size_t size)
{
	return callocs_left-- == 0 ? NULL : calloc(count, size);
}

/* Its process could not be asked who holds the snapshot: maybe somebody. */
Test(end, a_domain_is_not_destroyed_unasked_for_want_of_memory)
{
	struct peer_request *request = calloc(1, sizeof(*request));
	struct client client;
	struct scene s;

	scene_open(&s);
	client = (struct client){.daemon = &s.daemon};
	s.domain->state = CONTROL_FROZEN;
	/* The second is that of the question. */
	callocs_left = 1;
	sys.calloc = calloc_fails_once;
	command_destroy(&client, s.domain, request);
	sys.calloc = calloc;
	cr_assert_eq(registry_find_id(&s.daemon.registry, 1), s.domain);
	cr_assert_not(s.domain->doomed);
	scene_close(&s);
}
