/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command list, over a client's connection.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/client.h"
#include "forkd/client.h"
#include "forkd/rundir.h"
#include "lib/scratch.h"
#include "unit/forkd_scene.h"

TestSuite(list, .timeout = 120);

/* More than this nobody forks at once, and of each a long name. */
#define DOMAINS 1200

static void
add_domains(struct scene *s)
{
	char name[LF_NAME_MAX + 1];
	struct lf_error error;
	unsigned i;

	for (i = 1; i < DOMAINS; i++) {
		struct domain *domain;

		snprintf(name, sizeof(name), "%0*u.fork", LF_NAME_MAX - 5, i);
		cr_assert_eq(registry_add(&s->daemon.registry,
				 scene_config(name), 1, NULL, &domain, &error),
		    0, "%s", error.message);
	}
}

/* In a process of its own: how many domains a client is told of. */
static void __attribute__((noreturn)) count_listed(const char *path)
{
	struct control_client *client = NULL;
	json_t *result = NULL;
	struct lf_error error;
	size_t count;

	if (control_client_connect(path, 300000, &client, &error) < 0 ||
	    control_client_call(client, "list", json_object(), NULL, NULL,
		300000, &result, &error) < 0) {
		fprintf(stderr, "%s\n", error.message);
		_exit(1);
	}
	count = json_array_size(json_object_get(result, "domains"));
	json_decref(result);
	control_client_free(client);
	_exit(count != DOMAINS);
}

Test(list, has_all_domains_however_many_there_are)
{
	struct lf_error error;
	struct scene s;
	char path[64];
	int sock, status;
	pid_t pid, ended = 0;

	scene_open(&s);
	add_domains(&s);
	snprintf(path, sizeof(path), "%s/socket", scratch);
	cr_assert_eq(rundir_listen(path, 4, 0600, &sock, &error), 0);
	s.daemon.listener = event_new(s.daemon.base, sock, EV_READ | EV_PERSIST,
	    client_accept, &s.daemon);
	event_add(s.daemon.listener, NULL);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0)
		count_listed(path);
	while (ended == 0) {
		event_base_loop(s.daemon.base, EVLOOP_NONBLOCK);
		ended = waitpid(pid, &status, WNOHANG);
		usleep(1000);
	}
	cr_expect_eq(status, 0);
	while (s.daemon.clients != NULL)
		client_free(s.daemon.clients);
	event_free(s.daemon.listener);
	close(sock);
	scene_close(&s);
}
