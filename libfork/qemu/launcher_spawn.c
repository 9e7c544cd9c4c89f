/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The launcher that starts programs as children of this process. It opens what
 * the argument vector asks for and puts each descriptor under its number;
 * nothing else is inherited.
 */
#include <libfork/launcher.h>

#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <libfork/domain_config.h>
#include <libfork/qemu.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "qemu/program.h"

struct spawner {
	struct lf_launcher launcher;
	char *qemu;
	char *qemu_img;
	char *overlay_dir;
	bool end_with_thread;
};

static struct spawner *
spawner_of(struct lf_launcher *launcher)
{
	return launcher->opaque;
}

/* --- descriptors for QEMU --- */

static int
open_tap(const char *name, struct lf_error *error)
{
	cleanup_close int fd = -1;
	struct ifreq request = {
	    .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
	};

	if (strlen(name) >= sizeof(request.ifr_name))
		return error_set(
		    error, EINVAL, "tap '%s': name too long", name);
	strcpy(request.ifr_name, name);
	fd = sys.open("/dev/net/tun", O_RDWR | O_CLOEXEC, 0);
	if (fd < 0 || sys.ioctl(fd, TUNSETIFF, &request) < 0)
		return error_sys(error, errno, "cannot open tap '%s'", name);
	return take_fd(&fd);
}

static int
open_listener(const char *path, struct lf_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(error, ENAMETOOLONG,
		    "socket '%s': at most %zu bytes", path,
		    sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	fd = sys.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    sys.bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    sys.listen(fd, 1) < 0)
		return error_sys(
		    error, errno, "cannot listen on socket '%s'", path);
	return take_fd(&fd);
}

/* A descriptor of our own for one that QEMU needs. */
static int
open_for(const struct lf_qemu_fd *want, int ram_fd, int qmp_fd,
    struct lf_error *error)
{
	int fd = -1;

	switch (want->kind) {
	case LF_QEMU_FD_RAM:
		fd = sys.fcntl(ram_fd, F_DUPFD_CLOEXEC, 0);
		break;
	case LF_QEMU_FD_QMP:
		fd = sys.fcntl(qmp_fd, F_DUPFD_CLOEXEC, 0);
		break;
	case LF_QEMU_FD_FILE:
		fd = sys.open(want->path, want->open_flags | O_CLOEXEC, 0600);
		if (fd < 0)
			return error_sys(error, errno, "%s: cannot open '%s'",
			    want->what, want->path);
		break;
	case LF_QEMU_FD_TAP:
		return open_tap(want->path, error);
	case LF_QEMU_FD_LISTEN:
		return open_listener(want->path, error);
	}
	return fd >= 0 ? fd : error_sys(error, errno, "%s", want->what);
}

static void
close_fds(int *fds, size_t count)
{
	while (count > 0)
		close_fd(fds[--count]);
	free(fds);
}

static int
open_fds(const struct lf_qemu_argv *argv, int ram_fd, int qmp_fd, int **ret_fds,
    struct lf_error *error)
{
	int *fds = sys.calloc(argv->fd_count + 1, sizeof(*fds));
	size_t i;

	if (fds == NULL)
		return error_nomem(error);
	for (i = 0; i < argv->fd_count; i++) {
		fds[i] = open_for(&argv->fds[i], ram_fd, qmp_fd, error);
		if (fds[i] < 0) {
			int rc = fds[i];

			close_fds(fds, i);
			return rc;
		}
	}
	*ret_fds = fds;
	return 0;
}

/* --- QEMU --- */

/* Which layers are block devices; the copies are the caller's to free. */
static int
look_at_layers(const struct lf_qemu_chain *from, size_t count,
    struct lf_qemu_chain **ret_chains, struct lf_error *error)
{
	struct lf_qemu_chain *chains;
	struct lf_qemu_layer *layers;
	size_t total = 0, i, j;

