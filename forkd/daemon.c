/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all parts of the daemon do: write to the log, tell subscribers, see that
 * nobody is left.
 */
#include "forkd/daemon.h"

#include <stdarg.h>
#include <stdio.h>

#include "forkd/peer.h"

/* An idle daemon waits a little: commands often come in a row. */
#define IDLE_MS 200

void
daemon_log(const char *format, ...)
{
	char line[1200];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "forkd: %s\n", line);
}

void
daemon_log_error(const struct lf_error *error)
{
	daemon_log("%s", error->message);
}

void
daemon_save(const struct domain *domain)
{
	struct lf_error error;

	if (registry_save(domain, &error) < 0)
		daemon_log_error(&error);
}

void
daemon_event(struct daemon *daemon, const char *name,
    const struct domain *domain, json_t *take_extra)
{
	struct client *client;
	json_t *data, *event;

	data = json_pack("{s:I, s:s}", "id", (json_int_t)domain->id, "name",
	    domain->config->name);
	if (take_extra != NULL)
		json_object_update(data, take_extra);
	json_decref(take_extra);
	event = control_make_event(name, data);
	for (client = daemon->clients; client != NULL; client = client->next)
		if (client->subscribed)
			peer_send(client->peer, event);
	json_decref(event);
}

void
daemon_on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)fd;
	(void)what;
	if (daemon->registry.count == 0 && daemon->client_count == 0)
		event_base_loopbreak(daemon->base);
}

void
daemon_check_idle(struct daemon *daemon)
{
	struct timeval soon = {0, IDLE_MS * 1000};

	if (daemon->options.auto_exit && daemon->idle != NULL &&
	    daemon->registry.count == 0 && daemon->client_count == 0)
		event_add(daemon->idle, &soon);
}
