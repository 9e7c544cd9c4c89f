/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs by asking forkd: the worker asks, the main thread sends the question
 * and hands the answer back.
 */
#include "forkd/domain_launcher.h"

#include <errno.h>
#include <libfork/domain_config.h>
#include <libfork/qemu.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/domain_process.h"
#include "forkd/qcow2.h"
#include "forkd/role.h"
#include "forkd/spawn.h"

/* forkd answers at once, but for a qemu-img on a slow disk. */
#define NEED_MS 60000

/* How long a killed QEMU may take to be gone. */
#define END_MS 10000

/* What the worker waits for. */
struct need {
	enum role_need_id id;
	struct peer_load load;
	bool sent, done;
	json_t *result;
	int *ret_fds;
	size_t fd_wanted;
	int rc;
	struct lf_error error;
};

/* The answer is there: the worker may go on. */
static void
finish(struct domain_process *p, struct need *need)
{
	pthread_mutex_lock(&p->lock);
	need->done = true;
	pthread_cond_signal(&p->answered);
	pthread_mutex_unlock(&p->lock);
}

static void
on_answer(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct domain_process *p = opaque;
	struct need *need = p->need;
	size_t i;

	if (error != NULL) {
		need->error = *error;
		need->rc = error->code;
	} else if (answer->fd_count != need->fd_wanted)
		need->rc = error_set(&need->error, EBADMSG,
		    "forkd sent %zu descriptors, %zu wanted", answer->fd_count,
		    need->fd_wanted);
	else {
		/* References to one value are not counted across threads. */
		need->result = json_deep_copy(result);
		if (need->result == NULL)
			need->rc = error_nomem(&need->error);
		for (i = 0; need->rc == 0 && i < need->fd_wanted; i++)
			need->ret_fds[i] = channel_message_take_fd(answer, i);
	}
	finish(p, need);
}

void
domain_need_send(struct domain_process *p)
{
	struct peer_load load;
	struct need *need;

	pthread_mutex_lock(&p->lock);
	need = p->need;
	if (need != NULL && need->sent)
		need = NULL;
	if (need != NULL)
		need->sent = true;
	pthread_mutex_unlock(&p->lock);
	if (need == NULL)
		return;
	if (p->peer == NULL) {
		need->rc = error_set(&need->error, EPIPE,
		    "forkd went away before it could be asked to '%s'",
		    role_needs[need->id].name);
		finish(p, need);
		return;
	}
	load = need->load;
	need->load.take_arguments = NULL;
	peer_call(
	    p->peer, role_needs[need->id].name, &load, NEED_MS, on_answer, p);
}

/*
 * Asks forkd for something in a domain's name and waits for the answer, which
 * the main thread brings. Takes the arguments, of which there are none when
 * memory is short; `ret_fds` gets exactly `fd_wanted` descriptors, `result` is
 * the caller's.
 */
static int
ask_forkd(
    const struct domain_launcher *h, struct need *need, struct lf_error *error)
{
	struct domain_process *p = h->process;
	uint64_t one = 1;

	if (need->load.take_arguments == NULL)
		return error_nomem(error);
	if (p->over) {
		json_decref(need->load.take_arguments);
		return error_set(error, EPIPE,
		    "there is no forkd that could be asked to '%s'",
		    role_needs[need->id].name);
	}
	json_object_set_new(
	    need->load.take_arguments, "domain", json_integer(h->id));
	pthread_mutex_lock(&p->lock);
	p->need = need;
	if (sys.write(p->wake_fd, &one, sizeof(one)) < 0) {
		need->rc = error_sys(
		    &need->error, errno, "cannot wake the main thread");
		need->done = true;
	}
	while (!need->done)
		pthread_cond_wait(&p->answered, &p->lock);
	p->need = NULL;
	pthread_mutex_unlock(&p->lock);
	json_decref(need->load.take_arguments);
	if (need->rc < 0 && error != NULL)
		*error = need->error;
	return need->rc;
}

/* --- images --- */

struct image {
	bool qcow2;
	struct qcow2 header; /* of a qcow2 */
	uint64_t bytes;      /* of the disk */
};

/*
 * What an image is (`format` NULL: whatever it is). Its content was made by a
 * guest, maybe: this process is the place to look at it.
 */
static int
look_at(const struct domain_launcher *h, const char *path, const char *format,
    struct image *ret, struct lf_error *error)
{
	cleanup_close int fd = -1;
	struct need need = {.id = ROLE_OPEN_IMAGE,
	    .load.take_arguments = json_pack("{s:s}", "path", path),
	    .ret_fds = &fd,
	    .fd_wanted = 1};
	off_t end;
	int rc;

