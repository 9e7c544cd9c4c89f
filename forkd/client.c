/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clients of the daemon.
 */
#include "forkd/client.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/command.h"
#include "forkd/daemon.h"
#include "forkd/peer.h"

/* Without the means to accept a client, so long none is accepted. */
#define REST_SECONDS 1

void
client_free(struct client *client)
{
	struct daemon *daemon = client->daemon;
	struct client **at = &daemon->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	daemon->client_count -= client->served;
	peer_free(client->peer);
	free(client);
}

static void
on_request(void *opaque, struct peer_request *request)
{
	command_run(opaque, request);
}

static void
on_closed(void *opaque, const struct lf_error *why)
{
	struct client *client = opaque;
	struct daemon *daemon = client->daemon;

	if (why->code != -EPIPE)
		daemon_log("client dropped: %s", why->message);
	client_free(client);
	daemon_check_idle(daemon);
}

static const struct peer_ops client_ops = {
    .request = on_request,
    .closed = on_closed,
    .serial = true,
};

/* Whether the other end is one that we obey. */
static int
check_user(int sock, struct lf_error *error)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (sys.getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return error_sys(
		    error, errno, "cannot find out who a client is");
	if (peer.uid != geteuid() && peer.uid != 0)
		return error_set(error, EACCES,
		    "this forkd serves user %u and root only, not user %u",
		    geteuid(), peer.uid);
	return 0;
}

static void
begin(struct daemon *daemon, int take_sock)
{
	struct client *client = sys.calloc(1, sizeof(*client));
	struct lf_error error, refusal;
	json_t *greeting;
	int rc;

	if (client == NULL) {
		close_fd(take_sock);
		return;
	}
	client->daemon = daemon;
	rc = check_user(take_sock, &refusal);
	if (rc == 0 && daemon->client_count >= DAEMON_CLIENTS_MAX)
		rc = error_set(&refusal, EBUSY,
		    "forkd has %u clients already, more are not served",
		    daemon->client_count);
	if (peer_new(daemon->base, take_sock, &client_ops, client,
		&client->peer, &error) < 0) {
		daemon_log_error(&error);
		free(client);
		return;
	}
	client->next = daemon->clients;
	daemon->clients = client;
	client->served = rc == 0;
	daemon->client_count += client->served;
	greeting = rc < 0 ? control_make_error(&refusal, NULL)
			  : control_make_greeting();
	peer_send(client->peer, greeting);
	json_decref(greeting);
	if (rc < 0) {
		daemon_log_error(&refusal);
		peer_finish(client->peer, &refusal);
	}
}

static void
listen_again(evutil_socket_t fd, short what, void *opaque)
{
	struct daemon *daemon = opaque;

	(void)fd;
	(void)what;
	event_add(daemon->listener, NULL);
}

/*
 * Out of descriptors or memory: whoever waits to be accepted goes on waiting.
 * Trying again at once would be all that this process does.
 */
static void
rest(struct daemon *daemon)
{
	struct timeval limit = {REST_SECONDS, 0};

	daemon_log(
	    "cannot accept a client: %m; trying again in %d s", REST_SECONDS);
	if (event_base_once(daemon->base, -1, EV_TIMEOUT, listen_again, daemon,
		&limit) == 0)
		event_del(daemon->listener);
}

void
client_accept(int listen_fd, short what, void *opaque)
{
	struct daemon *daemon = opaque;
	int sock;

	(void)what;
	sock = sys.accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (sock >= 0)
		begin(daemon, sock);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		rest(daemon);
}
