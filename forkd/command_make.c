/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The commands that make domains.
 */
#include "forkd/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/birth.h"
#include "forkd/change.h"
#include "forkd/config_json.h"
#include "forkd/daemon.h"
#include "forkd/fork_options.h"
#include "forkd/host.h"
#include "forkd/life.h"
#include "forkd/peer.h"
#include "forkd/role.h"

/* Forks of one command that are made at the same time. */
#define FORKS_AT_ONCE 4
/* They are made one after the other, by one process: just keep it busy. */
#define FORKS_HERE_AT_ONCE 64
#define FREEZE_MS          120000

/* --- create --- */

struct creation {
	struct daemon *daemon;
	struct peer_request *request;
	struct lf_domain_config *config;
	bool paused;
};

static void
on_created(void *opaque, struct domain *domain, const struct lf_error *error)
{
	struct creation *c = opaque;
	struct lf_error deserted;

	/* Nobody would know of a domain that is made now. */
	if (error == NULL && peer_request_deserted(c->request)) {
		error_set(&deserted, ECANCELED, "nobody waits for it");
		error = &deserted;
		life_destroy(c->daemon, domain, "cancelled", NULL, NULL);
	}
	if (error != NULL)
		peer_fail(c->request, error);
	else
		peer_return(c->request,
		    json_pack("{s:I, s:s}", "id", (json_int_t)domain->id,
			"name", domain->config->name),
		    NULL, 0);
	free(c);
}

static void
on_host_known(void *opaque)
{
	struct creation *c = opaque;

	birth_boot(c->daemon, c->config, c->paused, on_created, c);
}

void
command_create(
    struct client *client, struct domain *none, struct peer_request *request)
{
	struct creation *c = sys.calloc(1, sizeof(*c));
	struct lf_error error;
	int rc;

	(void)none;
	if (c == NULL)
		rc = error_nomem(&error);
	else {
		rc = config_json_read(peer_request_argument(request, "config"),
		    &c->config, &error);
		if (rc == 0)
			rc = lf_domain_config_complete(c->config, &error);
		/* Before anything is started for nothing. */
		if (rc == 0)
			rc = registry_check_name(
			    &client->daemon->registry, c->config->name, &error);
	}
	if (rc < 0) {
		if (c != NULL)
			lf_domain_config_free(c->config);
		free(c);
		peer_fail(request, &error);
		return;
	}
	c->daemon = client->daemon;
	c->request = request;
	c->paused = json_is_true(peer_request_argument(request, "paused"));
	host_when_known(client->daemon, on_host_known, c);
}

/* --- fork-vm --- */

/* One command: all of its forks are made, or none is left. */
struct forking {
	struct daemon *daemon;
	struct peer_request *request;
	unsigned parent;
	struct lf_domain_config *config; /* of the one fork; NULL */
	int devstate;
	bool paused;
	json_t *options;  /* of forks without device model; NULL: with */
	unsigned prepare; /* so many more get a device model that waits */
	unsigned wanted, started, running;
	unsigned *ids; /* of those that are there */
	unsigned count;
	bool failed;
	struct lf_error error;
};

static void
forking_free(struct forking *f)
{
	lf_domain_config_free(f->config);
	close_fd(f->devstate);
	json_decref(f->options);
	free(f->ids);
	free(f);
}

static int
compare_ids(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return x < y ? -1 : x > y;
}

/* Why none of the forks may stay, or NULL. */
static const char *
no_forks_wanted(const struct forking *f)
{
	if (f->failed)
		return "failed";
	return peer_request_deserted(f->request) ? "cancelled" : NULL;
}

static void
finish_forking(struct forking *f)
{
	const char *unwanted = no_forks_wanted(f);
	json_t *forks = json_array();
	struct domain *domain;
	unsigned i;

	/* They were ready in any order. */
	qsort(f->ids, f->count, sizeof(*f->ids), compare_ids);
	for (i = 0; i < f->count; i++) {
		domain = registry_find_id(&f->daemon->registry, f->ids[i]);
		if (domain == NULL || domain->doomed)
			continue;
		if (unwanted != NULL)
			life_destroy(f->daemon, domain, unwanted, NULL, NULL);
		else
			json_array_append_new(
			    forks, json_pack("{s:I, s:s}", "id",
				       (json_int_t)domain->id, "name",
				       domain->config->name));
	}
	if (f->failed) {
		json_decref(forks);
		peer_fail(f->request, &f->error);
	} else
		peer_return(
		    f->request, json_pack("{s:o}", "forks", forks), NULL, 0);
	forking_free(f);
}

