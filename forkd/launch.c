/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What domain processes need and may not do themselves.
 */
#include "forkd/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <libfork/qemu.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/launch_chain.h"
#include "forkd/launch_files.h"
#include "forkd/life.h"
#include "forkd/overlay.h"
#include "forkd/peer.h"
#include "forkd/role.h"
#include "forkd/rundir.h"

/* --- starting QEMU --- */

/* What one start holds until its end. */
struct start {
	struct lf_domain_config *config;
	struct launch_chains chains;
	json_t *held;
	struct lf_qemu_argv *argv;
	struct spawn_fd *fds;
	int ram, qmp_ours, qmp_theirs, log, go;
	char *vnc;
	bool probe; /* not the guest's, but one that tells of its CPU */
	/* Of what was started; borrowed. */
	pid_t pid;
	int pidfd;
};

static void
start_done(struct start *s)
{
	if (s->fds != NULL)
		launch_close_files(s->argv, s->fds);
	free(s->fds);
	lf_qemu_argv_free(s->argv);
	lf_domain_config_free(s->config);
	launch_chains_done(&s->chains);
	json_decref(s->held);
	close_fd(s->ram);
	close_fd(s->qmp_ours);
	close_fd(s->qmp_theirs);
	close_fd(s->log);
	close_fd(s->go);
	free(s->vnc);
}

