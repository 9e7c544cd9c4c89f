/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's life from start to end.
 */
#include "forkd/daemon_main.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "control/paths.h"
#include "forkd/adopt.h"
#include "forkd/change.h"
#include "forkd/client.h"
#include "forkd/daemon.h"
#include "forkd/launch.h"
#include "forkd/peer.h"
#include "forkd/rundir.h"

/* Connections that wait to be accepted. */
#define BACKLOG 64

/* The first descriptor that systemd passes. */
#define SYSTEMD_FD 3

/* --- the end --- */

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)number;
	(void)what;
	/* Domains go on; the next forkd adopts them. */
	event_base_loopbreak(daemon->base);
}

static void
daemon_done(struct daemon *daemon)
{
	struct event **events[] = {&daemon->listener, &daemon->on_term,
	    &daemon->on_int, &daemon->idle};
	cleanup_free char *path = NULL;
	struct lf_error ignored;
	size_t i;

	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (*events[i] != NULL) {
			event_free(*events[i]);
			*events[i] = NULL;
		}
	while (daemon->clients != NULL)
		client_free(daemon->clients);
	registry_done(&daemon->registry);
	if (daemon->base != NULL)
		event_base_free(daemon->base);
	close_fd(daemon->listen_fd);
	if (daemon->socket_is_ours &&
	    control_socket_path(daemon->run_dir, &path, &ignored) == 0)
		unlink(path);
	close_fd(daemon->lock_fd);
	free(daemon->run_dir);
	free(daemon->state_dir);
	free(daemon->overlay_dir);
}

/* --- the start --- */

int
daemon_find_user(const struct daemon_options *options,
    struct spawn_user *ret_user, struct lf_error *error)
{
	const char *name =
	    options->qemu_user != NULL ? options->qemu_user : "nobody";
	const struct passwd *user;
	struct stat kvm;

	*ret_user = (struct spawn_user){.change = false};
	if (geteuid() != 0) {
		if (options->qemu_user != NULL)
			return error_set(error, EPERM,
			    "--qemu-user %s: only root's forkd can run QEMU "
			    "as another user",
			    name);
		return 0;
	}
	user = getpwnam(name);
	if (user == NULL)
		return error_set(
		    error, ENOENT, "--qemu-user %s: no such user", name);
	if (user->pw_uid == 0)
		return 0;
	*ret_user = (struct spawn_user){.change = true,
	    .uid = user->pw_uid,
	    .gid = user->pw_gid,
	    .extra_gid = user->pw_gid};
	/* Whoever may use KVM here by its group. */
	if (sys.stat("/dev/kvm", &kvm) == 0 && kvm.st_gid != 0)
		ret_user->extra_gid = kvm.st_gid;
	return 0;
}

static int
make_dirs(struct daemon *daemon, struct lf_error *error)
{
	/* QEMU's user passes through to its VNC socket, and sees nothing. */
	mode_t mode = daemon->user.change ? 0711 : 0700;
	int rc;

	if (daemon->options.run_dir != NULL)
		setenv(CONTROL_RUN_DIR_ENV, daemon->options.run_dir, 1);
	if (daemon->options.state_dir != NULL)
		setenv(CONTROL_STATE_DIR_ENV, daemon->options.state_dir, 1);
	rc = control_run_dir(&daemon->run_dir, error);
	if (rc == 0)
		rc = control_state_dir(&daemon->state_dir, error);
	if (rc == 0)
		rc = rundir_make(daemon->run_dir, mode, false, error);
	if (rc == 0)
		rc = rundir_lock(daemon->run_dir, &daemon->lock_fd, error);
	if (rc == 0)
		rc = rundir_make(daemon->state_dir, 0700, true, error);
	if (rc < 0)
		return rc;
	daemon->overlay_dir = rundir_path("%s/overlays", daemon->state_dir);
	if (daemon->overlay_dir == NULL)
		return error_nomem(error);
	rc = rundir_make(daemon->overlay_dir, 0700, false, error);
	if (rc == 0)
		rc = registry_init(
		    &daemon->registry, daemon->run_dir, mode, error);
	return rc;
}

/* Overlays of no listed domain: of one that was destroyed halfway. */
static void
remove_stray_overlays(struct daemon *daemon)
{
	DIR *dir = opendir(daemon->overlay_dir);
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		cleanup_free char *path =
		    rundir_path("%s/%s", daemon->overlay_dir, entry->d_name);
		const struct domain *domain = daemon->registry.first;

		if (entry->d_name[0] == '.' || path == NULL)
			continue;
		while (
		    domain != NULL && !file_list_has(&domain->overlays, path))
			domain = domain->next;
		if (domain == NULL && unlink(path) == 0)
			daemon_log("removed '%s', which is no domain's", path);
	}
	closedir(dir);
}

