/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What domain processes need and may not do themselves.
 */
#include "forkd/launch.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libfork/qemu.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/launch_files.h"
#include "forkd/life.h"
#include "forkd/peer.h"
#include "forkd/role.h"
#include "forkd/rundir.h"

static json_t *
argument(const struct peer_request *request, const char *name)
{
	return json_object_get(request->arguments, name);
}

static const char *
string_argument(const struct peer_request *request, const char *name)
{
	return json_string_value(argument(request, name));
}

static int
fd_argument(struct peer_request *request, const char *name)
{
	return channel_message_take_fd(&request->message,
	    (size_t)json_integer_value(argument(request, name)));
}

/* --- the files of a disk --- */

/* Chains as they come in a message, checked. */
struct chains {
	struct lf_qemu_chain disk[LF_DISKS_MAX];
	size_t count;
	struct lf_qemu_chain nvram;
};

static void
chain_free(struct lf_qemu_chain *chain)
{
	free((void *)chain->layers);
	*chain = (struct lf_qemu_chain){0};
}

static void
chains_done(struct chains *chains)
{
	size_t i;

	for (i = 0; i < chains->count; i++)
		chain_free(&chains->disk[i]);
	chain_free(&chains->nvram);
}

/*
 * One image. Before a booted domain ran for the first time its images are as
 * their owner made them: the files that they name as below them are believed
 * and remembered. Later nothing new is.
 */
static int
check_image(struct domain *domain, const char *path, size_t depth,
    struct lf_error *error)
{
	if (path[0] != '/')
		return error_set(
		    error, EINVAL, "image '%s' is no absolute path", path);
	if (registry_knows_image(domain, path))
		return 0;
	if (!domain->established && domain->parent == 0 && depth > 0)
		return registry_add_file(domain, &domain->backing, path, error);
	return error_set(error, EACCES,
	    "image '%s' does not belong to domain %u ('%s')", path, domain->id,
	    domain->config->name);
}

static int
read_chain(struct domain *domain, const json_t *value,
    struct lf_qemu_chain *ret, struct lf_error *error)
{
	size_t count = json_array_size(value), i;
	struct lf_qemu_layer *layers;

	if (count < 1 || count > LF_QEMU_LAYERS_MAX)
		return error_set(error, EINVAL,
		    "a disk of %zu files, 1 to %d are allowed", count,
		    LF_QEMU_LAYERS_MAX);
	layers = sys.calloc(count, sizeof(*layers));
	if (layers == NULL)
		return error_nomem(error);
	ret->layers = layers;
	ret->count = count;
	for (i = 0; i < count; i++) {
		const char *path, *format;
		struct stat st;
		int rc;

		if (json_unpack(json_array_get(value, i), "{s:s, s:s}", "path",
			&path, "format", &format) < 0)
			return error_set(error, EINVAL,
			    "a disk's file has no path or no format");
		rc = check_image(domain, path, i, error);
		if (rc < 0)
			return rc;
		layers[i].path = path;
		if (strcmp(format, lf_disk_format_name(LF_DISK_QCOW2)) == 0)
			layers[i].format = LF_DISK_QCOW2;
		else
			layers[i].format = LF_DISK_RAW;
		layers[i].block_device =
		    sys.stat(path, &st) == 0 && S_ISBLK(st.st_mode);
	}
	return 0;
}

/* A disk without files of its own: what the configuration names. */
static json_t *
chain_value_of(const char *path, enum lf_disk_format format)
{
	return json_pack("[{s:s, s:s}]", "path", path, "format",
	    lf_disk_format_name(format));
}

/*
 * All chains of a request, in the configuration's order. `held` keeps the
 * strings alive that the chains point to.
 */
static int
read_chains(struct domain *domain, const struct peer_request *request,
    struct chains *ret, json_t *held, struct lf_error *error)
{
	const struct lf_domain_config *config = registry_config(domain);
	const json_t *disks = argument(request, "disks");
	const json_t *nvram = argument(request, "nvram");
	int rc = 0;
	size_t i;

