/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How domains come about.
 */
#include "forkd/birth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/change.h"
#include "forkd/config_json.h"
#include "forkd/daemon.h"
#include "forkd/life.h"
#include "forkd/peer.h"
#include "forkd/role.h"

/* A domain process limits its own waiting; this is for one that hangs. */
#define BIRTH_MS 120000

struct birth {
	struct daemon *daemon;
	unsigned id;      /* of the new domain */
	unsigned parent;  /* 0: booted */
	unsigned answers; /* still to come */
	bool failed;
	struct lf_error error; /* the first one */
	birth_done *done;
	void *opaque;
};

static void
on_failed_gone(void *opaque)
{
	struct birth *birth = opaque;

	birth->done(birth->opaque, NULL, &birth->error);
	free(birth);
}

static void
fail(struct birth *birth)
{
	struct domain *domain =
	    registry_find_id(&birth->daemon->registry, birth->id);

	if (domain != NULL && !domain->doomed)
		life_destroy(
		    birth->daemon, domain, "failed", on_failed_gone, birth);
	else
		on_failed_gone(birth);
}

/*
 * A fork that lives in another's process is put on record as ready after its
 * maker was told: killed in between, the next forkd asks that process.
 */
static void
hand_over(struct birth *birth, struct domain *domain)
{
	struct registry *registry = domain->registry;
	bool hosted = domain->host != 0;

	if (!hosted)
		daemon_save(domain);
	birth->done(birth->opaque, domain, NULL);
	domain = registry_find_id(registry, birth->id);
	if (domain == NULL || domain->doomed)
		return;
	if (hosted)
		daemon_save(domain);
	if (domain->ended)
		life_destroy(birth->daemon, domain, "poweroff", NULL, NULL);
}

static void
succeed(struct birth *birth)
{
	struct daemon *daemon = birth->daemon;
	struct domain *domain = registry_find_id(&daemon->registry, birth->id);

	if (domain == NULL || domain->doomed) {
		error_set(&birth->error, EIO,
		    "domain %u was destroyed while it was being made",
		    birth->id);
		fail(birth);
		return;
	}
	/* It may have said why it is paused before it was told to be ready. */
	if (strcmp(domain->reason, REGISTRY_STARTING) == 0)
		domain->reason[0] = '\0';
	registry_release_overlays(domain, daemon->overlay_dir);
	daemon_event(daemon, "DOMAIN_CREATED", domain,
	    json_pack("{s:s, s:o*}", "state", control_state_name(domain->state),
		"parent",
		birth->parent != 0 ? json_integer(birth->parent) : NULL));
	life_establish(domain);
	change_launch_wanted(domain);
	hand_over(birth, domain);
	free(birth);
}

/* One of the processes involved has answered. */
static void
on_answer(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct birth *birth = opaque;

	(void)result;
	(void)answer;
	/* Prefer the reason to its consequence, a connection that broke. */
	if (error != NULL && (!birth->failed || birth->error.code == -EPIPE)) {
		birth->failed = true;
		birth->error = *error;
	}
	if (--birth->answers > 0)
		return;
	if (birth->failed)
		fail(birth);
	else
		succeed(birth);
}

/*
 * Records the domain and starts its process, unless it is to live in that of
 * `host`.
 */
static int
begin(struct birth *birth, struct lf_domain_config *take_config,
    const struct domain *host, struct domain **ret_domain,
    struct lf_error *error)
{
	struct domain *domain;
	int rc;

	rc = registry_add(&birth->daemon->registry, take_config, birth->parent,
	    host, &domain, error);
	if (rc < 0)
		return rc;
	birth->id = domain->id;
	domain->owner = birth->daemon;
	if (host == NULL)
		rc = life_start(birth->daemon, domain, error);
	if (rc == 0)
		*ret_domain = domain;
	return rc;
}

/* NULL: out of memory, and `done` knows. */
static struct birth *
birth_new(
    struct daemon *daemon, unsigned parent, birth_done *done, void *opaque)
{
	struct birth *birth = sys.calloc(1, sizeof(*birth));
	struct lf_error error;

	if (birth == NULL) {
		error_nomem(&error);
		done(opaque, NULL, &error);
		return NULL;
	}
	*birth = (struct birth){
	    .daemon = daemon, .parent = parent, .done = done, .opaque = opaque};
	return birth;
}

/* accelerator=auto becomes what this host is good for. */
static void
decide_accelerator(struct daemon *daemon, struct domain *domain)
{
	struct lf_domain_config *config = domain->config;

	if (config->accelerator == LF_ACCELERATOR_AUTO) {
		config->accelerator = daemon->host.prefers_kvm
					  ? LF_ACCELERATOR_KVM
					  : LF_ACCELERATOR_TCG;
		snprintf(domain->accelerator_reason,
		    sizeof(domain->accelerator_reason), "auto: %s",
		    daemon->host.reason);
	} else
		snprintf(domain->accelerator_reason,
		    sizeof(domain->accelerator_reason), "as configured");
}

static int
boot(struct birth *birth, struct lf_domain_config *take_config, bool paused,
    struct lf_error *error)
{
	struct peer_load load = {.fd_count = 0};
	json_t *config = NULL;
	struct domain *domain;
	int rc;