/* The directory where QEMU makes its VNC socket, writable by its user. */
static int
make_vnc_dir(struct daemon *daemon, const struct domain *domain,
    char **ret_socket, struct lf_error *error)
{
	cleanup_free char *dir = rundir_path("%s/vnc", domain->dir);
	cleanup_free char *path = rundir_path("%s/vnc/socket", domain->dir);

	if (dir == NULL || path == NULL)
		return error_nomem(error);
	if (sys.mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_sys(
		    error, errno, "cannot make directory '%s'", dir);
	if (daemon->user.change &&
	    sys.chown(dir, daemon->user.uid, daemon->user.gid) < 0)
		return error_sys(
		    error, errno, "cannot give '%s' to QEMU's user", dir);
	*ret_socket = take_ptr(path);
	return 0;
}

static int
build_argv(struct daemon *daemon, struct domain *domain,
    const struct peer_request *request, struct start *s, struct lf_error *error)
{
	struct lf_qemu_argv_options options = {
	    .program = daemon->options.qemu,
	    .accelerator = registry_config(domain)->accelerator,
	    .share_ram =
		json_is_true(peer_request_argument(request, "share-ram")),
	    .incoming =
		json_is_true(peer_request_argument(request, "incoming")),
	    .probe = s->probe,
	    .paused = true,
	};
	int rc;

	s->held = json_array();
	if (s->held == NULL)
		return error_nomem(error);
	rc = launch_chains_read(domain, request, &s->chains, s->held, error);
	if (rc == 0)
		rc =
		    launch_chains_config(domain, &s->chains, &s->config, error);
	if (rc == 0)
		rc = make_vnc_dir(daemon, domain, &s->vnc, error);
	if (rc < 0)
		return rc;
	options.disks = s->chains.disk;
	if (s->chains.nvram.count > 0)
		options.nvram = &s->chains.nvram;
	options.vnc_socket = s->vnc;
	return lf_qemu_argv_build(s->config, &options, &s->argv, error);
}

/* From now on the domain is one with these files. */
static int
settle_config(struct domain *domain, struct lf_domain_config *take_config,
    struct lf_error *error)
{
	struct lf_domain_config **config = domain->launch_config != NULL
					       ? &domain->launch_config
					       : &domain->config;

	lf_domain_config_free(*config);
	*config = take_config;
	return registry_save(domain, error);
}

/*
 * Makes the child. It goes on when the domain process tells it to, which has
 * it in hand by then: a QEMU never runs without anybody who would end it,
 * whoever is killed in between.
 */
static int
spawn_qemu(struct daemon *daemon, struct domain *domain, struct start *s,
    struct lf_error *error)
{
	struct spawn_request request = {.program = s->argv->argv[0],
	    .argv = s->argv->argv,
	    .fds = s->fds,
	    .fd_count = s->argv->fd_count,
	    .log_fd = s->log,
	    .user = &daemon->user,
	    .ends_with_us = s->probe};
	struct process process;
	int rc;

	rc = spawn_begin(&request, &process, &s->go, error);
	if (rc == 0)
		rc = s->probe ? life_set_probe(daemon, domain, &process, error)
			      : life_set_qemu(daemon, domain, &process, error);
	if (rc < 0)
		return rc;
	s->pid = process.pid;
	s->pidfd = process.pidfd;
	if (s->probe)
		return 0;
	return settle_config(domain, take_ptr(s->config), error);
}

static int
start_qemu(struct daemon *daemon, struct domain *domain,
    struct peer_request *request, struct start *s, struct lf_error *error)
{
	int sv[2], rc;

	s->ram = peer_request_fd(request, "ram");
	s->probe = json_is_true(peer_request_argument(request, "probe"));
	rc = build_argv(daemon, domain, request, s, error);
	if (rc < 0)
		return rc;
	if (sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return error_sys(error, errno, "cannot make a socket pair");
	s->qmp_ours = sv[0];
	s->qmp_theirs = sv[1];
	rc = spawn_make_log(&s->log, error);
	if (rc < 0)
		return rc;
	s->fds = sys.calloc(s->argv->fd_count + 1, sizeof(*s->fds));
	if (s->fds == NULL)
		return error_nomem(error);
	rc = launch_open_files(
	    s->argv, &daemon->user, s->ram, s->qmp_theirs, s->fds, error);
	if (rc == 0) {
		rc = spawn_qemu(daemon, domain, s, error);
		if (rc < 0)
			launch_remove_sockets(s->argv, s->fds);
	}
	return rc;
}

static void
handle_start_qemu(
    struct daemon *daemon, struct domain *domain, struct peer_request *request)
{
	struct start s = {
	    .ram = -1, .qmp_ours = -1, .qmp_theirs = -1, .log = -1, .go = -1};
	struct lf_error error;
	int rc;

	rc = start_qemu(daemon, domain, request, &s, &error);
	if (rc < 0)
		peer_fail(request, &error);
	else {
		int fds[] = {s.pidfd, s.qmp_ours, s.log, s.go};

		/* Nobody lets it go: it ends as its pipe is closed. */
		if (peer_return(request,
			json_pack("{s:I}", "pid", (json_int_t)s.pid), fds,
			4) < 0)
			launch_remove_sockets(s.argv, s.fds);
	}
	start_done(&s);
}

/* --- looking at an image --- */

static void
handle_open_image(
    struct daemon *daemon, struct domain *domain, struct peer_request *request)
{
	const char *path = peer_request_string(request, "path");
	cleanup_close int fd = -1;
	struct lf_error error;
	int rc;

	(void)daemon;
	rc = launch_check_image(domain, path, true, &error);
	if (rc == 0)
		rc = launch_open("image", path, O_RDONLY, &fd, NULL, &error);
	if (rc < 0)
		peer_fail(request, &error);
	else
		peer_return(request, json_object(), &fd, 1);
}

static void (*const handlers[ROLE_NEED_COUNT])(struct daemon *daemon,
    struct domain *domain, struct peer_request *request) = {
    [ROLE_START_QEMU] = handle_start_qemu,
    [ROLE_OPEN_IMAGE] = handle_open_image,
    [ROLE_MAKE_OVERLAY] = overlay_make,
    [ROLE_REMOVE_OVERLAY] = overlay_remove,
};

void
launch_request(
    struct daemon *daemon, struct domain *domain, struct peer_request *request)
{
	int id = role_find(role_needs, ROLE_NEED_COUNT, request->name);
	struct lf_error error;
	int rc;

	if (id < 0)
		rc = error_set(&error, ENOSYS,
		    "a domain process cannot ask for '%.64s'", request->name);
	else if (domain->doomed)
		rc = error_set(&error, EBADFD,
		    "domain %u ('%s') is being destroyed", domain->id,
		    domain->config->name);
	else
		rc = control_check_arguments(request->name,
		    role_needs[id].arguments, request->arguments,
		    request->message.fd_count, &error);
	if (rc < 0)
		peer_fail(request, &error);
	else
		handlers[id](daemon, domain, request);
}