static void
fork_failed(struct forking *f, const struct lf_error *error)
{
	if (!f->failed)
		f->error = *error;
	f->failed = true;
}

static void start_forks(struct forking *f);

static void
on_prepared(void *opaque, struct domain *domain, const struct lf_error *error)
{
	struct forking *f = opaque;

	(void)domain;
	f->running--;
	if (error != NULL)
		fork_failed(f, error);
	start_forks(f);
}

static void
on_forked(void *opaque, struct domain *domain, const struct lf_error *error)
{
	struct forking *f = opaque;

	if (error != NULL)
		fork_failed(f, error);
	else
		f->ids[f->count++] = domain->id;
	if (error == NULL && f->prepare > 0) {
		f->prepare--;
		change_prepare(domain, on_prepared, f);
		return;
	}
	f->running--;
	start_forks(f);
}

/* The file again, with a position of its own; -1 when there is none. */
static int
reopen_devstate(struct forking *f, int *ret_fd, struct lf_error *error)
{
	char path[64];

	*ret_fd = -1;
	if (f->devstate < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->devstate);
	*ret_fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
	if (*ret_fd < 0)
		return error_sys(
		    error, errno, "cannot read the device-state file");
	return 0;
}

/* Starts what may be started; ends the command when all is done. */
static void
start_forks(struct forking *f)
{
	unsigned limit =
	    f->options != NULL ? FORKS_HERE_AT_ONCE : FORKS_AT_ONCE;

	/* Held while forks that fail at once come back into this function. */
	f->running++;
	while (f->started < f->wanted && f->running <= limit &&
	       no_forks_wanted(f) == NULL) {
		struct domain *parent =
		    registry_find_id(&f->daemon->registry, f->parent);
		cleanup_close int devstate = -1;
		struct lf_error error;

		if (parent == NULL || parent->doomed ||
		    registry_link(parent) == NULL) {
			error_set(&error, ENOENT,
			    "domain %u, the parent, was destroyed", f->parent);
			fork_failed(f, &error);
			break;
		}
		if (reopen_devstate(f, &devstate, &error) < 0) {
			fork_failed(f, &error);
			break;
		}
		f->started++;
		f->running++;
		if (f->options != NULL)
			birth_fork_here(f->daemon, parent,
			    json_incref(f->options), f->paused, on_forked, f);
		else
			birth_fork(f->daemon, parent, take_ptr(f->config),
			    devstate, f->paused, on_forked, f);
	}
	if (--f->running == 0 &&
	    (f->started == f->wanted || no_forks_wanted(f) != NULL))
		finish_forking(f);
}

static void
on_frozen(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct forking *f = opaque;
	struct lf_error why;

	(void)result;
	(void)answer;
	if (error != NULL) {
		why = *error;
		error_prefix(
		    &why, why.code, "domain %u cannot be frozen", f->parent);
		fork_failed(f, &why);
	}
	start_forks(f);
}

/* Options that are only for forks with, or without, a device model. */
static int
read_options(struct forking *f, struct lf_error *error)
{
	const json_t *arguments = f->request->arguments;
	struct lf_fork_options ignored;
	const char *member = fork_options_any(arguments);
	const json_t *pool = json_object_get(arguments, "dm-pool");

	f->prepare = (unsigned)json_integer_value(pool);
	if (member == NULL && pool != NULL)
		member = "dm-pool";
	if (!json_is_false(json_object_get(arguments, "device-model")))
		return member == NULL
			   ? 0
			   : error_set(error, EINVAL,
				 "'%s' is only for forks without device model",
				 member);
	if (json_object_get(arguments, "config") != NULL ||
	    json_object_get(arguments, "devstate") != NULL)
		return error_set(error, EINVAL,
		    "a fork without device model needs no configuration and "
		    "no device state; give them when it is launched late");
	lf_fork_options_init(&ignored);
	f->options = fork_options_pick(arguments);
	return f->options == NULL
		   ? error_nomem(error)
		   : fork_options_read(f->options, &ignored, error);
}