	if (disks != NULL && json_array_size(disks) != config->disk_count)
		return error_set(error, EINVAL,
		    "files for %zu disks, the domain has %zu",
		    json_array_size(disks), config->disk_count);
	for (i = 0; rc == 0 && i < config->disk_count; i++) {
		json_t *chain = json_array_get(disks, i);

		if (json_array_size(chain) > 0)
			json_array_append(held, chain);
		else {
			chain = chain_value_of(
			    config->disks[i].path, config->disks[i].format);
			json_array_append_new(held, chain);
		}
		if (chain == NULL)
			return error_nomem(error);
		ret->count = i + 1;
		rc = read_chain(domain, chain, &ret->disk[i], error);
	}
	if (rc == 0 && json_array_size(nvram) > 0)
		rc = read_chain(domain, nvram, &ret->nvram, error);
	return rc;
}

/*
 * The configuration that QEMU is started with: the one on record, with the
 * files that the guest writes in place of those it was made with.
 */
static int
make_config(const struct domain *domain, const struct chains *chains,
    struct lf_domain_config **ret_config, struct lf_error *error)
{
	struct lf_domain_config *config = NULL;
	size_t i;
	int rc;

	rc = lf_domain_config_copy(registry_config(domain), &config, error);
	for (i = 0; rc == 0 && i < chains->count; i++) {
		const struct lf_qemu_layer *top = &chains->disk[i].layers[0];

		rc = lf_domain_config_set(
		    &config->disks[i].path, top->path, error);
		config->disks[i].format = top->format;
	}
	if (rc == 0 && chains->nvram.count > 0)
		rc = lf_domain_config_set(&config->firmware.nvram,
		    chains->nvram.layers[0].path, error);
	if (rc < 0) {
		lf_domain_config_free(config);
		return rc;
	}
	*ret_config = config;
	return 0;
}

/* --- starting QEMU --- */

/* What one start holds until its end. */
struct start {
	struct lf_domain_config *config;
	struct chains chains;
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
	chains_done(&s->chains);
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
	    .share_ram = json_is_true(argument(request, "share-ram")),
	    .incoming = json_is_true(argument(request, "incoming")),
	    .probe = s->probe,
	    .paused = true,
	};
	int rc;

	s->held = json_array();
	if (s->held == NULL)
		return error_nomem(error);
	rc = read_chains(domain, request, &s->chains, s->held, error);
	if (rc == 0)
		rc = make_config(domain, &s->chains, &s->config, error);
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

	s->ram = fd_argument(request, "ram");
	s->probe = json_is_true(argument(request, "probe"));
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

		peer_return(request,
		    json_pack("{s:I}", "pid", (json_int_t)s.pid), fds, 4);
	}
	start_done(&s);
}

/* --- images --- */

static void
handle_open_image(
    struct daemon *daemon, struct domain *domain, struct peer_request *request)
{
	const char *path = string_argument(request, "path");
	cleanup_close int fd = -1;
	struct lf_error error;
	int rc;

	(void)daemon;
	rc = check_image(domain, path, 1, &error);
	if (rc == 0)
		rc = launch_open("image", path, O_RDONLY, &fd, NULL, &error);
	if (rc < 0)
		peer_fail(request, &error);
	else
		peer_return(request, json_object(), &fd, 1);
}

/* Where qemu-img finds the file that it fills. */
#define OVERLAY_FD 3

/* A qemu-img that makes an overlay. */
struct overlay {
	struct daemon *daemon;
	struct peer_request *request;
	unsigned domain_id;
	char *path;
	struct process process;
	struct event *ended;
	int file, log;
};

static void
overlay_free(struct overlay *o)
{
	if (o->ended != NULL)
		event_free(o->ended);
	process_done(&o->process);
	close_fd(o->file);
	close_fd(o->log);
	free(o->path);
	free(o);
}

/* Without the overlay, and its request refused. */
static void
overlay_failed(struct overlay *o, const struct lf_error *error)
{
	struct domain *domain =
	    registry_find_id(&o->daemon->registry, o->domain_id);

	if (domain != NULL)
		registry_drop_overlay(domain, o->path);
	else
		unlink(o->path);
	peer_fail(o->request, error);
	overlay_free(o);
}

