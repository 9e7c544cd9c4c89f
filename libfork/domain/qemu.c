/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The qemu backend: a domain that is a QEMU process, which has the device
 * model and runs the vCPUs. The verbs here are little more than QMP commands;
 * what takes more is in qemu_process.c, qemu_start.c and
 * qemu_freeze.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "domain/backend.h"
#include "domain/qemu_domain.h"
#include "domain/qemu_regs.h"
#include "domain/state.h"
#include "qemu/program.h"
#include "qemu/run_until.h"
#include "snapshot/snapshot.h"

static struct qemu_domain *
qemu_of(const struct lf_domain *domain)
{
	return domain->impl;
}

static int
backend_create(struct lf_domain *domain, const struct lf_domain_config *config,
    struct lf_launcher *launcher, struct lf_error *error)
{
	struct qemu_domain *qemu = NULL;
	int rc = qemu_boot(config, launcher, &qemu, error);

	if (rc == 0)
		domain->impl = qemu;
	return rc;
}

static int
backend_fork(struct lf_domain *domain, const struct lf_fork_options *options,
    struct lf_error *error)
{
	struct qemu_start start = {
	    .launcher = options->launcher,
	    .config = options->config,
	    .name = options->name,
	    .devstate_fd = options->devstate_fd,
	    .pool = options->dm_pool,
	};
	struct qemu_domain *qemu = NULL;
	int rc = qemu_start(domain->origin, &start, &qemu, error);

	if (rc == 0)
		domain->impl = qemu;
	return rc;
}

static void
backend_free(struct lf_domain *domain)
{
	qemu_domain_free(qemu_of(domain));
	domain->impl = NULL;
}

static int
backend_freeze(struct lf_domain *domain, struct lf_snapshot **ret_snapshot,
    struct lf_error *error)
{
	struct qemu_domain *qemu = qemu_of(domain);
	int rc;

	if (qemu->stopped_at == NULL) {
		rc = qemu_freeze(qemu, &qemu->stopped_at, error);
		if (rc < 0)
			return rc;
	}
	*ret_snapshot = lf_snapshot_ref(qemu->stopped_at);
	return 0;
}

static int backend_unpause(struct lf_domain *domain, struct lf_error *error);

static int
backend_arrive(struct lf_domain *domain, const struct lf_freeze_at *at,
    struct lf_arrival *ret_arrival, struct lf_error *error)
{
	struct qemu_domain *qemu = qemu_of(domain);
	struct run_until_options options = {
	    .address = at->address,
	    .method = qemu->config->accelerator == LF_ACCELERATOR_TCG ||
			      at->breakpoints
			  ? RUN_UNTIL_BREAKPOINT
			  : RUN_UNTIL_LOOP,
	    .match_cr3 = at->match_cr3,
	    .cr3 = at->cr3,
	    .count = at->count,
	    .timeout_ms = at->timeout_ms,
	    .stands = qemu->stopped_at != NULL,
	};
	struct run_until_result result;
	int rc = 0;

	/* After a freeze only `cont` makes the disks QEMU's again. */
	if (options.stands)
		rc = backend_unpause(domain, error);
	if (rc < 0)
		return rc;
	rc = run_until(qemu->qmp, &options, &result, error);
	if (rc < 0) {
		if (options.stands)
			qmp_execute(qemu->qmp, "stop", NULL, NULL, NULL);
		return qemu_explain(qemu, rc, error);
	}
	*ret_arrival = (struct lf_arrival){
	    .vcpu = result.vcpu,
	    .arrivals = result.arrivals,
	    .cr3 = result.cr3,
	};
	return 0;
}

/*
 * The guest's memory is the snapshot's and that of everything made from it: it
 * may change only when nobody but this domain has it.
 */
static int
check_holders(
    const struct lf_domain *domain, unsigned own, struct lf_error *error)
{
	struct qemu_domain *qemu = qemu_of(domain);
	unsigned refs = lf_snapshot_refs(qemu->stopped_at);

	if (refs > own)
		return error_set(error, EBUSY,
		    "its snapshot is still used, by forks or others: %u",
		    refs - own);
	/* This domain's reference and the one of the snapshot's image. */
	if (!qemu->private_ram && ram_file_refs(qemu->ram) > 2)
		return error_set(error, EBUSY,
		    "its memory is still used by snapshots of its forks");
	return 0;
}