	*ret_chains = NULL;
	if (from == NULL)
		return 0;
	for (i = 0; i < count; i++)
		total += from[i].count;
	chains = sys.calloc(
	    1, count * sizeof(*chains) + (total + 1) * sizeof(*layers));
	if (chains == NULL)
		return error_nomem(error);
	layers = (struct lf_qemu_layer *)(chains + count);
	for (i = 0; i < count; i++) {
		chains[i].layers = layers;
		chains[i].count = from[i].count;
		for (j = 0; j < from[i].count; j++, layers++) {
			struct stat st;

			*layers = from[i].layers[j];
			layers->block_device =
			    sys.stat(layers->path, &st) == 0 &&
			    S_ISBLK(st.st_mode);
		}
	}
	*ret_chains = chains;
	return 0;
}

static int
build_argv(const struct spawner *spawner, const struct lf_qemu_request *request,
    struct lf_qemu_argv **ret_argv, struct lf_error *error)
{
	struct lf_qemu_chain *disks = NULL, *nvram = NULL;
	char vnc[PATH_MAX];
	int rc;

	snprintf(vnc, sizeof(vnc), "%s/%s.vnc",
	    spawner->overlay_dir != NULL ? spawner->overlay_dir : "/tmp",
	    request->config->name);
	rc = look_at_layers(
	    request->disks, request->config->disk_count, &disks, error);
	if (rc == 0)
		rc = look_at_layers(request->nvram, 1, &nvram, error);
	if (rc == 0) {
		struct lf_qemu_argv_options options = {
		    .program = spawner->qemu,
		    .share_ram = request->share_ram,
		    .incoming = request->incoming,
		    .probe = request->probe,
		    .paused = true,
		    .disks = disks,
		    .nvram = nvram,
		    .vnc_socket = vnc,
		};

		rc = lf_qemu_argv_build(
		    request->config, &options, ret_argv, error);
	}
	free(disks);
	free(nvram);
	return rc;
}

static int
start_with(struct spawner *spawner, const struct lf_qemu_argv *argv, int ram_fd,
    struct lf_qemu_process *process, struct lf_error *error)
{
	cleanup_close int qemu_end = -1;
	int sv[2], *fds = NULL, rc;
	struct program program = {
	    .argv = argv->argv,
	    .fd_count = argv->fd_count,
	    .end_with_thread = spawner->end_with_thread,
	};

	if (sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return error_sys(error, errno, "cannot make QEMU's monitor");
	process->qmp_fd = sv[0];
	qemu_end = sv[1];
	rc = open_fds(argv, ram_fd, qemu_end, &fds, error);
	if (rc < 0)
		return rc;
	program.fds = fds;
	rc = program_start(
	    &program, &process->pid, &process->pidfd, &process->log_fd, error);
	close_fds(fds, argv->fd_count);
	return rc;
}

static void
spawn_end(struct lf_launcher *launcher, struct lf_qemu_process *process)
{
	(void)launcher;
	program_end(process->pid, process->pidfd);
	close_fd(process->pidfd);
	close_fd(process->qmp_fd);
	close_fd(process->log_fd);
	*process = LF_QEMU_PROCESS_NONE;
}

static int
spawn_start(struct lf_launcher *launcher, const struct lf_qemu_request *request,
    struct lf_qemu_process *ret_process, struct lf_error *error)
{
	struct spawner *spawner = spawner_of(launcher);
	struct lf_qemu_process process = LF_QEMU_PROCESS_NONE;
	struct lf_qemu_argv *argv = NULL;
	int rc;

	rc = build_argv(spawner, request, &argv, error);
	if (rc < 0)
		return rc;
	rc = start_with(spawner, argv, request->ram_fd, &process, error);
	lf_qemu_argv_free(argv);
	if (rc < 0) {
		spawn_end(launcher, &process);
		return rc;
	}
	*ret_process = process;
	return 0;
}

/* --- overlays --- */

/* Whether an existing file is a qcow2 on this backing image. */
static int
check_overlay(struct spawner *spawner, const char *path, const char *backing,
    struct lf_error *error)
{
	char *argv[] = {spawner->qemu_img, "info", "-U", "--output=json",
	    (char *)path, NULL};
	cleanup_free char *text = NULL;
	json_t *info;
	const char *format, *its;
	bool good;
	int rc = program_run(argv, &text, error);

