/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Freezing: one migration to a socket of ours, with x-ignore-shared. QEMU
 * gives exactly one stream; afterwards it has given up its disks and stands in
 * "postmigrate" until `cont`. Whatever goes wrong from then on ends with QEMU
 * being able to run again.
 */
#include "domain/qemu_domain.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "domain/qemu_collect.h"
#include "domain/qemu_refuse.h"
#include "qemu/cpuid_probe.h"
#include "qemu/devfile.h"
#include "qemu/guest_map.h"
#include "qemu/mtree.h"
#include "snapshot/snapshot.h"

#define SILENCE_MS     30000
#define SMM_ATTEMPTS   10
#define RECOVER_ROUNDS 1000

/* What is known of a QEMU before its stream is taken. */
struct layout {
	struct mtree *mtree;
	struct ramblocks *blocks;
	bool debug; /* it stands at a breakpoint */
};

static void
layout_done(struct layout *layout)
{
	mtree_free(layout->mtree);
	ramblocks_free(layout->blocks);
}

static int
ask_layout(
    struct qemu_domain *domain, struct layout *layout, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *answer = NULL;
	cleanup_free char *text = NULL;
	const char *blocks;
	int rc;

	rc = qmp_hmp(domain->qmp, "info mtree -f", &text, error);
	if (rc == 0)
		rc = mtree_parse(text, &layout->mtree, error);
	if (rc == 0)
		rc = qmp_execute(
		    domain->qmp, "x-query-ramblock", NULL, &answer, error);
	if (rc < 0)
		return rc;
	blocks =
	    json_string_value(json_object_get(answer, "human-readable-text"));
	if (blocks == NULL)
		return error_set(error, EBADMSG,
		    "QEMU's answer to x-query-ramblock has no text");
	return ramblocks_parse(blocks, &layout->blocks, error);
}

static int
check_disks(struct qemu_domain *domain, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *nodes = NULL;
	json_t *arguments = json_pack("{s:b}", "flat", 1);
	int rc;

	if (arguments == NULL)
		return error_nomem(error);
	rc = qmp_execute(
	    domain->qmp, "query-named-block-nodes", arguments, &nodes, error);
	return rc < 0 ? rc
		      : qemu_disks_check_nodes(domain->config, nodes, error);
}

/*
 * Only a stopped guest that could go on is worth a snapshot. "debug" is where
 * a breakpoint leaves it.
 */
static int
check_status(
    struct qemu_domain *domain, bool *ret_debug, struct lf_error *error)
{
	char status[32];
	int rc = qemu_query_status(domain, status, sizeof(status), error);

	if (rc < 0)
		return rc;
	*ret_debug = strcmp(status, "debug") == 0;
	if (!*ret_debug && strcmp(status, "paused") != 0 &&
	    strcmp(status, "prelaunch") != 0)
		return error_set(error, EINVAL,
		    "the guest is not paused but '%s' in QEMU: it cannot be "
		    "frozen",
		    status);
	return 0;
}

/* --- the stream --- */

static int
begin_migration(
    struct qemu_domain *domain, int *ret_sock, struct lf_error *error)
{
	cleanup_close int ours = -1, theirs = -1;
	json_t *parameters = json_pack("{s:i}", "max-bandwidth", 0);
	json_t *arguments = json_pack("{s:s}", "uri", "fd:freeze");
	int sv[2], rc;

