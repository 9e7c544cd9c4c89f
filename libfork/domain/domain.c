/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The public functions on domains. What they share is here: the question
 * whether a verb is legal now, the change of state after it, and the references
 * that a domain holds on snapshots. How a verb is done is the backend's
 * business, reached through one table; nothing outside of this file and the
 * backends asks which one it is.
 */
#include <libfork/domain.h>

#include <stdlib.h>

#include <libfork/domain_config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "domain/backend.h"
#include "domain/state.h"
#include "kvm/device.h"
#include "memory/view.h"
#include "snapshot/snapshot.h"

static const struct domain_backend *const backends[] = {
    [LF_BACKEND_KVM] = &domain_backend_kvm,
    [LF_BACKEND_QEMU] = &domain_backend_qemu,
};

#define BACKEND_COUNT (sizeof(backends) / sizeof(backends[0]))

/*
 * Returns from a verb's function where the verb is not legal now, or the
 * backend has no such operation. A macro, because each operation has a type of
 * its own.
 */
#define CHECK(domain, verb, operation, error)                     \
	do {                                                      \
		int check_rc = domain_check_verb(domain, verb,    \
		    (domain)->backend->operation != NULL, error); \
		if (check_rc < 0)                                 \
			return check_rc;                          \
	} while (0)

/* --- birth and death --- */

void
lf_domain_prepare(void)
{
	kvm_device_open_ahead();
	memory_view_open_ahead();
}

void
lf_fork_options_init(struct lf_fork_options *options)
{
	*options = (struct lf_fork_options){
	    .reset_groups = LF_RESET_ALL,
	    .devstate_fd = -1,
	};
}

static int
domain_new(enum lf_backend backend, const char *name,
    struct lf_domain **ret_domain, struct lf_error *error)
{
	struct lf_domain *domain;

	if ((unsigned)backend >= BACKEND_COUNT || backends[backend] == NULL)
		return error_set(error, ENOTSUP, "there is no backend %d here",
		    (int)backend);
	domain = sys.calloc(1, sizeof(*domain));
	if (domain == NULL)
		return error_nomem(error);
	domain->backend = backends[backend];
	if (name != NULL) {
		domain->name = sys.strdup(name);
		if (domain->name == NULL) {
			free(domain);
			return error_nomem(error);
		}
	}
	*ret_domain = domain;
	return 0;
}

/* Frees what all backends share. */
static void
domain_release(struct lf_domain *domain)
{
	lf_snapshot_unref(domain->frozen);
	lf_snapshot_unref(domain->origin);
	free(domain->name);
	free(domain);
}

int
lf_domain_create(const struct lf_domain_config *config,
    struct lf_launcher *launcher, struct lf_domain **ret_domain,
    struct lf_error *error)
{
	struct lf_domain *domain = NULL;
	int rc;

	rc = domain_new(LF_BACKEND_QEMU, NULL, &domain, error);
	if (rc < 0)
		return rc;
	rc = domain->backend->create != NULL
		 ? domain->backend->create(domain, config, launcher, error)
		 : error_set(error, ENOTSUP, "backend %s boots nothing",
		       domain->backend->name);
	if (rc < 0) {
		domain_release(domain);
		return rc;
	}
	*ret_domain = domain;
	return 0;
}

int
lf_domain_fork(struct lf_snapshot *snapshot,
    const struct lf_fork_options *options, struct lf_domain **ret_domain,
    struct lf_error *error)
{
	struct lf_fork_options defaults;
	struct lf_domain *domain = NULL;
	int rc;

	if (options == NULL) {
		lf_fork_options_init(&defaults);
		options = &defaults;
	}
	rc = domain_new(options->backend, options->name, &domain, error);
	if (rc < 0)
		return rc;
	domain->origin = lf_snapshot_ref(snapshot);
	rc = domain->backend->fork != NULL
		 ? domain->backend->fork(domain, options, error)
		 : error_set(error, ENOTSUP, "backend %s forks nothing",
		       domain->backend->name);
	if (rc < 0) {
		domain_release(domain);
		return rc;
	}
	*ret_domain = domain;
	return 0;
}

void
lf_domain_free(struct lf_domain *domain)
{
	if (domain == NULL)
		return;
	domain->backend->free(domain);
	domain_release(domain);
}

