/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a domain as forkd sees it.
 */
#include "forkd/life.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/peer.h"
#include "forkd/retire.h"
#include "forkd/rundir.h"

static void check_ended(struct domain *domain);

/* What an event of a domain process says beside state and reason. */
static void
add_details(json_t *extra, const json_t *data)
{
	static const char *const members[] = {"access", "registers"};
	size_t i;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (json_object_get(data, members[i]) != NULL)
			json_object_set(extra, members[i],
			    json_object_get(data, members[i]));
}

void
life_report(struct domain *domain, enum control_state state, const char *reason,
    const json_t *data)
{
	struct lf_error error;
	json_t *extra;
	int rc;

	rc = registry_report(domain, state, reason, &error);
	if (rc < 0)
		daemon_log_error(&error);
	if (rc <= 0)
		return;
	extra = json_pack("{s:s, s:o*}", "state", control_state_name(state),
	    "reason", reason[0] != '\0' ? control_make_text(reason) : NULL);
	add_details(extra, data);
	if (domain->established) {
		daemon_save(domain);
		daemon_event(domain->owner, "DOMAIN_STATE", domain, extra);
		return;
	}
	/* Nobody knows of it yet. */
	json_decref(domain->untold);
	domain->untold = extra;
}

void
life_establish(struct domain *domain)
{
	json_t *untold = take_ptr(domain->untold);

	domain->established = true;
	/* That it runs, or is paused as it was told to be, is no news. */
	if (json_object_get(untold, "reason") != NULL)
		daemon_event(domain->owner, "DOMAIN_STATE", domain, untold);
	else
		json_decref(untold);
}

void
life_crash(struct domain *domain, const char *reason)
{
	/* What comes after the first reason is its consequence. */
	if (domain->doomed || domain->state == CONTROL_CRASHED)
		return;
	daemon_log("domain %u ('%s') crashed: %s", domain->id,
	    domain->config->name, reason);
	life_report(domain, CONTROL_CRASHED, reason, NULL);
}

/* --- domains that live in another's process --- */

/* The domain that a process speaks of: its own or one that it hosts. */
static struct domain *
find_hosted(struct domain *host, const json_t *data)
{
	struct domain *domain = registry_find_id(host->registry,
	    (unsigned)json_integer_value(json_object_get(data, "domain")));

	return domain != NULL && (domain == host || domain->host == host->id)
		   ? domain
		   : NULL;
}

static struct domain *
next_ending(const struct registry *registry, unsigned host_id)
{
	struct domain *domain;

	for (domain = registry->first; domain != NULL; domain = domain->next)
		if (domain->host == host_id && domain->ending)
			break;
	return domain;
}

/*
 * The process is gone: so are all that lived there. Whoever is told of an end
 * may go on to destroy the host: it is maybe gone afterwards.
 */
static void
lose_hosted(struct domain *host, const char *reason)
{
	struct registry *registry = host->registry;
	unsigned host_id = host->id;
	struct domain *domain;

	for (domain = registry->first; domain != NULL; domain = domain->next) {
		if (domain->host != host_id)
			continue;
		process_kill(&domain->qemu);
		life_crash(domain, reason);
	}
	/* What they were told is not answered any more. */
	if (next_ending(registry, host_id) != NULL)
		peer_free(take_ptr(host->link));
	/* From the start each time: an end can bring others with it. */
	while ((domain = next_ending(registry, host_id)) != NULL) {
		domain->ending = false;
		check_ended(domain);
	}
}

void
life_call(struct domain *domain, enum role_command_id command,
    const struct peer_load *load, int timeout_ms, peer_done *done, void *opaque)
{
	struct peer *link = registry_link(domain);
	struct peer_load named = {.take_arguments = NULL};
	struct lf_error error;

	if (load != NULL)
		named = *load;
	if (named.take_arguments == NULL)
		named.take_arguments = json_object();
	if (link == NULL || named.take_arguments == NULL) {
		json_decref(named.take_arguments);
		error_set(&error, EBADFD, "it has no domain process any more");
		done(opaque, &error, NULL, NULL);
		return;
	}
	json_object_set_new(
	    named.take_arguments, "domain", json_integer(domain->id));
	peer_call(link, role_commands[command].name, &named, timeout_ms, done,
	    opaque);
}

/* --- the link to the domain process --- */

static void
on_request(void *opaque, struct peer_request *request)
{
	struct domain *host = opaque;
	struct domain *domain = find_hosted(host, request->arguments);
	struct daemon *daemon;
	struct lf_error error;

	if (domain == NULL) {
		error_set(&error, EINVAL,
		    "a request for a domain that does not live there");
		peer_fail(request, &error);
		return;
	}
	daemon = host->owner;
	daemon->hooks->needs(daemon, domain, request);
}