	if (parameters == NULL || arguments == NULL) {
		json_decref(parameters);
		json_decref(arguments);
		return error_nomem(error);
	}
	rc = qmp_execute(
	    domain->qmp, "migrate-set-parameters", parameters, NULL, error);
	if (rc == 0)
		rc = qemu_prepare_migration(domain, error);
	if (rc == 0 &&
	    sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		rc = error_sys(error, errno, "cannot make a socket pair");
	if (rc == 0) {
		ours = sv[0];
		theirs = sv[1];
		rc = qmp_getfd(domain->qmp, "freeze", theirs, error);
	}
	if (rc < 0) {
		json_decref(arguments);
		return rc;
	}
	rc = qmp_execute(domain->qmp, "migrate", arguments, NULL, error);
	if (rc < 0)
		return rc;
	*ret_sock = take_fd(&ours);
	return 0;
}

/* What QEMU itself says of the migration that just ended. */
static int
judge_migration(struct qemu_domain *domain, struct lf_error *error)
{
	cleanup(json_decrefp) json_t *event = NULL, *answer = NULL;
	const char *status, *desc;
	int rc;

	rc = qmp_wait_event(domain->qmp, SILENCE_MS, "MIGRATION",
	    qemu_migration_ended, &event, error);
	if (rc == 0)
		rc = qmp_execute(
		    domain->qmp, "query-migrate", NULL, &answer, error);
	if (rc < 0)
		return rc;
	status = json_string_value(json_object_get(answer, "status"));
	if (status != NULL && strcmp(status, "completed") == 0)
		return 0;
	desc = json_string_value(json_object_get(answer, "error-desc"));
	return error_set(error, EIO, "QEMU's migration is '%s': %s",
	    status != NULL ? status : "unknown",
	    desc != NULL ? desc : "no reason given");
}

/* Lets QEMU run for a moment: the only way out of "postmigrate". */
static int
wake_up(struct qemu_domain *domain)
{
	int rc = qmp_execute(domain->qmp, "cont", NULL, NULL, NULL);

	if (rc == 0) {
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
		rc = qmp_execute(domain->qmp, "stop", NULL, NULL, NULL);
	}
	return rc;
}

/*
 * After a failure: whatever became of the migration, QEMU shall be stopped as
 * before it and willing to give another stream.
 */
static void
recover(struct qemu_domain *domain)
{
	char status[32] = "";
	unsigned i;
	int rc;

	qmp_execute(domain->qmp, "migrate_cancel", NULL, NULL, NULL);
	for (i = 0; i < RECOVER_ROUNDS; i++) {
		rc = qemu_query_status(domain, status, sizeof(status), NULL);
		/* Gone or deaf: whoever looks at the domain next will see. */
		if (rc == -EPIPE || rc == -ETIMEDOUT)
			return;
		if (rc == 0 && strcmp(status, "postmigrate") == 0)
			rc = wake_up(domain);
		else if (rc == 0 && strcmp(status, "finish-migrate") == 0)
			rc = -EAGAIN;
		if (rc == 0)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	log_warning("a domain that could not be frozen does not run again "
		    "either: QEMU is '%s'",
	    status);
}

static int
take_stream(struct qemu_domain *domain, struct qemu_collect *collect,
    int keep_fd, struct lf_error *error)
{
	struct stream_sink sink = qemu_collect_sink(collect);
	cleanup_close int sock = -1;
	struct lf_error why;
	int rc, theirs;

	rc = begin_migration(domain, &sock, error);
	if (rc < 0)
		return rc;
	rc = stream_receive(sock, keep_fd, SILENCE_MS, &sink, error);
	/* A QEMU that is still sending sees that nobody reads. */
	if (rc < 0)
		sock = close_fd(sock);
	theirs = judge_migration(domain, &why);
	if (rc == 0 && theirs < 0) {
		if (error != NULL)
			*error = why;
		rc = theirs;
	}
	return rc;
}

/* --- the snapshot --- */

static int
seal_stream(int fd, uint64_t *ret_length, struct lf_error *error)
{
	struct stat st;

	if (sys.fcntl(fd, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0 ||
	    sys.fstat(fd, &st) < 0)
		return error_sys(error, errno, "cannot seal the device state");
	*ret_length = (uint64_t)st.st_size;
	return 0;
}

static int
keep_configuration(struct lf_snapshot *snapshot,
    const struct qemu_domain *domain, struct lf_error *error)
{
	cleanup_free char *text = NULL;
	int rc = lf_domain_config_to_json(domain->config, &text, error);

	if (rc < 0)
		return rc;
	snapshot->configuration = json_loads(text, 0, NULL);
	if (snapshot->configuration == NULL)
		return error_nomem(error);
	return qemu_disks_to_json(&domain->disks, &snapshot->disk_files, error);
}

/*
 * A QEMU that is given a state "debug" aborts: section globalstate says
 * "paused" instead. It is a length and a buffer with the name of the state
 * (QEMU's migration/global_state.c).
 */
static int
write_paused(int fd, const struct stream *stream, struct lf_error *error)
{
	static const char paused[] = "paused";
	const struct stream_section *section =
	    stream_find(stream, "globalstate", 0);
	const struct vmdesc_node *size = NULL, *text = NULL;
	uint32_t length = htobe32(sizeof(paused));
	char buf[256] = "";

	if (section != NULL && section->device != NULL) {
		const struct vmdesc_device *device = section->device;

		size =
		    vmdesc_find(device->nodes, device->node_count, "size", -1);
		text = vmdesc_find(
		    device->nodes, device->node_count, "runstate", -1);
	}
	if (size == NULL || text == NULL || size->size != sizeof(length) ||
	    text->size < sizeof(paused) || text->size > sizeof(buf))
		return error_set(error, ENOTSUP,
		    "the stream has no globalstate that could be set to "
		    "paused");
	strcpy(buf, paused);
	if (sys.pwrite(fd, &length, sizeof(length),
		(off_t)(section->offset + size->offset)) != sizeof(length) ||
	    sys.pwrite(fd, buf, text->size,
		(off_t)(section->offset + text->offset)) != text->size)
		return error_sys(error, errno, "cannot change the stream");
	return 0;
}

/* Everything but the image, which is in place. */
static int
fill_snapshot(struct lf_snapshot *snapshot, struct qemu_domain *domain,
    const struct layout *layout, int *take_stream_fd, struct lf_error *error)
{
	struct devfile *devstate = NULL;
	int rc;

	snapshot->devstate_fd = take_fd(take_stream_fd);
	snapshot->vcpu_count = domain->config->vcpus;
	rc = devfile_read(snapshot->devstate_fd, NULL, &devstate, error);
	if (rc == 0 && layout->debug)
		rc = write_paused(
		    snapshot->devstate_fd, devstate->stream, error);
	if (rc == 0)
		rc = seal_stream(
		    snapshot->devstate_fd, &snapshot->devstate_length, error);
	if (rc == 0)
		rc = qemu_refuse_vcpus(devstate->stream, error);
	if (rc == 0)
		rc = guest_map_build(layout->mtree, devstate->stream->blocks,
		    devstate->stream->block_count, LF_QEMU_RAM_ID,
		    snapshot->image, &snapshot->map, error);
	if (rc == 0)
		rc = keep_configuration(snapshot, domain, error);
	if (rc == 0)
		rc = snapshot_check(snapshot, error);
	devfile_free(devstate);
	return rc;
}

/* Once through; on failure QEMU is stopped as it was before. */
static int
freeze_once(struct qemu_domain *domain, const struct layout *layout,
    struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	struct qemu_collect *collect = NULL;
	struct lf_snapshot *snapshot = NULL;
	cleanup_close int keep_fd = -1;
	int rc;

	keep_fd =
	    sys.memfd_create("device state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (keep_fd < 0)
		return error_sys(error, errno, "cannot make a memfd");
	rc = snapshot_new(&snapshot, error);
	if (rc == 0)
		rc = qemu_collect_new(domain->ram, domain->private_ram,
		    layout->blocks, &collect, error);
	if (rc == 0)
		rc = take_stream(domain, collect, keep_fd, error);
	if (rc == 0)
		rc = qemu_collect_finish(collect, &snapshot->image, error);
	if (rc == 0)
		rc = fill_snapshot(snapshot, domain, layout, &keep_fd, error);
	if (rc == 0)
		snapshot->cpuid_known = cpuid_known_ref(domain->cpuid_known);
	qemu_collect_free(collect);
	if (rc < 0) {
		lf_snapshot_unref(snapshot);
		recover(domain);
		return rc;
	}
	*ret_snapshot = snapshot;
	return 0;
}

int
qemu_freeze(struct qemu_domain *domain, struct lf_snapshot **ret_snapshot,
    struct lf_error *error)
{
	struct layout layout = {0};
	unsigned attempt;
	int rc;

	rc = check_status(domain, &layout.debug, error);
	if (rc == 0)
		rc = qemu_refuse_devices(domain, error);
	if (rc == 0)
		rc = check_disks(domain, error);
	if (rc == 0)
		rc = ask_layout(domain, &layout, error);
	/* QEMU's own mapping goes on; nobody else will ever write. */
	if (rc == 0)
		rc = ram_file_seal(domain->ram, error);
	for (attempt = 0; rc == 0; attempt++) {
		rc = freeze_once(domain, &layout, ret_snapshot, error);
		if (rc != -EAGAIN || attempt == SMM_ATTEMPTS)
			break;
		rc = 0;
	}
	layout_done(&layout);
	return rc < 0 ? qemu_explain(domain, rc, error) : 0;
}