/* QEMU stays as it is until it runs; see backend_unpause(). */
static int
backend_thaw(struct lf_domain *domain, struct lf_error *error)
{
	return check_holders(domain, 2, error);
}

static int
backend_pause(struct lf_domain *domain, struct lf_error *error)
{
	struct qemu_domain *qemu = qemu_of(domain);
	int rc = qmp_execute(qemu->qmp, "stop", NULL, NULL, error);

	return rc < 0 ? qemu_explain(qemu, rc, error) : 0;
}

/* After a freeze this also takes the disks back. */
static int
backend_unpause(struct lf_domain *domain, struct lf_error *error)
{
	struct qemu_domain *qemu = qemu_of(domain);
	int rc = 0;

	if (qemu->stopped_at != NULL)
		rc = check_holders(domain, 1, error);
	if (rc == 0)
		rc = qmp_execute(qemu->qmp, "cont", NULL, NULL, error);
	if (rc < 0)
		return qemu_explain(qemu, rc, error);
	lf_snapshot_unref(take_ptr(qemu->stopped_at));
	return 0;
}

static int
backend_shutdown(struct lf_domain *domain, struct lf_error *error)
{
	struct qemu_domain *qemu = qemu_of(domain);
	int rc = qmp_execute(qemu->qmp, "system_powerdown", NULL, NULL, error);

	return rc < 0 ? qemu_explain(qemu, rc, error) : 0;
}

/*
 * A QEMU takes one state in its life, so a reset is a new one with the same
 * configuration and new overlays. The old one goes first: both want the same
 * sockets and names.
 */
static int
backend_reset(struct lf_domain *domain, struct lf_error *error)
{
	struct qemu_domain *old = qemu_of(domain), *fresh = NULL;
	struct lf_launcher *launcher = old->launcher;
	struct lf_domain_config *config = NULL;
	struct qemu_start start = {
	    .launcher = launcher,
	    .devstate_fd = -1,
	};
	int rc = lf_domain_config_copy(old->config, &config, error);

	if (rc < 0)
		return rc;
	start.config = config;
	qmp_free(take_ptr(old->qmp));
	launcher->end_qemu(launcher, &old->process);
	qemu_disks_done(&old->disks, launcher);
	rc = qemu_start(domain->origin, &start, &fresh, error);
	lf_domain_config_free(config);
	if (rc < 0) {
		domain_set_state(domain, LF_DOMAIN_CRASHED,
		    "its reset failed and its QEMU is gone");
		return rc;
	}
	qemu_domain_free(old);
	domain->impl = fresh;
	return 0;
}

/* Memory of a frozen domain is its snapshot's; any other is QEMU's own. */
static int
backend_memory_read(struct lf_domain *domain, uint64_t gpa, void *buf,
    size_t len, struct lf_error *error)
{
	const struct lf_snapshot *snapshot = qemu_of(domain)->stopped_at;
	char *to = buf;

	if (snapshot == NULL)
		return error_set(error, ENOTSUP,
		    "the memory of a domain on QEMU can be read while it is "
		    "frozen");
	while (len > 0) {
		const struct memory_range *range =
		    memory_map_find(&snapshot->map, gpa);
		uint64_t into;
		size_t here = len;
		int rc;

		if (range == NULL)
			return error_set(error, EFAULT,
			    "there is no memory at 0x%llx",
			    (unsigned long long)gpa);
		into = gpa - range->gpa;
		if (here > range->length - into)
			here = (size_t)(range->length - into);
		rc = ram_image_read(snapshot->image, range->file,
		    range->offset + into, to, here, error);
		if (rc < 0)
			return rc;
		to += here;
		gpa += here;
		len -= here;
	}
	return 0;
}