static void
on_event(void *opaque, const char *name, json_t *data)
{
	struct domain *domain = find_hosted(opaque, data);
	const char *state = json_string_value(json_object_get(data, "state"));
	const char *reason = json_string_value(json_object_get(data, "reason"));
	struct daemon *daemon;

	/* A fork that was destroyed may have had something to say. */
	if (domain == NULL || domain->doomed)
		return;
	if (strcmp(name, ROLE_EVENT_STATE) == 0 &&
	    control_state_parse(state) != 0) {
		life_report(domain, control_state_parse(state),
		    reason != NULL ? reason : "", data);
		domain->wants_device_model =
		    json_is_true(json_object_get(data, "wants-device-model"));
		daemon = domain->owner;
		daemon->hooks->stopped(domain);
	} else if (strcmp(name, ROLE_EVENT_ENDED) == 0) {
		domain->ended = true;
		if (domain->established)
			life_destroy(
			    domain->owner, domain, "poweroff", NULL, NULL);
	} else
		daemon_log(
		    "domain %u: unknown event '%.64s'", domain->id, name);
}

static void
on_closed(void *opaque, const struct lf_error *why)
{
	struct domain *domain = opaque;

	(void)why;
	peer_free(domain->link);
	domain->link = NULL;
	/* It obeys nobody any more, if it lives at all. */
	process_kill(&domain->process);
	process_kill(&domain->qemu);
	if (domain->process.pidfd < 0) {
		life_crash(domain, "its domain process is gone");
		lose_hosted(domain, "its domain process is gone");
	}
}

static const struct peer_ops link_ops = {
    .request = on_request,
    .event = on_event,
    .closed = on_closed,
};

/* --- processes --- */

/* When the last process of a doomed domain has ended, so has the domain. */
static void
check_ended(struct domain *domain)
{
	struct daemon *daemon = domain->owner;
	void (*done)(void *opaque) = domain->end_done;
	void *opaque = domain->end_opaque;

	if (domain->process_ended != NULL || domain->qemu_ended != NULL ||
	    domain->ending)
		return;
	daemon_event(daemon, "DOMAIN_DESTROYED", domain,
	    json_pack("{s:s}", "reason", domain->end_why));
	registry_remove(domain);
	if (done != NULL)
		done(opaque);
	daemon_check_idle(daemon);
}

static void
on_process_ended(evutil_socket_t fd, short what, void *arg)
{
	struct domain *domain = arg;
	struct registry *registry = domain->registry;
	unsigned id = domain->id;
	char how[64], reason[128];

	(void)fd;
	(void)what;
	retire_collect(
	    &domain->process, &domain->process_ended, how, sizeof(how));
	snprintf(reason, sizeof(reason), "its domain process %s", how);
	/* Without it nobody drives the QEMU. */
	process_kill(&domain->qemu);
	process_kill(&domain->probe);
	life_crash(domain, reason);
	daemon_save(domain);
	lose_hosted(domain, reason);
	domain = registry_find_id(registry, id);
	if (domain != NULL && domain->doomed)
		check_ended(domain);
}

static void
on_qemu_ended(evutil_socket_t fd, short what, void *arg)
{
	struct domain *domain = arg;
	char how[64];

	(void)fd;
	(void)what;
	/* The domain process sees it too, and knows what it means. */
	retire_collect(&domain->qemu, &domain->qemu_ended, how, sizeof(how));
	daemon_save(domain);
	if (domain->doomed)
		check_ended(domain);
}

static int
watch(struct daemon *daemon, const struct process *process,
    event_callback_fn callback, struct domain *domain, struct event **ret_event,
    struct lf_error *error)
{
	struct event *event =
	    event_new(daemon->base, process->pidfd, EV_READ, callback, domain);

	if (event == NULL || event_add(event, NULL) < 0) {
		if (event != NULL)
			event_free(event);
		return error_nomem(error);
	}
	*ret_event = event;
	return 0;
}

/* The same for a child that was not let go yet, which is gone on failure. */
static int
watch_child(struct daemon *daemon, struct process *process,
    event_callback_fn callback, struct domain *domain, struct event **ret_event,
    struct lf_error *error)
{
	int rc = watch(daemon, process, callback, domain, ret_event, error);

	if (rc < 0)
		spawn_cancel(process);
	return rc;
}

/* A process makes room for its successor. */
static void
replace(struct daemon *daemon, struct process *process, struct event **ended)
{
	if (*ended != NULL)
		event_free(*ended);
	*ended = NULL;
	retire_process(daemon->base, process);
}

int
life_set_qemu(struct daemon *daemon, struct domain *domain,
    const struct process *take_qemu, struct lf_error *error)
{
	int rc;

	replace(daemon, &domain->qemu, &domain->qemu_ended);
	domain->qemu = *take_qemu;
	rc = watch_child(daemon, &domain->qemu, on_qemu_ended, domain,
	    &domain->qemu_ended, error);
	return rc < 0 ? rc : registry_save(domain, error);
}

static void
on_probe_ended(evutil_socket_t fd, short what, void *arg)
{
	struct domain *domain = arg;
	char how[64];

	(void)fd;
	(void)what;
	retire_collect(&domain->probe, &domain->probe_ended, how, sizeof(how));
}

int
life_set_probe(struct daemon *daemon, struct domain *domain,
    const struct process *take_probe, struct lf_error *error)
{
	struct domain *host = registry_host(domain);

	/* It ends with the process that asked for it. */
	if (host == NULL)
		host = domain;
	replace(daemon, &host->probe, &host->probe_ended);
	host->probe = *take_probe;
	return watch_child(daemon, &host->probe, on_probe_ended, host,
	    &host->probe_ended, error);
}