	if (rc < 0)
		return rc;
	info = json_loads(text, 0, NULL);
	format = json_string_value(json_object_get(info, "format"));
	its = json_string_value(json_object_get(info, "full-backing-filename"));
	good = format != NULL && strcmp(format, "qcow2") == 0 && its != NULL &&
	       strcmp(its, backing) == 0;
	json_decref(info);
	return good ? 0
		    : error_set(error, EEXIST,
			  "'%s' exists and is no qcow2 on '%s'; give the "
			  "fork's disk another path",
			  path, backing);
}

/* A path in the overlay directory that no file has. */
static int
choose_path(struct spawner *spawner, const char *label, char **ret_path,
    struct lf_error *error)
{
	unsigned n;

	if (spawner->overlay_dir == NULL)
		return error_set(error, EINVAL,
		    "overlay '%s': no directory for overlays was given", label);
	for (n = 0; n < 1000000; n++) {
		struct stat st;
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s-%u.qcow2",
		    spawner->overlay_dir, label, n);
		if (sys.stat(path, &st) == 0)
			continue;
		if (errno != ENOENT)
			return error_sys(
			    error, errno, "cannot look at '%s'", path);
		*ret_path = sys.strdup(path);
		return *ret_path != NULL ? 0 : error_nomem(error);
	}
	return error_set(error, EEXIST, "'%s' is full of overlays '%s'",
	    spawner->overlay_dir, label);
}

static int
spawn_make_overlay(struct lf_launcher *launcher,
    const struct lf_overlay_request *request, char **ret_path,
    struct lf_error *error)
{
	struct spawner *spawner = spawner_of(launcher);
	cleanup_free char *path = NULL;
	struct stat st;
	int rc;

	if (request->path != NULL) {
		path = sys.strdup(request->path);
		if (path == NULL)
			return error_nomem(error);
	} else {
		rc = choose_path(spawner, request->label, &path, error);
		if (rc < 0)
			return rc;
	}
	if (sys.stat(path, &st) == 0) {
		rc = check_overlay(spawner, path, request->backing, error);
	} else {
		char *argv[] = {spawner->qemu_img, "create", "-q", "-f",
		    "qcow2", "-F", (char *)request->backing_format, "-b",
		    (char *)request->backing, path, NULL};

		rc = program_run(argv, NULL, error);
		if (rc < 0)
			sys.unlink(path);
	}
	if (rc < 0)
		return error_prefix(
		    error, rc, "overlay for '%s'", request->backing);
	*ret_path = take_ptr(path);
	return 0;
}

static void
spawn_remove_overlay(struct lf_launcher *launcher, const char *path)
{
	(void)launcher;
	sys.unlink(path);
}

/* --- birth and death --- */

static char *
copy_or(const char *given, const char *otherwise)
{
	return sys.strdup(given != NULL ? given : otherwise);
}

int
lf_launcher_spawn_new(const struct lf_launcher_spawn_options *options,
    struct lf_launcher **ret_launcher, struct lf_error *error)
{
	static const struct lf_launcher_spawn_options defaults;
	struct spawner *spawner = sys.calloc(1, sizeof(*spawner));

	if (spawner == NULL)
		return error_nomem(error);
	if (options == NULL)
		options = &defaults;
	spawner->launcher = (struct lf_launcher){
	    .opaque = spawner,
	    .start_qemu = spawn_start,
	    .end_qemu = spawn_end,
	    .make_overlay = spawn_make_overlay,
	    .remove_overlay = spawn_remove_overlay,
	};
	spawner->end_with_thread = options->end_with_thread;
	spawner->qemu = copy_or(options->qemu, LF_QEMU_PROGRAM);
	spawner->qemu_img = copy_or(options->qemu_img, "qemu-img");
	if (options->overlay_dir != NULL)
		spawner->overlay_dir = sys.strdup(options->overlay_dir);
	if (spawner->qemu == NULL || spawner->qemu_img == NULL ||
	    (options->overlay_dir != NULL && spawner->overlay_dir == NULL)) {
		lf_launcher_spawn_free(&spawner->launcher);
		return error_nomem(error);
	}
	*ret_launcher = &spawner->launcher;
	return 0;
}

void
lf_launcher_spawn_free(struct lf_launcher *launcher)
{
	struct spawner *spawner;

	if (launcher == NULL)
		return;
	spawner = spawner_of(launcher);
	free(spawner->qemu);
	free(spawner->qemu_img);
	free(spawner->overlay_dir);
	free(spawner);
}