	rc = ask_forkd(h, &need, error);
	json_decref(need.result);
	if (rc < 0)
		return rc;
	*ret = (struct image){0};
	if (format == NULL || strcmp(format, "raw") != 0) {
		rc = qcow2_read(fd, path, &ret->header, error);
		if (rc < 0)
			return rc;
		ret->qcow2 = rc > 0;
		ret->bytes = ret->header.bytes;
		if (format != NULL && !ret->qcow2)
			return error_set(
			    error, EINVAL, "image '%s' is not a qcow2", path);
		return 0;
	}
	/* Works for block devices, too. */
	end = sys.lseek(fd, 0, SEEK_END);
	if (end < 0)
		return error_sys(
		    error, errno, "cannot find the size of '%s'", path);
	ret->bytes = (uint64_t)end;
	return 0;
}

/* Where a backing file lies: relative to the image that names it. */
static int
backing_path(const char *image, const char *name, char *ret_path, size_t size,
    struct lf_error *error)
{
	const char *slash = strrchr(image, '/');
	int dir = name[0] == '/' ? 0 : (int)(slash - image) + 1;

	if ((size_t)snprintf(ret_path, size, "%.*s%s", dir, image, name) >=
	    size)
		return error_set(error, ENAMETOOLONG,
		    "image '%s': its backing file's path is too long", image);
	return 0;
}

/*
 * Adds to a chain what its last image is based on, down to the one that is
 * based on nothing: QEMU opens nothing that a header names.
 */
static int
complete_chain(
    const struct domain_launcher *h, json_t *chain, struct lf_error *error)
{
	for (;;) {
		const json_t *last =
		    json_array_get(chain, json_array_size(chain) - 1);
		const char *path =
		    json_string_value(json_object_get(last, "path"));
		const char *format =
		    json_string_value(json_object_get(last, "format"));
		char below[LF_PATH_MAX + 1];
		struct image image;
		int rc;

		if (strcmp(format, lf_disk_format_name(LF_DISK_QCOW2)) != 0)
			return 0;
		rc = look_at(h, path, format, &image, error);
		if (rc < 0 || image.header.backing[0] == '\0')
			return rc;
		if (json_array_size(chain) >= LF_QEMU_LAYERS_MAX)
			return error_set(error, EINVAL,
			    "image '%s': more than %d images on each other",
			    path, LF_QEMU_LAYERS_MAX);
		if (image.header.format[0] == '\0')
			return error_set(error, EINVAL,
			    "image '%s' does not say which format its backing "
			    "file has; use 'qemu-img rebase -u -F FORMAT'",
			    path);
		rc = backing_path(
		    path, image.header.backing, below, sizeof(below), error);
		if (rc < 0)
			return rc;
		if (json_array_append_new(
			chain, json_pack("{s:s, s:s}", "path", below, "format",
				   image.header.format)) < 0)
			return error_nomem(error);
	}
}

/* --- QEMU --- */

static int
chain_value(const struct domain_launcher *h, const struct lf_qemu_chain *chain,
    json_t **ret_value, struct lf_error *error)
{
	json_t *value = json_array();
	int rc = 0;
	size_t i;

	for (i = 0; i < chain->count; i++)
		if (json_array_append_new(value,
			json_pack("{s:s, s:s}", "path", chain->layers[i].path,
			    "format",
			    lf_disk_format_name(chain->layers[i].format))) < 0)
			rc = error_nomem(error);
	if (rc == 0 && chain->count > 0)
		rc = complete_chain(h, value, error);
	if (rc < 0)
		json_decref(value);
	else
		*ret_value = value;
	return rc;
}

/*
 * The files of all disks and of the flash variables, into the arguments: all of
 * them, as forkd takes those of the configuration for what is missing, which
 * are the parent's.
 */
static int
add_files(const struct domain_launcher *h,
    const struct lf_qemu_request *request, json_t *arguments,
    struct lf_error *error)
{
	json_t *disks, *chain = NULL;
	int rc = 0;
	size_t i;

	if (request->disks != NULL) {
		disks = json_array();
		if (json_object_set_new(arguments, "disks", disks) < 0)
			rc = error_nomem(error);
		for (i = 0; rc == 0 && i < request->config->disk_count; i++) {
			rc = chain_value(h, &request->disks[i], &chain, error);
			if (rc == 0 && json_array_append_new(disks, chain) < 0)
				rc = error_nomem(error);
		}
	}
	if (rc == 0 && request->nvram != NULL) {
		rc = chain_value(h, request->nvram, &chain, error);
		if (rc == 0 &&
		    json_object_set_new(arguments, "nvram", chain) < 0)
			rc = error_nomem(error);
	}
	return rc;
}

static int
make_arguments(const struct domain_launcher *h,
    const struct lf_qemu_request *request, json_t **ret_arguments,
    struct lf_error *error)
{
	json_t *arguments;
	int rc;

