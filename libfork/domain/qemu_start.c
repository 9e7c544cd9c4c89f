/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a snapshot to a QEMU that stands in its instant: a process, new or out
 * of a pool, is given a state. Every wait is bounded, and a QEMU that does not
 * take the state is gone before the error is returned.
 */
#include "domain/qemu_domain.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "domain/dm_pool.h"
#include "qemu/devfile.h"
#include "snapshot/snapshot.h"

/* A side of a migration that is silent for so long is stuck. */
#define SILENCE_MS 30000

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

/* What a fork is now is found out when QEMU has something to do. */
struct states {
	const struct qemu_now *now; /* NULL: found, or there are none */
	struct stream_plan *plan;
	int rc;
	struct lf_error error;
};

static void
find_states(void *opaque)
{
	struct states *states = opaque;
	const struct qemu_now *now = take_ptr(states->now);
	struct stream_plan *plan = states->plan;

	if (now != NULL)
		states->rc = now->states(now->opaque, &plan->overrides,
		    &plan->override_count, &states->error);
}

/* Through `sock`, which the QEMU waits at. */
static int
send_state(int sock, const struct stream_plan *given,
    const struct qemu_now *now, struct lf_error *error)
{
	struct stream_plan plan = *given;
	struct states states = {.now = now, .plan = &plan};
	int rc;

	plan.meanwhile = find_states;
	plan.opaque = &states;
	rc = stream_send_memory(sock, &plan, SILENCE_MS, error);
	if (rc < 0)
		return rc;
	/* It took all at once. */
	find_states(&states);
	if (states.rc < 0) {
		if (error != NULL)
			*error = states.error;
		return states.rc;
	}
	rc = stream_send_devices(sock, &plan, SILENCE_MS, error);
	if (rc == 0 && now != NULL)
		now->sent(now->opaque);
	return rc;
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

static int
give_state(struct qemu_domain *domain, int sock, const struct stream_plan *plan,
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
		return qemu_domain_wait(
		    *domain, snapshot, image, parent, error);
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

	rc = qemu_domain_new(start->launcher, &domain, error);
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