	rc = begin(birth, take_config, NULL, &domain, error);
	if (rc < 0)
		return rc;
	decide_accelerator(birth->daemon, domain);
	rc = config_json_make(domain->config, &config, error);
	if (rc < 0)
		return rc;
	birth->answers = 1;
	load.take_arguments =
	    json_pack("{s:o, s:b}", "config", config, "paused", paused);
	life_call(domain, ROLE_BOOT, &load, BIRTH_MS, on_answer, birth);
	return 0;
}

void
birth_boot(struct daemon *daemon, struct lf_domain_config *take_config,
    bool paused, birth_done *done, void *opaque)
{
	struct birth *birth = birth_new(daemon, 0, done, opaque);

	if (birth == NULL)
		lf_domain_config_free(take_config);
	else if (boot(birth, take_config, paused, &birth->error) < 0)
		fail(birth);
}

/* A name that is free: the parent's and the number of the fork. */
static int
derive_config(struct daemon *daemon, const struct domain *parent,
    struct lf_domain_config **ret_config, struct lf_error *error)
{
	char name[LF_NAME_MAX + 1];
	unsigned i;

	for (i = daemon->registry.next_id;; i++) {
		snprintf(name, sizeof(name), "%.*s.%u", LF_NAME_MAX - 11,
		    parent->config->name, i);
		if (registry_check_name(&daemon->registry, name, NULL) == 0)
			break;
	}
	return lf_domain_config_derive(parent->config, name, ret_config, error);
}

static int
fork_domain(struct birth *birth, struct domain *parent,
    struct lf_domain_config *take_config, int devstate_fd, bool paused,
    struct lf_error *error)
{
	cleanup_close int child_end = -1, parent_end = -1;
	struct peer_load to_parent, to_fork;
	json_t *config = NULL;
	struct domain *domain;
	int fds[2], sv[2], rc;

	if (take_config == NULL) {
		rc = derive_config(birth->daemon, parent, &take_config, error);
		if (rc < 0)
			return rc;
	}
	rc = begin(birth, take_config, NULL, &domain, error);
	if (rc < 0)
		return rc;
	snprintf(domain->accelerator_reason, sizeof(domain->accelerator_reason),
	    "as domain %u", parent->id);
	if (sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return error_sys(error, errno, "cannot make a socket pair");
	child_end = sv[0];
	parent_end = sv[1];
	rc = config_json_make(domain->config, &config, error);
	if (rc < 0)
		return rc;
	birth->answers = 2;
	to_parent = (struct peer_load){.fds = &parent_end,
	    .fd_count = 1,
	    .take_arguments = json_pack(
		"{s:i, s:I}", "fd", 0, "holder", (json_int_t)domain->id)};
	life_call(
	    parent, ROLE_SEND_SNAPSHOT, &to_parent, BIRTH_MS, on_answer, birth);
	fds[0] = child_end;
	fds[1] = devstate_fd;
	to_fork = (struct peer_load){.fds = fds,
	    .fd_count = devstate_fd >= 0 ? 2 : 1,
	    .take_arguments = json_pack("{s:o, s:b, s:i, s:o*}", "config",
		config, "paused", paused, "origin", 0, "devstate",
		devstate_fd >= 0 ? json_integer(1) : NULL)};
	life_call(domain, ROLE_FORK, &to_fork, BIRTH_MS, on_answer, birth);
	return 0;
}

void
birth_fork(struct daemon *daemon, struct domain *parent,
    struct lf_domain_config *take_config, int devstate_fd, bool paused,
    birth_done *done, void *opaque)
{
	struct birth *birth = birth_new(daemon, parent->id, done, opaque);

	if (birth == NULL)
		lf_domain_config_free(take_config);
	else if (fork_domain(birth, parent, take_config, devstate_fd, paused,
		     &birth->error) < 0)
		fail(birth);
}

/* --- forks without device model --- */

static int
fork_here(struct birth *birth, struct domain *parent, json_t *take_options,
    bool paused, struct lf_error *error)
{
	struct lf_domain_config *config = NULL;
	struct peer_load load = {.fd_count = 0};
	struct domain *domain = NULL;
	int rc;

	rc = derive_config(birth->daemon, parent, &config, error);
	if (rc == 0)
		rc =
		    begin(birth, config, registry_host(parent), &domain, error);
	if (rc < 0) {
		json_decref(take_options);
		return rc;
	}
	snprintf(domain->accelerator_reason, sizeof(domain->accelerator_reason),
	    "without device model");
	birth->answers = 1;
	load.take_arguments = json_pack("{s:I, s:s, s:b, s:o}", "id",
	    (json_int_t)domain->id, "name", domain->config->name, "paused",
	    paused, "options", take_options);
	life_call(parent, ROLE_FORK_HERE, &load, BIRTH_MS, on_answer, birth);
	return 0;
}

void
birth_fork_here(struct daemon *daemon, struct domain *parent,
    json_t *take_options, bool paused, birth_done *done, void *opaque)
{
	struct birth *birth = birth_new(daemon, parent->id, done, opaque);

	if (birth == NULL)
		json_decref(take_options);
	else if (fork_here(birth, parent, take_options, paused, &birth->error) <
		 0)
		fail(birth);
}
