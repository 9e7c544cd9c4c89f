/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd's parts: what accelerator=auto means, clients, domains that end.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "forkd/client.h"
#include "forkd/host.h"
#include "forkd/life.h"
#include "forkd/rundir.h"
#include "lib/scratch.h"
#include "unit/forkd_scene.h"

/* --- what accelerator=auto means --- */

static const struct {
	enum lf_host_kvm qemu, ours;
	bool kvm;
	const char *reason;
} views[] = {
    {LF_HOST_KVM_HARDWARE, LF_HOST_KVM_HARDWARE, true, "the user's"},
    {LF_HOST_KVM_SOFTWARE, LF_HOST_KVM_SOFTWARE, false, "the user's"},
    {LF_HOST_KVM_ABSENT, LF_HOST_KVM_ABSENT, false, "the user's"},
    /* Permission would change nothing. */
    {LF_HOST_KVM_DENIED, LF_HOST_KVM_SOFTWARE, false, "ours"},
    {LF_HOST_KVM_DENIED, LF_HOST_KVM_BROKEN, false, "ours"},
    {LF_HOST_KVM_DENIED, LF_HOST_KVM_HARDWARE, false,
	"TCG, not KVM: QEMU runs as user 'nobody', who may not open /dev/kvm; "
	"'chgrp kvm /dev/kvm; chmod g+rw /dev/kvm' and start forkd again"},
};

Test(host, what_counts_is_what_the_user_of_qemu_may_do)
{
	struct host_view qemu = {.reason = "the user's"};
	struct host_view ours = {.reason = "ours"};
	char reason[240];
	size_t i;

	for (i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
		qemu.kvm = views[i].qemu;
		ours.kvm = views[i].ours;
		cr_expect_eq(
		    host_judge(&qemu, &ours, "nobody", reason, sizeof(reason)),
		    views[i].kvm, "row %zu", i);
		cr_expect_str_eq(reason, views[i].reason);
	}
	/* No other user than ours: nobody else to ask. */
	qemu.kvm = LF_HOST_KVM_DENIED;
	cr_expect_not(
	    host_judge(&qemu, NULL, "nobody", reason, sizeof(reason)));
	cr_expect_str_eq(reason, "the user's");
}

/* --- clients --- */

static unsigned accepts;

static int
accept_none(int sock, struct sockaddr *addr, socklen_t *len, int flags)
{
	(void)sock;
	(void)addr;
	(void)len;
	(void)flags;
	accepts++;
	errno = EMFILE;
	return -1;
}

Test(client, a_daemon_without_descriptors_rests_before_it_accepts_again)
{
	struct daemon daemon = {.base = event_base_new()};
	struct lf_error error;
	char path[64];
	int sock, caller;

	scratch_make();
	snprintf(path, sizeof(path), "%s/socket", scratch);
	cr_assert_eq(rundir_listen(path, 4, 0600, &sock, &error), 0);
	daemon.listener = event_new(
	    daemon.base, sock, EV_READ | EV_PERSIST, client_accept, &daemon);
	event_add(daemon.listener, NULL);
	caller = scene_connect(path);
	sys.accept4 = accept_none;
	event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert_eq(accepts, 1);
	cr_assert_not(event_pending(daemon.listener, EV_READ, NULL));
	/* The rest is over, and the client still waits. */
	event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert(event_pending(daemon.listener, EV_READ, NULL));
	event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert_eq(accepts, 2);
	event_free(daemon.listener);
	event_base_free(daemon.base);
	close(sock);
	close(caller);
	scratch_remove();
}

/* --- ends --- */

static void
say_all(int sock, const char *text)
{
	cr_assert_eq(write(sock, text, strlen(text)), (ssize_t)strlen(text));
}

/* Works until a client has been told `count` times that all went well. */
static void
hear_returns(struct daemon *daemon, int sock, unsigned count)
{
	char text[4096] = "";
	size_t len = 0;

	while (count > 0) {
		const char *at = text;
		unsigned returns = 0;
		ssize_t n;

		event_base_loop(daemon->base, EVLOOP_ONCE);
		n = recv(
		    sock, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
		text[len] = '\0';
		cr_assert_null(strstr(text, "error"), "%s", text);
		while ((at = strstr(at, "return")) != NULL) {
			returns++;
			at++;
		}
		if (returns == count)
			return;
	}
}

static void
on_any_request(void *opaque, struct peer_request *request)
{
	struct peer_request **held = opaque;

	*held = request;
}

static const struct peer_ops hosting_ops = {
    .request = on_any_request, .closed = scene_closed};

/*
 * A client waits for the end of a fork, and the next thing that it wants is the
 * end of the domain in whose process the fork lives; that process dies.
 */
Test(ends, a_host_may_be_destroyed_by_who_hears_of_the_end_of_its_fork)
{
	struct daemon daemon = {.base = event_base_new()};
	struct peer_request *held = NULL;
	struct domain *host, *fork;
	struct peer *process;
	struct lf_error error;
	int sock, client;
	char path[64];

	scratch_make();
	daemon.overlay_dir = scratch;
	cr_assert_eq(registry_init(&daemon.registry, scratch, 0700, &error), 0);
	host = scene_add(&daemon.registry, "host", 0);
	fork = scene_add(&daemon.registry, "fork", 1);
	host->established = fork->established = true;
	fork->host = host->id;
	fork->owner = &daemon;
	scene_start_stand_in(host);
	cr_assert_eq(life_watch(&daemon, host, &error), 0);
	process = scene_link(&daemon, host, &hosting_ops, &held);
	snprintf(path, sizeof(path), "%s/socket", scratch);
	cr_assert_eq(rundir_listen(path, 4, 0600, &sock, &error), 0);
	client = scene_connect(path);
	client_accept(sock, EV_READ, &daemon);
	say_all(client,
	    "{\"execute\":\"destroy\",\"arguments\":{\"domain\":\"fork\"}}"
	    "{\"execute\":\"destroy\",\"arguments\":{\"domain\":\"host\"}}");
	while (held == NULL)
		event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert_str_eq(held->name, "destroy");
	process_kill(&host->process);
	hear_returns(&daemon, client, 2);
	cr_assert_eq(daemon.registry.count, 0);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	peer_return(held, json_object(), NULL, 0);
	peer_free(process);
	while (daemon.clients != NULL)
		client_free(daemon.clients);
	registry_done(&daemon.registry);
	event_base_free(daemon.base);
	close(client);
	close(sock);
	scratch_remove();
}
