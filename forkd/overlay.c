/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making overlays.
 */
#include "forkd/overlay.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/launch_chain.h"
#include "forkd/peer.h"
#include "forkd/rundir.h"

/* Where qemu-img finds the file that it fills. */
#define OVERLAY_FD 3

/* A qemu-img that makes an overlay. */
struct making {
	struct daemon *daemon;
	struct peer_request *request;
	unsigned domain_id;
	char *path;
	struct process process;
	struct event *ended;
	int file, log;
};

static void
making_free(struct making *m)
{
	if (m->ended != NULL)
		event_free(m->ended);
	process_done(&m->process);
	close_fd(m->file);
	close_fd(m->log);
	free(m->path);
	free(m);
}

/* Without the overlay, and its request refused. */
static void
making_failed(struct making *m, const struct lf_error *error)
{
	struct domain *domain =
	    registry_find_id(&m->daemon->registry, m->domain_id);

	if (domain != NULL)
		registry_drop_overlay(domain, m->path);
	else
		unlink(m->path);
	peer_fail(m->request, error);
	making_free(m);
}

static void
on_made(evutil_socket_t fd, short what, void *arg)
{
	struct making *m = arg;
	struct domain *domain =
	    registry_find_id(&m->daemon->registry, m->domain_id);
	char how[64], line[512];
	struct lf_error error;

	(void)fd;
	(void)what;
	process_collect(&m->process, how, sizeof(how));
	if (strcmp(how, "exited with status 0") != 0) {
		spawn_last_line(m->log, line, sizeof(line));
		error_set(&error,
		    strstr(line, strerror(ENOSPC)) != NULL ? ENOSPC : EIO,
		    "cannot make overlay '%s': qemu-img %s: %s", m->path, how,
		    line[0] != '\0' ? line : "it said nothing");
		making_failed(m, &error);
		return;
	}
	/* Destroyed meanwhile: the file has nobody that it goes with. */
	if (domain == NULL)
		unlink(m->path);
	if (peer_return(
		m->request, json_pack("{s:s}", "path", m->path), NULL, 0) < 0 &&
	    domain != NULL)
		registry_drop_overlay(domain, m->path);
	making_free(m);
}

/*
 * qemu-img looks at no image: the backing file's format and the size are
 * given (-u), and the name is only written down. It gets the file, not the
 * path: whenever somebody is killed, it makes no file that is not on record.
 */
static int
spawn_qemu_img(struct making *m, struct lf_error *error)
{
	const struct peer_request *request = m->request;
	struct spawn_user same = {.change = false};
	struct spawn_fd file = {.fd = m->file, .number = OVERLAY_FD};
	char path[32], size[32];
	char *argv[] = {"qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F",
	    (char *)peer_request_string(request, "format"), "-b",
	    (char *)peer_request_string(request, "backing"), "--", path, size,
	    NULL};
	struct spawn_request spawn = {
	    .program = m->daemon->options.qemu_img != NULL
			   ? m->daemon->options.qemu_img
			   : "qemu-img",
	    .argv = argv,
	    .fds = &file,
	    .fd_count = 1,
	    .log_fd = m->log,
	    .ends_with_us = true,
	    .user = &same};
	int go, rc;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", OVERLAY_FD);
	snprintf(size, sizeof(size), "%" PRIu64,
	    (uint64_t)json_integer_value(
		peer_request_argument(request, "bytes")));
	rc = spawn_begin(&spawn, &m->process, &go, error);
	if (rc < 0)
		return rc;
	m->ended =
	    event_new(m->daemon->base, m->process.pidfd, EV_READ, on_made, m);
	if (m->ended == NULL || event_add(m->ended, NULL) < 0) {
		close_fd(go);
		rc = error_nomem(error);
	} else
		rc = spawn_go(go, error);
	/* Nobody else collects it. */
	if (rc < 0)
		spawn_cancel(&m->process);
	return rc;
}

/* A path that is the daemon's choice, or the configuration's. */
static int
overlay_path(struct daemon *daemon, const struct domain *domain,
    const struct peer_request *request, char **ret_path, struct lf_error *error)
{
	const struct lf_domain_config *config = registry_config(domain);
	const char *path = peer_request_string(request, "path");
	const char *label = peer_request_string(request, "label");
	char *name;
	size_t i;

	if (path == NULL) {
		*ret_path = rundir_path("%s/%u-%s.qcow2", daemon->overlay_dir,
		    domain->id, label != NULL ? label : "disk");
		if (*ret_path == NULL)
			return error_nomem(error);
		/* A domain's name may have anything in it. */
		name = *ret_path + strlen(daemon->overlay_dir) + 1;
		for (; *name != '\0'; name++)
			if (!isalnum((unsigned char)*name) &&
			    strchr(".-_", *name) == NULL)
				*name = '_';
		return 0;
	}
	for (i = 0; i < config->disk_count; i++)
		if (strcmp(config->disks[i].path, path) == 0)
			break;
	if (i == config->disk_count)
		return error_set(error, EACCES,
		    "overlay '%s' is not in the configuration of domain %u "
		    "('%s')",
		    path, domain->id, domain->config->name);
	*ret_path = sys.strdup(path);
	return *ret_path != NULL ? 0 : error_nomem(error);
}

/* On record first, then made: a forkd that dies in between leaves nothing. */
static int
reserve_overlay(struct domain *domain, const char *path, int *ret_fd,
    struct lf_error *error)
{
	struct stat st;
	int fd, rc;

	/* Not ours to remove if it was there before. */
	if (sys.lstat(path, &st) == 0)
		return error_set(error, EEXIST,
		    "overlay '%s' exists already and is not touched", path);
	if (errno != ENOENT)
		return error_sys(
		    error, errno, "cannot make overlay '%s'", path);
	rc = registry_add_file(domain, &domain->overlays, path, error);
	if (rc < 0)
		return rc;
	fd = sys.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		/* EEXIST: somebody was faster, and it is theirs. */
		rc = error_sys(error, errno, "cannot make overlay '%s'", path);
		registry_forget_overlay(domain, path);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

void
overlay_make(
    struct daemon *daemon, struct domain *domain, struct peer_request *request)
{
	struct making *m = sys.calloc(1, sizeof(*m));
	struct lf_error error;
	int rc;

	if (m == NULL) {
		error_nomem(&error);
		peer_fail(request, &error);
		return;
	}
	*m = (struct making){.daemon = daemon,
	    .request = request,
	    .domain_id = domain->id,
	    .process = PROCESS_NONE,
	    .file = -1,
	    .log = -1};
	rc = launch_check_image(
	    domain, peer_request_string(request, "backing"), false, &error);
	if (rc == 0)
		rc = overlay_path(daemon, domain, request, &m->path, &error);
	if (rc == 0)
		rc = spawn_make_log(&m->log, &error);
	if (rc == 0)
		rc = reserve_overlay(domain, m->path, &m->file, &error);
	if (rc < 0) {
		peer_fail(request, &error);
		making_free(m);
		return;
	}
	if (spawn_qemu_img(m, &error) < 0)
		making_failed(m, &error);
}

void
overlay_remove(
    struct daemon *daemon, struct domain *domain, struct peer_request *request)
{
	(void)daemon;
	registry_drop_overlay(domain, peer_request_string(request, "path"));
	peer_return(request, json_object(), NULL, 0);
}
