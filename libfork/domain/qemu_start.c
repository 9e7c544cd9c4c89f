/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bringing a QEMU up. Every wait is bounded, and a QEMU that does not come up
 * is gone with all its descriptors and overlays before the error is returned.
 */
#include "domain/qemu_domain.h"

#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/host.h>

#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "domain/dm_pool.h"
#include "qemu/devfile.h"
#include "qemu/program.h"
#include "snapshot/snapshot.h"

/* From exec to the greeting: generous, for machines under load. */
#define START_TIMEOUT_MS 30000
/* A side of a migration that is silent for so long is stuck. */
#define SILENCE_MS 30000

void
qemu_domain_free(struct qemu_domain *domain)
{
	if (domain == NULL)
		return;
	qmp_free(domain->qmp);
	domain->launcher->end_qemu(domain->launcher, &domain->process);
	qemu_disks_done(&domain->disks, domain->launcher);
	lf_snapshot_unref(domain->stopped_at);
	ram_file_unref(domain->ram);
	lf_domain_config_free(domain->config);
	if (domain->has_past)
		pthread_join(domain->past, NULL);
	free(domain);
}

int
qemu_explain(struct qemu_domain *domain, int rc, struct lf_error *error)
{
	struct pollfd pfd = {.fd = domain->process.pidfd, .events = POLLIN};
	char words[512];

	/* It may be about to die: what it says then is worth a moment. */
	if (rc != -EPIPE || pfd.fd < 0 || sys.poll(&pfd, 1, 1000) <= 0)
		return rc;
	program_last_words(domain->process.log_fd, words, sizeof(words));
	return error_set(error, EIO, "QEMU ended: %s",
	    words[0] != '\0' ? words : "it said nothing");
}

static int
domain_new(struct lf_launcher *launcher, struct qemu_domain **ret_domain,
    struct lf_error *error)
{
	struct qemu_domain *domain;

	if (launcher == NULL)
		return error_set(error, EINVAL,
		    "a domain on QEMU needs a launcher to start it");
	domain = sys.calloc(1, sizeof(*domain));
	if (domain == NULL)
		return error_nomem(error);
	domain->launcher = launcher;
	domain->process = LF_QEMU_PROCESS_NONE;
	*ret_domain = domain;
	return 0;
}

/* Starts the process; it takes some 30 ms until it answers. */
static int
start_process(struct qemu_domain *domain, bool incoming, struct lf_error *error)
{
	struct lf_qemu_request request = {
	    .config = domain->config,
	    .ram_fd = ram_file_fd(domain->ram),
	    .share_ram = !domain->private_ram,
	    .incoming = incoming,
	    .disks = domain->disks.disks,
	    .nvram =
		domain->disks.nvram.count > 0 ? &domain->disks.nvram : NULL,
	};

	return domain->launcher->start_qemu(
	    domain->launcher, &request, &domain->process, error);
}

/* Waits for its greeting. */
static int
connect_monitor(struct qemu_domain *domain, struct lf_error *error)
{
	int qmp_fd = take_fd(&domain->process.qmp_fd);
	int rc = qmp_new(qmp_fd, START_TIMEOUT_MS, &domain->qmp, error);

	return rc < 0 ? qemu_explain(domain, rc, error) : 0;
}

/*
 * The accelerator is settled before the domain begins: its forks have to have
 * the same one, on whatever host.
 */
static int
choose_accelerator(struct lf_domain_config *config, struct lf_error *error)
{
	struct lf_host host;
	char reason[256];
	int rc;

	if (config->accelerator != LF_ACCELERATOR_AUTO)
		return 0;
	rc = lf_host_probe(&host, error);
	if (rc < 0)
		return error_prefix(error, rc, "accelerator");
	config->accelerator = lf_host_prefers_kvm(&host, reason, sizeof(reason))
				  ? LF_ACCELERATOR_KVM
				  : LF_ACCELERATOR_TCG;
	log_info("domain '%s': accelerator %s: %s", config->name,
	    lf_accelerator_name(config->accelerator), reason);
	return 0;
}

int
qemu_boot(const struct lf_domain_config *config, struct lf_launcher *launcher,
    struct qemu_domain **ret_domain, struct lf_error *error)
{
	cleanup(qemu_domain_free_p) struct qemu_domain *domain = NULL;
	int rc;