/* --- questions --- */

enum lf_domain_state
lf_domain_state(const struct lf_domain *domain)
{
	return domain->state;
}

enum lf_backend
lf_domain_backend(const struct lf_domain *domain)
{
	return domain->backend->id;
}

const char *
lf_domain_reason(const struct lf_domain *domain)
{
	return domain->reason;
}

struct lf_snapshot *
lf_domain_origin(const struct lf_domain *domain)
{
	return domain->origin;
}

int
lf_domain_own_pages(
    struct lf_domain *domain, uint64_t *ret_pages, struct lf_error *error)
{
	if (domain->backend->own_pages == NULL)
		return error_set(error, ENOTSUP,
		    "the pages of a domain on %s are not counted here",
		    domain->backend->name);
	return domain->backend->own_pages(domain, ret_pages, error);
}

void
lf_domain_counters(
    const struct lf_domain *domain, struct lf_counters *ret_counters)
{
	*ret_counters = (struct lf_counters){0};
	if (domain->backend->counters != NULL)
		domain->backend->counters(domain, ret_counters);
}

int
lf_domain_event_fd(const struct lf_domain *domain)
{
	return domain->backend->event_fd != NULL
		   ? domain->backend->event_fd(domain)
		   : -1;
}

/* --- verbs --- */

int
lf_domain_freeze(struct lf_domain *domain, struct lf_snapshot **ret_snapshot,
    struct lf_error *error)
{
	int rc;

	CHECK(domain, VERB_FREEZE, freeze, error);
	if (domain->state == LF_DOMAIN_FROZEN) {
		*ret_snapshot = lf_snapshot_ref(domain->frozen);
		return 0;
	}
	if (domain->state == LF_DOMAIN_RUNNING) {
		rc = lf_domain_pause(domain, error);
		if (rc < 0)
			return rc;
		/* It may have come to its end just before. */
		CHECK(domain, VERB_FREEZE, freeze, error);
	}
	rc = domain->backend->freeze(domain, &domain->frozen, error);
	if (rc < 0)
		return rc;
	domain_enter_state(domain, LF_DOMAIN_FROZEN);
	*ret_snapshot = lf_snapshot_ref(domain->frozen);
	return 0;
}

int
lf_domain_freeze_at(struct lf_domain *domain, const struct lf_freeze_at *at,
    struct lf_snapshot **ret_snapshot, struct lf_arrival *ret_arrival,
    struct lf_error *error)
{
	int rc;

	CHECK(domain, VERB_ARRIVE, arrive, error);
	rc = domain->backend->arrive(domain, at, ret_arrival, error);
	if (rc < 0)
		return rc;
	domain_enter_state(domain, LF_DOMAIN_PAUSED);
	return lf_domain_freeze(domain, ret_snapshot, error);
}

int
lf_domain_thaw(struct lf_domain *domain, struct lf_error *error)
{
	int rc;

	CHECK(domain, VERB_THAW, thaw, error);
	rc = domain->backend->thaw(domain, error);
	if (rc < 0)
		return rc;
	lf_snapshot_unref(take_ptr(domain->frozen));
	domain_enter_state(domain, LF_DOMAIN_PAUSED);
	return 0;
}

int
lf_domain_pause(struct lf_domain *domain, struct lf_error *error)
{
	int rc;

	CHECK(domain, VERB_PAUSE, pause, error);
	if (domain->state == LF_DOMAIN_PAUSED)
		return 0;
	rc = domain->backend->pause(domain, error);
	if (rc < 0)
		return rc;
	/* It may have crashed or ended in the last moment. */
	if (domain->state == LF_DOMAIN_RUNNING)
		domain_enter_state(domain, LF_DOMAIN_PAUSED);
	return 0;
}

int
lf_domain_unpause(struct lf_domain *domain, struct lf_error *error)
{
	int rc;

	CHECK(domain, VERB_UNPAUSE, unpause, error);
	if (domain->state == LF_DOMAIN_RUNNING)
		return 0;
	rc = domain->backend->unpause(domain, error);
	if (rc < 0)
		return rc;
	domain_enter_state(domain, LF_DOMAIN_RUNNING);
	return 0;
}

