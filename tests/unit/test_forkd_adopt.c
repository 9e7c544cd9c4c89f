/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains of an earlier forkd are adopted whole, whatever fails, and forks that
 * were ready before that was on record are told from those that were not.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "forkd/adopt.h"
#include "forkd/life.h"
#include "forkd/rundir.h"
#include "lib/fault.h"
#include "lib/scratch.h"
#include "unit/forkd_scene.h"

/*
 * A forkd that runs out of something while it takes its domains over must not
 * end one, forget one or believe it dead: the next one tries again.
 */
Test(faults, domains_are_adopted_whole_or_left_to_the_next_forkd)
{
	char path[160];
	struct registry registry;
	struct lf_error error;
	struct domain *domain;
	struct stat st;
	pid_t stand_in;
	int sock;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	domain = scene_add(&registry, "one", 0);
	scene_start_stand_in(domain);
	stand_in = domain->process.pid;
	domain->established = true;
	domain->state = CONTROL_RUNNING;
	domain->reason[0] = '\0';
	cr_assert_eq(registry_save(domain, &error), 0);
	snprintf(path, sizeof(path), "%s/socket", domain->dir);
	cr_assert_eq(rundir_listen(path, 64, 0600, &sock, &error), 0);
	registry_done(&registry);
	FAULT_LOOP(fault)
	{
		struct daemon daemon = {.base = event_base_new()};
		int rc, accepted;

		rc = registry_init(&daemon.registry, scratch, 0700, &error);
		if (rc == 0)
			rc = registry_load(
			    &daemon.registry, scene_no_report, &error);
		if (rc == 0)
			rc = adopt_domain(
			    &daemon, daemon.registry.first, &error);
		fault_end(&fault);
		domain = daemon.registry.first;
		if (fault.hit && strcmp(fault.name, "connect") == 0) {
			/* Refused: it is about to end, and is ended. */
			cr_assert_eq(waitpid(stand_in, NULL, 0), stand_in);
			process_done(&domain->process);
			scene_start_stand_in(domain);
			stand_in = domain->process.pid;
			cr_assert_eq(registry_save(domain, &error), 0);
			rc = -ECONNREFUSED;
		}
		cr_assert_eq(waitpid(stand_in, NULL, WNOHANG), 0,
		    "%s failed: the domain was ended", fault.name);
		cr_assert_eq(stat(path, &st), 0,
		    "%s failed: the domain was removed", fault.name);
		if (!fault.hit)
			cr_assert_eq(rc, 0, "%s", error.message);
		if (rc == 0) {
			cr_assert_eq(daemon.registry.count, 1);
			cr_assert_eq(domain->process.pid, stand_in);
			cr_assert_eq(domain->state, CONTROL_RUNNING);
			cr_assert_not_null(domain->link);
		}
		registry_done(&daemon.registry);
		event_base_free(daemon.base);
		while ((accepted = accept(sock, NULL, NULL)) >= 0)
			close(accepted);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors,
		    "%s failed", fault.name);
	}
	/* Each of them ended with its question open, and ended nothing else. */
	usleep(50000);
	cr_assert_eq(waitpid(stand_in, NULL, WNOHANG), 0);
	kill(stand_in, SIGKILL);
	waitpid(stand_in, NULL, 0);
	close(sock);
	scratch_remove();
}

/* --- forks that were ready before that was on record --- */

static void
describe(void *opaque, struct peer_request *request)
{
	bool knows = *(const bool *)opaque;
	struct lf_error error;

	if (strcmp(request->name, "describe") != 0)
		peer_return(request, json_object(), NULL, 0);
	else if (knows)
		peer_return(request,
		    json_pack("{s:s, s:s, s:b, s:s}", "state", "running",
			"reason", "", "ended", 0, "backend", "kvm"),
		    NULL, 0);
	else {
		error_set(&error, ENOENT, "unknown");
		peer_fail(request, &error);
	}
}

static const struct peer_ops describing_ops = {
    .request = describe, .closed = scene_closed};

/* One that its host's process knows or not; true when it is there then. */
static bool
adopt_unready(bool knows)
{
	struct daemon daemon = {.base = event_base_new()};
	struct domain *host, *fork;
	struct peer *process;
	struct lf_error error;
	unsigned rounds;
	bool there;

	scratch_make();
	daemon.overlay_dir = scratch;
	cr_assert_eq(registry_init(&daemon.registry, scratch, 0700, &error), 0);
	host = scene_add(&daemon.registry, "host", 0);
	host->established = true;
	cr_assert_eq(registry_add(&daemon.registry, scene_config("fork"), 1,
			 host, &fork, &error),
	    0);
	cr_assert_not(fork->device_model);
	scene_start_stand_in(host);
	cr_assert_eq(life_watch(&daemon, host, &error), 0);
	process = scene_link(&daemon, host, &describing_ops, &knows);
	cr_assert_eq(adopt_domain(&daemon, fork, &error), 0);
	for (rounds = 0; rounds < 1000; rounds++) {
		fork = registry_find_id(&daemon.registry, 2);
		if (fork == NULL || fork->established)
			break;
		event_base_loop(daemon.base, EVLOOP_ONCE);
	}
	cr_assert_lt(rounds, 1000);
	there = fork != NULL;
	if (there) {
		cr_assert_eq(fork->state, CONTROL_RUNNING);
		cr_assert_str_eq(fork->reason, "");
	}
	process_kill(&host->process);
	peer_free(process);
	registry_done(&daemon.registry);
	event_base_free(daemon.base);
	scratch_remove();
	return there;
}

Test(adoption, a_fork_that_its_process_knows_was_ready)
{
	cr_assert(adopt_unready(true));
}

Test(adoption, a_fork_that_its_process_does_not_know_was_not_ready)
{
	cr_assert_not(adopt_unready(false));
}