int
life_link(struct daemon *daemon, struct domain *domain, int take_sock,
    struct lf_error *error)
{
	return peer_new(
	    daemon->base, take_sock, &link_ops, domain, &domain->link, error);
}

int
life_watch(struct daemon *daemon, struct domain *domain, struct lf_error *error)
{
	int rc = 0;

	domain->owner = daemon;
	if (domain->process.pidfd >= 0)
		rc = watch(daemon, &domain->process, on_process_ended, domain,
		    &domain->process_ended, error);
	if (rc == 0 && domain->qemu.pidfd >= 0)
		rc = watch(daemon, &domain->qemu, on_qemu_ended, domain,
		    &domain->qemu_ended, error);
	return rc;
}

/* The socket where the next forkd will find the process. */
static int
listen_for_adoption(
    const struct domain *domain, int *ret_sock, struct lf_error *error)
{
	cleanup_free char *path = rundir_path("%s/socket", domain->dir);

	if (path == NULL)
		return error_nomem(error);
	return rundir_listen(path, 4, 0600, ret_sock, error);
}

static int
spawn_process(struct daemon *daemon, struct domain *domain, int control,
    int listen_sock, int dir, struct lf_error *error)
{
	struct spawn_user same = {.change = false};
	struct spawn_fd fds[] = {
	    {control, ROLE_CONTROL_FD, false},
	    {listen_sock, ROLE_LISTEN_FD, false},
	    {dir, ROLE_DIR_FD, false},
	};
	char id[16], seconds[16], uid[16] = "", gid[16], kvm_gid[16];
	char *argv[] = {
	    "forkd", "--role", "domain", id, seconds, uid, gid, kvm_gid, NULL};
	struct spawn_request request = {.program = "/proc/self/exe",
	    .argv = argv,
	    .fds = fds,
	    .fd_count = sizeof(fds) / sizeof(fds[0]),
	    .log_fd = daemon->options.debug ? 2 : -1,
	    .user = &same};
	int go, rc;

	snprintf(id, sizeof(id), "%u", domain->id);
	snprintf(seconds, sizeof(seconds), "%u", daemon->options.adopt_within);
	/* It becomes this user itself, after its libraries are loaded. */
	if (daemon->user.change) {
		snprintf(uid, sizeof(uid), "%u", daemon->user.uid);
		snprintf(gid, sizeof(gid), "%u", daemon->user.gid);
		snprintf(
		    kvm_gid, sizeof(kvm_gid), "%u", daemon->user.extra_gid);
	} else
		argv[5] = NULL;
	rc = spawn_begin(&request, &domain->process, &go, error);
	if (rc < 0)
		return rc;
	rc = watch_child(daemon, &domain->process, on_process_ended, domain,
	    &domain->process_ended, error);
	if (rc == 0)
		rc = registry_save(domain, error);
	if (rc < 0) {
		close_fd(go);
		return rc;
	}
	return spawn_go(go, error);
}

int
life_start(struct daemon *daemon, struct domain *domain, struct lf_error *error)
{
	cleanup_close int ours = -1, theirs = -1, listen_sock = -1, dir = -1;
	int sv[2], rc;

	domain->owner = daemon;
	rc = listen_for_adoption(domain, &listen_sock, error);
	if (rc < 0)
		return rc;
	dir = sys.open(
	    domain->dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (dir < 0)
		return error_sys(error, errno, "cannot open '%s'", domain->dir);
	if (sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return error_sys(error, errno, "cannot make a socket pair");
	ours = sv[0];
	theirs = sv[1];
	rc = spawn_process(daemon, domain, theirs, listen_sock, dir, error);
	if (rc < 0)
		return error_prefix(error, rc, "cannot start a domain process");
	return life_link(daemon, domain, take_fd(&ours), error);
}

/* --- the end --- */

static void
on_ended_there(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct domain *domain = opaque;

	(void)result;
	(void)answer;
	/* Connection broken: the end of the process is waited for. */
	if (error != NULL && error->code == -EPIPE)
		return;
	domain->ending = false;
	check_ended(domain);
}

void
life_destroy(struct daemon *daemon, struct domain *domain, const char *why,
    void (*done)(void *opaque), void *opaque)
{
	const struct domain *host;

	/* Only a connection of ours went: its domain goes on. */
	if (domain->registry->closing) {
		if (done != NULL)
			done(opaque);
		return;
	}
	domain->owner = daemon;
	domain->doomed = true;
	domain->end_why = why;
	domain->end_done = done;
	domain->end_opaque = opaque;
	process_kill(&domain->qemu);
	process_kill(&domain->process);
	replace(daemon, &domain->probe, &domain->probe_ended);
	host = registry_host(domain);
	if (domain->host != 0 && host != NULL && host->link != NULL) {
		domain->ending = true;
		life_call(
		    domain, ROLE_DESTROY, NULL, -1, on_ended_there, domain);
	} else
		check_ended(domain);
}