int
lf_domain_shutdown(struct lf_domain *domain, struct lf_error *error)
{
	CHECK(domain, VERB_SHUTDOWN, shutdown, error);
	return domain->backend->shutdown(domain, error);
}

int
lf_domain_launch(struct lf_domain *domain,
    const struct lf_launch_options *options, struct lf_error *error)
{
	cleanup_free char *name = NULL;
	int rc;

	CHECK(domain, VERB_LAUNCH, launch, error);
	if (domain->state == LF_DOMAIN_RUNNING) {
		rc = lf_domain_pause(domain, error);
		if (rc < 0)
			return rc;
		/* It may have come to its end just before. */
		CHECK(domain, VERB_LAUNCH, launch, error);
	}
	if (options->config != NULL) {
		name = sys.strdup(options->config->name);
		if (name == NULL)
			return error_nomem(error);
	}
	rc = domain->backend->launch(domain, options, error);
	if (rc < 0)
		return rc;
	if (name != NULL) {
		free(domain->name);
		domain->name = take_ptr(name);
	}
	domain_enter_state(domain, LF_DOMAIN_PAUSED);
	return 0;
}

int
lf_domain_reset(struct lf_domain *domain, struct lf_error *error)
{
	int rc;

	CHECK(domain, VERB_RESET, reset, error);
	if (domain->origin == NULL)
		return error_set(error, EINVAL,
		    "the domain is no fork: there is nothing to reset it to");
	if (domain->state == LF_DOMAIN_RUNNING) {
		rc = lf_domain_pause(domain, error);
		if (rc < 0)
			return rc;
	}
	rc = domain->backend->reset(domain, error);
	if (rc < 0)
		return rc;
	domain_enter_state(domain, LF_DOMAIN_PAUSED);
	return 0;
}

int
lf_domain_verify(struct lf_domain *domain, struct lf_error *error)
{
	CHECK(domain, VERB_VERIFY, verify, error);
	return domain->backend->verify(domain, error);
}

int
lf_domain_run(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error)
{
	CHECK(domain, VERB_RUN, run, error);
	return domain->backend->run(domain, ret_exit, error);
}

void
lf_domain_stop(struct lf_domain *domain)
{
	if (domain->backend->stop != NULL)
		domain->backend->stop(domain);
}

int
lf_domain_answer(struct lf_domain *domain, const void *data, size_t len,
    struct lf_error *error)
{
	CHECK(domain, VERB_ANSWER, answer, error);
	return domain->backend->answer(domain, data, len, error);
}

int
lf_domain_dispatch(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error)
{
	struct lf_exit unwanted;

	if (ret_exit == NULL)
		ret_exit = &unwanted;
	*ret_exit = (struct lf_exit){.reason = LF_EXIT_NONE};
	if (domain->backend->dispatch == NULL)
		return 0;
	return domain->backend->dispatch(domain, ret_exit, error);
}

/* --- memory and registers --- */

int
lf_domain_describe(
    struct lf_domain *domain, char **ret_json, struct lf_error *error)
{
	CHECK(domain, VERB_DESCRIBE, describe, error);
	return domain->backend->describe(domain, ret_json, error);
}

int
lf_memory_read(struct lf_domain *domain, uint64_t gpa, void *buf, size_t len,
    struct lf_error *error)
{
	CHECK(domain, VERB_LOOK, memory_read, error);
	return domain->backend->memory_read(domain, gpa, buf, len, error);
}

int
lf_memory_write(struct lf_domain *domain, uint64_t gpa, const void *bytes,
    size_t len, struct lf_error *error)
{
	CHECK(domain, VERB_CHANGE, memory_write, error);
	return domain->backend->memory_write(domain, gpa, bytes, len, error);
}

int
lf_vcpu_read_regs(struct lf_domain *domain, unsigned vcpu,
    struct lf_vcpu_regs *ret_regs, struct lf_error *error)
{
	CHECK(domain, VERB_LOOK, read_regs, error);
	return domain->backend->read_regs(domain, vcpu, ret_regs, error);
}

int
lf_vcpu_write_regs(struct lf_domain *domain, unsigned vcpu,
    const struct lf_vcpu_regs *regs, struct lf_error *error)
{
	CHECK(domain, VERB_CHANGE, write_regs, error);
	return domain->backend->write_regs(domain, vcpu, regs, error);
}