static void
on_overlay_made(evutil_socket_t fd, short what, void *arg)
{
	struct overlay *o = arg;
	char how[64], line[512];
	struct lf_error error;

	(void)fd;
	(void)what;
	process_collect(&o->process, how, sizeof(how));
	if (strcmp(how, "exited with status 0") != 0) {
		spawn_last_line(o->log, line, sizeof(line));
		error_set(&error,
		    strstr(line, strerror(ENOSPC)) != NULL ? ENOSPC : EIO,
		    "cannot make overlay '%s': qemu-img %s: %s", o->path, how,
		    line[0] != '\0' ? line : "it said nothing");
		overlay_failed(o, &error);
		return;
	}
	/* Destroyed meanwhile: the file has nobody that it goes with. */
	if (registry_find_id(&o->daemon->registry, o->domain_id) == NULL)
		unlink(o->path);
	peer_return(o->request, json_pack("{s:s}", "path", o->path), NULL, 0);
	overlay_free(o);
}

/*
 * qemu-img looks at no image: the backing file's format and the size are
 * given (-u), and the name is only written down. It gets the file, not the
 * path: whenever somebody is killed, it makes no file that is not on record.
 */
static int
spawn_qemu_img(struct overlay *o, struct lf_error *error)
{
	const struct peer_request *request = o->request;
	struct spawn_user same = {.change = false};
	struct spawn_fd file = {.fd = o->file, .number = OVERLAY_FD};
	char path[32], size[32];
	char *argv[] = {"qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F",
	    (char *)string_argument(request, "format"), "-b",
	    (char *)string_argument(request, "backing"), "--", path, size,
	    NULL};
	struct spawn_request spawn = {
	    .program = o->daemon->options.qemu_img != NULL
			   ? o->daemon->options.qemu_img
			   : "qemu-img",
	    .argv = argv,
	    .fds = &file,
	    .fd_count = 1,
	    .log_fd = o->log,
	    .ends_with_us = true,
	    .user = &same};
	int go, rc;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", OVERLAY_FD);
	snprintf(size, sizeof(size), "%" PRIu64,
	    (uint64_t)json_integer_value(argument(request, "bytes")));
	rc = spawn_begin(&spawn, &o->process, &go, error);
	if (rc < 0)
		return rc;
	o->ended = event_new(
	    o->daemon->base, o->process.pidfd, EV_READ, on_overlay_made, o);
	if (o->ended == NULL || event_add(o->ended, NULL) < 0) {
		close_fd(go);
		rc = error_nomem(error);
	} else
		rc = spawn_go(go, error);
	/* Nobody else collects it. */
	if (rc < 0)
		spawn_cancel(&o->process);
	return rc;
}

/* A path that is the daemon's choice, or the configuration's. */
static int
overlay_path(struct daemon *daemon, const struct domain *domain,
    const struct peer_request *request, char **ret_path, struct lf_error *error)
{
	const struct lf_domain_config *config = registry_config(domain);
	const char *path = string_argument(request, "path");
	const char *label = string_argument(request, "label");
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

static void
handle_make_overlay(
    struct daemon *daemon, struct domain *domain, struct peer_request *request)
{
	struct overlay *o = sys.calloc(1, sizeof(*o));
	struct lf_error error;
	int rc;

	if (o == NULL) {
		error_nomem(&error);
		peer_fail(request, &error);
		return;
	}
	*o = (struct overlay){.daemon = daemon,
	    .request = request,
	    .domain_id = domain->id,
	    .process = PROCESS_NONE,
	    .file = -1,
	    .log = -1};
	rc =
	    check_image(domain, string_argument(request, "backing"), 0, &error);
	if (rc == 0)
		rc = overlay_path(daemon, domain, request, &o->path, &error);
	if (rc == 0)
		rc = spawn_make_log(&o->log, &error);
	if (rc == 0)
		rc = reserve_overlay(domain, o->path, &o->file, &error);
	if (rc < 0) {
		peer_fail(request, &error);
		overlay_free(o);
		return;
	}
	if (spawn_qemu_img(o, &error) < 0)
		overlay_failed(o, &error);
}

static void
handle_remove_overlay(
    struct daemon *daemon, struct domain *domain, struct peer_request *request)
{
	(void)daemon;
	registry_drop_overlay(domain, string_argument(request, "path"));
	peer_return(request, json_object(), NULL, 0);
}

static void (*const handlers[ROLE_NEED_COUNT])(struct daemon *daemon,
    struct domain *domain, struct peer_request *request) = {
    [ROLE_START_QEMU] = handle_start_qemu,
    [ROLE_OPEN_IMAGE] = handle_open_image,
    [ROLE_MAKE_OVERLAY] = handle_make_overlay,
    [ROLE_REMOVE_OVERLAY] = handle_remove_overlay,
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