	rc = domain_new(launcher, &domain, error);
	if (rc == 0)
		rc = lf_domain_config_check(config, error);
	if (rc == 0)
		rc = lf_domain_config_copy(config, &domain->config, error);
	if (rc == 0)
		rc = lf_domain_config_complete(domain->config, error);
	if (rc == 0)
		rc = choose_accelerator(domain->config, error);
	if (rc == 0)
		rc = qemu_disks_from_config(
		    &domain->disks, domain->config, error);
	if (rc == 0)
		rc = ram_file_new(
		    "guest memory", config->memory_bytes, &domain->ram, error);
	if (rc == 0)
		rc = start_process(domain, false, error);
	if (rc == 0)
		rc = connect_monitor(domain, error);
	if (rc < 0)
		return rc;
	*ret_domain = take_ptr(domain);
	return 0;
}

/* --- migration, both ends --- */

int
qemu_prepare_migration(struct qemu_domain *domain, struct lf_error *error)
{
	json_t *capabilities = json_pack("{s:[{s:s, s:b}, {s:s, s:b}]}",
	    "capabilities", "capability", "x-ignore-shared", "state", 1,
	    "capability", "events", "state", 1);

	if (capabilities == NULL)
		return error_nomem(error);
	return qmp_execute(
	    domain->qmp, "migrate-set-capabilities", capabilities, NULL, error);
}

bool
qemu_migration_ended(const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));

	return status != NULL && (strcmp(status, "completed") == 0 ||
				     strcmp(status, "failed") == 0 ||
				     strcmp(status, "cancelled") == 0);
}

int
qemu_query_status(
    struct qemu_domain *domain, char *buf, size_t size, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *answer = NULL;
	const char *status;
	int rc;

	rc = qmp_execute(domain->qmp, "query-status", NULL, &answer, error);
	if (rc < 0)
		return rc;
	status = json_string_value(json_object_get(answer, "status"));
	if (status == NULL || strlen(status) >= size)
		return error_set(
		    error, EBADMSG, "QEMU does not say what state it is in");
	strcpy(buf, status);
	return 0;
}

/* --- from a snapshot --- */

int
qemu_start_config(const struct lf_snapshot *snapshot,
    const struct qemu_start *start, struct lf_domain_config **ret_config,
    struct lf_domain_config **ret_parent, struct lf_error *error)
{
	cleanup_free char *text = NULL;
	int rc;

	if (snapshot->configuration == NULL || snapshot->devstate_fd < 0)
		return error_set(error, EINVAL,
		    "the snapshot has no device state: only a domain that was "
		    "booted by QEMU can be forked onto QEMU");
	text = json_dumps(snapshot->configuration, JSON_COMPACT);
	if (text == NULL)
		return error_nomem(error);
	rc = lf_domain_config_from_json(text, strlen(text), ret_parent, error);
	if (rc < 0)
		return error_prefix(error, rc, "the snapshot's configuration");
	if (start->config == NULL)
		return lf_domain_config_derive(*ret_parent,
		    start->name != NULL ? start->name : "fork", ret_config,
		    error);
	rc = lf_domain_config_copy(start->config, ret_config, error);
	if (rc == 0)
		rc = lf_domain_config_check_fork(
		    *ret_parent, *ret_config, error);
	return rc < 0
		   ? rc
		   : lf_domain_config_inherit(*ret_config, *ret_parent, error);
}

/* Names the descriptor that the stream comes through and lets QEMU wait. */
static int
begin_incoming(
    struct qemu_domain *domain, int *ret_sock, struct lf_error *error)
{
	cleanup_close int ours = -1, theirs = -1;
	json_t *arguments;
	int sv[2], rc;