static int
adopt(struct daemon *daemon, struct lf_error *error)
{
	struct domain *domain, *next;
	int rc;

	rc = registry_load(&daemon->registry, daemon_log_error, error);
	if (rc < 0)
		return rc;
	/* Which overlays belong to a domain that is left alone is not known. */
	if (daemon->registry.kept.count == 0)
		remove_stray_overlays(daemon);
	for (domain = daemon->registry.first; domain != NULL; domain = next) {
		next = domain->next;
		rc = adopt_domain(daemon, domain, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Whatever has that number may be something else than the variables say. */
static int
take_socket(struct daemon *daemon, struct lf_error *error)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (sys.getsockopt(
		SYSTEMD_FD, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 ||
	    !listens)
		return error_set(error, EINVAL,
		    "LISTEN_FDS is 1, but descriptor %d is not a listening "
		    "socket (start forkd by its systemd unit, or without the "
		    "variable)",
		    SYSTEMD_FD);
	if (sys.fcntl(SYSTEMD_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    sys.fcntl(SYSTEMD_FD, F_SETFL, O_NONBLOCK) < 0)
		return error_sys(error, errno, "cannot use systemd's socket");
	daemon->listen_fd = SYSTEMD_FD;
	return 0;
}

/* systemd's socket, or our own. */
static int
open_socket(struct daemon *daemon, struct lf_error *error)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	cleanup_free char *path = NULL;
	int rc;

	if (pid != NULL && fds != NULL && atoi(pid) == getpid() &&
	    atoi(fds) == 1) {
		unsetenv("LISTEN_PID");
		unsetenv("LISTEN_FDS");
		return take_socket(daemon, error);
	}
	rc = control_socket_path(daemon->run_dir, &path, error);
	if (rc == 0)
		rc = rundir_listen(
		    path, BACKLOG, 0600, &daemon->listen_fd, error);
	daemon->socket_is_ours = rc == 0;
	return rc;
}

static int
add_event(struct daemon *daemon, struct event **ret_event, int fd, short what,
    event_callback_fn callback, struct lf_error *error)
{
	*ret_event = event_new(daemon->base, fd, what, callback, daemon);
	if (*ret_event == NULL || event_add(*ret_event, NULL) < 0)
		return error_nomem(error);
	return 0;
}

static int
start(struct daemon *daemon, struct lf_error *error)
{
	int rc;

	signal(SIGPIPE, SIG_IGN);
	umask(077);
	/* Each domain takes a few. */
	spawn_raise_limit();
	daemon->base = event_base_new();
	if (daemon->base == NULL)
		return error_nomem(error);
	rc = daemon_find_user(&daemon->options, &daemon->user, error);
	if (rc == 0)
		rc = make_dirs(daemon, error);
	if (rc == 0)
		rc = adopt(daemon, error);
	if (rc == 0)
		rc = open_socket(daemon, error);
	if (rc == 0)
		rc = add_event(daemon, &daemon->listener, daemon->listen_fd,
		    EV_READ | EV_PERSIST, client_accept, error);
	if (rc == 0)
		rc = add_event(daemon, &daemon->on_term, SIGTERM,
		    EV_SIGNAL | EV_PERSIST, on_signal, error);
	if (rc == 0)
		rc = add_event(daemon, &daemon->on_int, SIGINT,
		    EV_SIGNAL | EV_PERSIST, on_signal, error);
	if (rc < 0)
		return rc;
	daemon->idle = evtimer_new(daemon->base, daemon_on_idle, daemon);
	return daemon->idle != NULL ? 0 : error_nomem(error);
}

/* Tells whoever started us; nothing at all when another forkd is there. */
static void
say_ready(struct daemon *daemon, int rc, const struct lf_error *error)
{
	int fd = daemon->options.ready_fd;

	if (fd < 0)
		return;
	if (rc == 0)
		dprintf(fd, "ready\n");
	else if (rc != -EWOULDBLOCK)
		dprintf(fd, "%s\n", error->message);
	close_fd(fd);
}

static const struct daemon_hooks hooks = {
    .needs = launch_request,
    .stopped = change_launch_wanted,
};

int
daemon_main(const struct daemon_options *options)
{
	struct daemon daemon = {.options = *options,
	    .hooks = &hooks,
	    .lock_fd = -1,
	    .listen_fd = -1};
	struct lf_error error;
	int rc;

	rc = start(&daemon, &error);
	say_ready(&daemon, rc, &error);
	if (rc < 0)
		daemon_log_error(&error);
	else {
		daemon_check_idle(&daemon);
		event_base_dispatch(daemon.base);
	}
	daemon_done(&daemon);
	return rc < 0;
}