/* The device state that came with a request. */
static int
take_devstate(struct peer_request *request, int *ret_fd, struct lf_error *error)
{
	struct stat st;

	if (peer_request_argument(request, "devstate") == NULL)
		return 0;
	*ret_fd = peer_request_fd(request, "devstate");
	if (sys.fstat(*ret_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(
		    error, EINVAL, "the device state has to be a regular file");
	return 0;
}

/* The configuration of a fork of `parent` that came with a request. */
static int
read_fork_config(const struct peer_request *request,
    const struct domain *parent, struct lf_domain_config **ret_config,
    struct lf_error *error)
{
	struct lf_domain_config *config = NULL;
	int rc;

	rc = config_json_read(
	    peer_request_argument(request, "config"), &config, error);
	if (rc == 0)
		rc = lf_domain_config_check_fork(parent->config, config, error);
	if (rc == 0)
		rc = lf_domain_config_inherit(config, parent->config, error);
	if (rc < 0)
		lf_domain_config_free(config);
	else
		*ret_config = config;
	return rc;
}

/* What the arguments say, checked against the parent. */
static int
read_forking(
    struct forking *f, const struct domain *parent, struct lf_error *error)
{
	struct peer_request *request = f->request;
	json_t *count = peer_request_argument(request, "count");
	int rc;

	f->wanted = count != NULL ? (unsigned)json_integer_value(count) : 1;
	f->paused = json_is_true(peer_request_argument(request, "paused"));
	f->ids = sys.calloc(f->wanted, sizeof(*f->ids));
	if (f->ids == NULL)
		return error_nomem(error);
	rc = read_options(f, error);
	if (rc == 0)
		rc = take_devstate(request, &f->devstate, error);
	if (rc < 0 || peer_request_argument(request, "config") == NULL)
		return rc;
	if (f->wanted > 1)
		return error_set(error, EINVAL,
		    "%u forks cannot share one configuration; leave it out",
		    f->wanted);
	rc = read_fork_config(request, parent, &f->config, error);
	if (rc < 0)
		return rc;
	return registry_check_name(
	    &f->daemon->registry, f->config->name, error);
}

void
command_fork(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	struct forking *f = sys.calloc(1, sizeof(*f));
	struct lf_error error;

	if (f == NULL) {
		error_nomem(&error);
		peer_fail(request, &error);
		return;
	}
	*f = (struct forking){.daemon = client->daemon,
	    .request = request,
	    .parent = domain->id,
	    .devstate = -1};
	if (read_forking(f, domain, &error) < 0) {
		peer_fail(request, &error);
		forking_free(f);
	} else if (domain->state == CONTROL_FROZEN)
		start_forks(f);
	else
		life_call(domain, ROLE_FREEZE, NULL, FREEZE_MS, on_frozen, f);
}

/* --- launch-dm, reset --- */

static void
on_changed(void *opaque, struct domain *domain, const struct lf_error *error)
{
	struct peer_request *request = opaque;
	struct lf_error why;

	if (error == NULL) {
		peer_return(request,
		    json_pack("{s:I, s:s}", "id", (json_int_t)domain->id,
			"name", domain->config->name),
		    NULL, 0);
		return;
	}
	why = *error;
	if (domain != NULL)
		error_prefix(&why, why.code, "domain %u ('%s')", domain->id,
		    domain->config->name);
	peer_fail(request, &why);
}

static void
on_launched(void *opaque, struct domain *domain, const struct lf_error *error)
{
	struct peer_request *request = opaque;

	if (error != NULL || domain->launch_note[0] == '\0') {
		on_changed(opaque, domain, error);
		return;
	}
	peer_return(request,
	    json_pack("{s:I, s:s, s:s}", "id", (json_int_t)domain->id, "name",
		domain->config->name, "device-model", domain->launch_note),
	    NULL, 0);
}

static bool
wants_pause(const struct peer_request *request)
{
	return json_is_true(peer_request_argument(request, "paused"));
}

/* What a launch is to be done with; nothing without arguments. */
static int
read_launch(struct domain *domain, struct peer_request *request,
    struct lf_domain_config **ret_config, int *ret_devstate,
    struct lf_error *error)
{
	const struct domain *parent =
	    registry_find_id(domain->registry, domain->parent);
	int rc = take_devstate(request, ret_devstate, error);

	if (rc < 0 || peer_request_argument(request, "config") == NULL)
		return rc;
	/* A domain that was booted has a device model already. */
	if (parent == NULL)
		parent = domain;
	rc = read_fork_config(request, parent, ret_config, error);
	if (rc == 0 && strcmp((*ret_config)->name, domain->config->name) != 0)
		rc = registry_check_name(
		    domain->registry, (*ret_config)->name, error);
	return rc;
}

void
command_launch(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	struct lf_domain_config *config = NULL;
	cleanup_close int devstate = -1;
	struct lf_error error;

	(void)client;
	if (read_launch(domain, request, &config, &devstate, &error) < 0) {
		lf_domain_config_free(config);
		peer_fail(request, &error);
	} else
		change_launch(domain, config, devstate, wants_pause(request),
		    on_launched, request);
}

void
command_reset(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	(void)client;
	change_reset(domain, wants_pause(request), on_changed, request);
}