static int
backend_read_regs(struct lf_domain *domain, unsigned vcpu,
    struct lf_vcpu_regs *ret_regs, struct lf_error *error)
{
	return qemu_read_regs(qemu_of(domain), vcpu, ret_regs, error);
}

static int
backend_describe(
    struct lf_domain *domain, char **ret_json, struct lf_error *error)
{
	json_t *facts = NULL;
	size_t len;
	int rc = qemu_describe(qemu_of(domain), &facts, error);

	if (rc < 0)
		return rc;
	*ret_json = json_text(facts, JSON_COMPACT, &len);
	json_decref(facts);
	return *ret_json != NULL ? 0 : error_nomem(error);
}

/* --- events --- */

static int
backend_event_fd(const struct lf_domain *domain)
{
	const struct qemu_domain *qemu = qemu_of(domain);

	return qemu->qmp != NULL ? qmp_fd(qemu->qmp) : -1;
}

/* QEMU stopped by itself, or an old echo of our own `stop` arrived. */
static void
see_stop(struct lf_domain *domain)
{
	struct qemu_domain *qemu = qemu_of(domain);
	char status[32];

	if (domain->state != LF_DOMAIN_RUNNING ||
	    qemu_query_status(qemu, status, sizeof(status), NULL) < 0 ||
	    strcmp(status, "running") == 0)
		return;
	if (strcmp(status, "internal-error") == 0 ||
	    strcmp(status, "guest-panicked") == 0)
		domain_set_state(domain, LF_DOMAIN_CRASHED, "%s", status);
	else
		domain_set_state(domain, LF_DOMAIN_PAUSED, "%s",
		    strcmp(status, "paused") == 0 ? "" : status);
}

static void
see_event(struct lf_domain *domain, const json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "event"));

	if (name == NULL)
		return;
	if (strcmp(name, "SHUTDOWN") == 0)
		qemu_of(domain)->ended = true;
	else if (strcmp(name, "STOP") == 0)
		see_stop(domain);
	else if (strcmp(name, "GUEST_PANICKED") == 0)
		domain_set_state(
		    domain, LF_DOMAIN_CRASHED, "the guest panicked");
}

/* The connection is closed: the process ended, one way or the other. */
static void
see_end(struct lf_domain *domain)
{
	struct qemu_domain *qemu = qemu_of(domain);
	char words[200];

	if (domain->state == LF_DOMAIN_ENDED ||
	    domain->state == LF_DOMAIN_CRASHED)
		return;
	if (qemu->ended) {
		domain_set_state(domain, LF_DOMAIN_ENDED, "powered off");
		return;
	}
	program_last_words(qemu->process.log_fd, words, sizeof(words));
	domain_set_state(domain, LF_DOMAIN_CRASHED, "QEMU ended: %s",
	    words[0] != '\0' ? words : "it was killed");
}

static int
backend_dispatch(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error)
{
	struct qemu_domain *qemu = qemu_of(domain);
	enum lf_domain_state before = domain->state;
	json_t *event;
	int rc;

	(void)ret_exit;
	if (qemu->qmp == NULL)
		return 0;
	rc = qmp_read_events(qemu->qmp, error);
	while ((event = qmp_next_event(qemu->qmp)) != NULL) {
		see_event(domain, event);
		json_decref(event);
	}
	if (rc < 0) {
		if (rc != -EPIPE)
			log_warning("QEMU's monitor failed");
		see_end(domain);
	}
	return domain->state != before;
}

const struct domain_backend domain_backend_qemu = {
    .id = LF_BACKEND_QEMU,
    .name = "qemu",
    .create = backend_create,
    .fork = backend_fork,
    .free = backend_free,
    .freeze = backend_freeze,
    .arrive = backend_arrive,
    .thaw = backend_thaw,
    .pause = backend_pause,
    .unpause = backend_unpause,
    .shutdown = backend_shutdown,
    .reset = backend_reset,
    .memory_read = backend_memory_read,
    .read_regs = backend_read_regs,
    .describe = backend_describe,
    .event_fd = backend_event_fd,
    .dispatch = backend_dispatch,
};