	if (sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return error_sys(error, errno, "cannot make a socket pair");
	ours = sv[0];
	theirs = sv[1];
	if (sys.fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return error_sys(error, errno, "stream to QEMU");
	rc = qemu_prepare_migration(domain, error);
	if (rc == 0)
		rc = qmp_getfd(domain->qmp, "snapshot", theirs, error);
	if (rc < 0)
		return rc;
	arguments = json_pack("{s:s}", "uri", "fd:snapshot");
	if (arguments == NULL)
		return error_nomem(error);
	rc = qmp_execute(
	    domain->qmp, "migrate-incoming", arguments, NULL, error);
	if (rc < 0)
		return rc;
	*ret_sock = take_fd(&ours);
	return 0;
}

static int
finish_incoming(struct qemu_domain *domain, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *event = NULL;
	const char *status;
	int rc;

	rc = qmp_wait_event(domain->qmp, SILENCE_MS, "MIGRATION",
	    qemu_migration_ended, &event, error);
	if (rc < 0)
		return rc;
	status = json_string_value(
	    json_object_get(json_object_get(event, "data"), "status"));
	if (strcmp(status, "completed") != 0)
		/* QEMU says why on standard error, and ends. */
		return error_set(
		    error, EPIPE, "QEMU did not accept the snapshot's state");
	return 0;
}

int
qemu_start_ready(
    struct qemu_domain *domain, int *ret_sock, struct lf_error *error)
{
	int rc = connect_monitor(domain, error);

	if (rc < 0)
		return rc;
	rc = begin_incoming(domain, ret_sock, error);
	return rc < 0 ? qemu_explain(domain, rc, error) : 0;
}

/* The streams that a start needs: the snapshot's, and the user's if given. */
struct streams {
	struct devfile *own;
	struct devfile *given;
};

static int
read_streams(struct streams *streams, const struct lf_snapshot *snapshot,
    int devstate_fd, struct lf_error *error)
{
	int rc;

	rc = devfile_read(snapshot->devstate_fd, NULL, &streams->own, error);
	if (rc < 0)
		return error_prefix(error, rc, "the snapshot");
	if (devstate_fd < 0)
		return 0;
	rc = devfile_read(
	    devstate_fd, streams->own->stream, &streams->given, error);
	return rc < 0 ? rc
		      : devfile_check(streams->own->stream,
			    streams->given->stream, error);
}

/* What a QEMU in the memory of the image is sent. */
static struct stream_plan
make_plan(const struct ram_image *image, const struct streams *streams,
    const struct qemu_now *now)
{
	if (now != NULL)
		return (struct stream_plan){
		    .base = now->base,
		    .devices = now->devices,
		    .image = image,
		    .ram_idstr = LF_QEMU_RAM_ID,
		    .view = now->view,
		    .runs = now->runs,
		    .run_count = now->run_count,
		};
	return (struct stream_plan){
	    .base = streams->own->stream,
	    .devices = streams->given != NULL ? streams->given->stream : NULL,
	    .image = image,
	    .ram_idstr = LF_QEMU_RAM_ID,
	};
}

/*
 * What QEMU will be after it took a stream is in that stream (its
 * migration/migration.c, process_incoming_migration_bh): of a guest that ran
 * or was paused, it is paused.
 */
static int
check_run_state(const struct stream *stream, struct lf_error *error)
{
	const struct stream_section *section =
	    stream_find(stream, "globalstate", 0);
	const struct vmdesc_node *text = NULL;
	const char *state;

	if (section == NULL)
		return 0;
	if (section->device != NULL)
		text = vmdesc_find(section->device->nodes,
		    section->device->node_count, "runstate", -1);
	if (text == NULL || text->size == 0)
		return error_set(error, ENOTSUP,
		    "section 'globalstate' of the device state is not one that "
		    "libfork knows");
	state = (const char *)stream->data + section->offset + text->offset;
	if (strnlen(state, text->size) < text->size &&
	    (strcmp(state, "paused") == 0 || strcmp(state, "running") == 0 ||
		strcmp(state, "prelaunch") == 0))
		return 0;
	return error_set(error, EINVAL,
	    "the device state is of a guest that is '%.*s' and cannot go on",
	    (int)strnlen(state, text->size < 32 ? text->size : 32), state);
}

/* A snapshot may come from another process: guest memory is file 0, whole. */
static int
check_memory(const struct ram_image *image,
    const struct lf_domain_config *config, struct lf_error *error)
{
	const struct ram_block *block =
	    ram_image_find_block(image, LF_QEMU_RAM_ID);

	if (block == NULL || block->file != 0 || block->offset != 0 ||
	    block->length != config->memory_bytes ||
	    ram_file_size(image->files[0]) != config->memory_bytes)
		return error_set(error, EBADMSG,
		    "the snapshot's guest memory is not what its "
		    "configuration says");
	return 0;
}

/*
 * The snapshot's memory and disks under a QEMU that waits for the rest. The
 * image is the snapshot's, or was when a fork was made that goes on.
 */
static int
start_waiting(struct qemu_domain *domain, const struct lf_snapshot *snapshot,
    const struct ram_image *image, const struct lf_domain_config *parent,
    struct lf_error *error)
{
	int rc;

	rc = qemu_disks_fork(&domain->disks, snapshot->disk_files, parent,
	    domain->config, domain->launcher, error);
	if (rc == 0)
		rc = check_memory(image, domain->config, error);
	if (rc < 0)
		return rc;
	domain->ram = ram_file_ref(image->files[0]);
	domain->private_ram = true;
	return start_process(domain, true, error);
}

int
qemu_start_waiting(struct lf_snapshot *snapshot, struct lf_launcher *launcher,
    const struct lf_domain_config *config, const char *name,
    struct qemu_domain **ret_domain, struct lf_error *error)
{
	cleanup(qemu_domain_free_p) struct qemu_domain *domain = NULL;
	struct qemu_start start = {.launcher = launcher, .config = config};
	struct lf_domain_config *parent = NULL;
	int rc;

	rc = domain_new(launcher, &domain, error);
	if (rc == 0)
		rc = qemu_start_config(
		    snapshot, &start, &domain->config, &parent, error);
	if (rc == 0)
		rc = lf_domain_config_set(&domain->config->name, name, error);
	if (rc == 0)
		rc = start_waiting(
		    domain, snapshot, snapshot->image, parent, error);
	lf_domain_config_free(parent);
	if (rc < 0)
		return rc;
	*ret_domain = take_ptr(domain);
	return 0;
}

/* Through `sock`, which the QEMU waits at. */
static int
send_state(int sock, struct stream_plan *plan, const struct qemu_now *now,
    struct lf_error *error)
{
	int rc = stream_send_memory(sock, plan, SILENCE_MS, error);

	if (rc == 0 && now != NULL)
		rc = now->states(now->opaque, &plan->overrides,
		    &plan->override_count, error);
	return rc == 0 ? stream_send_devices(sock, plan, SILENCE_MS, error)
		       : rc;
}

static int
give_state(struct qemu_domain *domain, int sock, struct stream_plan *plan,
    const struct qemu_now *now, struct lf_error *error)
{
	int rc = check_run_state(
	    plan->devices != NULL ? plan->devices : plan->base, error);

	if (rc == 0)
		rc = send_state(sock, plan, now, error);
	if (rc == 0)
		rc = finish_incoming(domain, error);
	return rc < 0 ? qemu_explain(domain, rc, error) : 0;
}

/* A QEMU for `*domain`, which has a configuration: the pool's, or a new one. */
static int
find_qemu(struct qemu_domain **domain, const struct lf_snapshot *snapshot,
    const struct ram_image *image, const struct lf_domain_config *parent,
    const struct qemu_start *start, int *ret_sock, struct lf_error *error)
{
	struct qemu_domain *waiting;

	if (!dm_pool_take(
		start->pool, image, (*domain)->config, &waiting, ret_sock))
		return start_waiting(*domain, snapshot, image, parent, error);
	qemu_domain_free(*domain);
	*domain = waiting;
	return 0;
}

int
qemu_start(struct lf_snapshot *snapshot, const struct qemu_start *start,
    struct qemu_domain **ret_domain, struct lf_error *error)
{
	cleanup(qemu_domain_free_p) struct qemu_domain *domain = NULL;
	const struct ram_image *image =
	    start->now != NULL ? start->now->view->image : snapshot->image;
	struct lf_domain_config *parent = NULL;
	struct streams streams = {0};
	cleanup_close int sock = -1;
	struct stream_plan plan;
	int rc;

	rc = domain_new(start->launcher, &domain, error);
	if (rc < 0)
		return rc;
	rc =
	    qemu_start_config(snapshot, start, &domain->config, &parent, error);
	/* What a user gave may be refused: before anything is started. */
	if (rc == 0 && start->devstate_fd >= 0)
		rc =
		    read_streams(&streams, snapshot, start->devstate_fd, error);
	if (rc == 0)
		rc = find_qemu(
		    &domain, snapshot, image, parent, start, &sock, error);
	/* QEMU comes up while the snapshot's own stream is read. */
	if (rc == 0 && streams.own == NULL && start->now == NULL)
		rc = read_streams(&streams, snapshot, -1, error);
	if (rc == 0 && sock < 0)
		rc = qemu_start_ready(domain, &sock, error);
	if (rc == 0) {
		plan = make_plan(image, &streams, start->now);
		rc = give_state(domain, sock, &plan, start->now, error);
	}
	devfile_free(streams.own);
	devfile_free(streams.given);
	lf_domain_config_free(parent);
	if (rc < 0)
		return rc;
	*ret_domain = take_ptr(domain);
	return 0;
}