	arguments = json_pack("{s:i, s:b, s:b, s:b}", "ram", 0, "share-ram",
	    request->share_ram, "incoming", request->incoming, "probe",
	    request->probe);
	if (arguments == NULL)
		return error_nomem(error);
	rc = add_files(h, request, arguments, error);
	if (rc < 0) {
		json_decref(arguments);
		return rc;
	}
	*ret_arguments = arguments;
	return 0;
}

static void
end_qemu(struct lf_launcher *launcher, struct lf_qemu_process *process)
{
	struct pollfd p = {.fd = process->pidfd, .events = POLLIN};

	(void)launcher;
	if (process->pidfd >= 0) {
		pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
		while (sys.poll(&p, 1, END_MS) < 0 && errno == EINTR)
			;
	}
	close_fd(process->pidfd);
	close_fd(process->qmp_fd);
	close_fd(process->log_fd);
	*process = LF_QEMU_PROCESS_NONE;
}

static int
start_qemu(struct lf_launcher *launcher, const struct lf_qemu_request *request,
    struct lf_qemu_process *ret_process, struct lf_error *error)
{
	const struct domain_launcher *h = launcher->opaque;
	int fds[4], rc;
	struct need need = {.id = ROLE_START_QEMU,
	    .load = {.fds = &request->ram_fd, .fd_count = 1},
	    .ret_fds = fds,
	    .fd_wanted = 4};

	rc = make_arguments(h, request, &need.load.take_arguments, error);
	if (rc == 0)
		rc = ask_forkd(h, &need, error);
	if (rc < 0)
		return rc;
	*ret_process =
	    (struct lf_qemu_process){.pid = (pid_t)json_integer_value(
					 json_object_get(need.result, "pid")),
		.pidfd = fds[0],
		.qmp_fd = fds[1],
		.log_fd = fds[2]};
	json_decref(need.result);
	/* It waits until we have it in hand. */
	rc = spawn_go(fds[3], error);
	if (rc < 0)
		end_qemu(launcher, ret_process);
	return rc;
}

/* --- overlays --- */

/* 1: a file of this name is there and is what it has to be. */
static int
check_existing(const struct domain_launcher *h,
    const struct lf_overlay_request *request, struct lf_error *error)
{
	struct image image;
	int rc;

	if (request->path == NULL)
		return 0;
	rc = look_at(h, request->path, NULL, &image, error);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	if (image.qcow2 && strcmp(image.header.backing, request->backing) == 0)
		return 1;
	return error_set(error, EEXIST,
	    "'%s' exists and is no qcow2 on '%s'; give the fork's disk "
	    "another path",
	    request->path, request->backing);
}

static int
ask_for_overlay(const struct domain_launcher *h,
    const struct lf_overlay_request *request, uint64_t bytes, char **ret_path,
    struct lf_error *error)
{
	struct need need = {.id = ROLE_MAKE_OVERLAY,
	    .load.take_arguments = json_pack("{s:s, s:s, s:I, s:s*, s:s*}",
		"backing", request->backing, "format", request->backing_format,
		"bytes", (json_int_t)bytes, "path", request->path, "label",
		request->label)};
	int rc;

	rc = ask_forkd(h, &need, error);
	if (rc == 0) {
		const char *path =
		    json_string_value(json_object_get(need.result, "path"));

		*ret_path = path != NULL ? sys.strdup(path) : NULL;
		if (*ret_path == NULL)
			rc = error_nomem(error);
	}
	json_decref(need.result);
	return rc;
}

static int
make_overlay(struct lf_launcher *launcher,
    const struct lf_overlay_request *request, char **ret_path,
    struct lf_error *error)
{
	const struct domain_launcher *h = launcher->opaque;
	struct image image;
	int rc;

	rc = check_existing(h, request, error);
	if (rc > 0) {
		*ret_path = sys.strdup(request->path);
		return *ret_path != NULL ? 0 : error_nomem(error);
	}
	if (rc == 0)
		rc = look_at(h, request->backing, request->backing_format,
		    &image, error);
	if (rc == 0)
		rc = ask_for_overlay(h, request, image.bytes, ret_path, error);
	return rc;
}

static void
remove_overlay(struct lf_launcher *launcher, const char *path)
{
	struct need need = {.id = ROLE_REMOVE_OVERLAY,
	    .load.take_arguments = json_pack("{s:s}", "path", path)};
	struct lf_error ignored;

	ask_forkd(launcher->opaque, &need, &ignored);
	json_decref(need.result);
}

void
domain_launcher_init(struct domain_launcher *launcher,
    struct domain_process *process, unsigned id)
{
	*launcher =
	    (struct domain_launcher){.lf = {.opaque = launcher,
					 .start_qemu = start_qemu,
					 .end_qemu = end_qemu,
					 .make_overlay = make_overlay,
					 .remove_overlay = remove_overlay},
		.process = process,
		.id = id};
}
