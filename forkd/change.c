/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Late launch and reset.
 */
#include "forkd/change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/config_json.h"
#include "forkd/daemon.h"
#include "forkd/life.h"
#include "forkd/registry.h"

/* A domain process limits its own waiting; this is for one that hangs. */
#define CHANGE_MS 120000

/* One change that is under way. */
struct change {
	struct daemon *daemon;
	unsigned id;
	change_done *done;
	void *opaque;
};

static int
change_new(struct domain *domain, change_done *done, void *opaque,
    struct change **ret_change, struct lf_error *error)
{
	struct change *change = sys.calloc(1, sizeof(*change));

	if (change == NULL)
		return error_nomem(error);
	*change = (struct change){.daemon = domain->owner,
	    .id = domain->id,
	    .done = done,
	    .opaque = opaque};
	*ret_change = change;
	return 0;
}

/* It came to its end: with the domain, or why not, or both. */
static void
change_end(
    struct change *change, struct domain *domain, const struct lf_error *error)
{
	struct lf_error gone;

	if (domain == NULL && error == NULL) {
		error_set(&gone, ENOENT, "domain %u was destroyed", change->id);
		error = &gone;
	}
	change->done(change->opaque, domain, error);
	free(change);
}

/*
 * The domain of a change that was answered; NULL: it is gone, or is the next
 * forkd's, to whom its process will tell what became of the change.
 */
static struct domain *
find_changed(const struct change *change)
{
	struct registry *registry = &change->daemon->registry;
	struct domain *domain = registry_find_id(registry, change->id);

	return domain != NULL && !domain->doomed && !registry->closing ? domain
								       : NULL;
}

/* --- launch --- */

/*
 * Where the device model came from, when one waited for this domain: then it
 * has the overlays that were made for that one.
 */
static void
note_launch(struct domain *domain, const json_t *result)
{
	struct lf_domain_config *waited = take_ptr(domain->waiting_config);
	const char *miss = json_string_value(json_object_get(result, "miss"));

	domain->launch_note[0] = '\0';
	if (waited == NULL)
		return;
	if (json_is_true(json_object_get(result, "waited")) &&
	    lf_domain_config_set(
		&waited->name, domain->launch_config->name, NULL) == 0) {
		lf_domain_config_free(domain->launch_config);
		domain->launch_config = take_ptr(waited);
		snprintf(domain->launch_note, sizeof(domain->launch_note),
		    "one that waited");
	} else
		snprintf(domain->launch_note, sizeof(domain->launch_note),
		    "started anew: %.180s",
		    miss != NULL ? miss : "no device model waits");
	lf_domain_config_free(waited);
}

/* From now on the domain is what it was launched with. */
static void
commit_launch(struct domain *domain)
{
	struct daemon *daemon = domain->owner;
	bool renamed =
	    strcmp(domain->config->name, domain->launch_config->name) != 0;

	lf_domain_config_free(domain->config);
	domain->config = take_ptr(domain->launch_config);
	domain->device_model = true;
	registry_release_overlays(domain, daemon->overlay_dir);
	daemon_save(domain);
	if (renamed)
		daemon_event(daemon, "DOMAIN_RENAMED", domain, NULL);
	daemon_event(daemon, "DOMAIN_LAUNCHED", domain,
	    json_pack("{s:s}", "state", control_state_name(domain->state)));
}

/* It stays what it was. */
static void
forget_launch(struct domain *domain)
{
	lf_domain_config_free(take_ptr(domain->launch_config));
	lf_domain_config_free(take_ptr(domain->waiting_config));
	process_kill(&domain->qemu);
	daemon_save(domain);
}

static void
on_launched(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct change *change = opaque;
	struct domain *domain = find_changed(change);

	(void)answer;
	if (domain != NULL) {
		domain->launching = false;
		if (error == NULL) {
			note_launch(domain, result);
			commit_launch(domain);
		} else
			forget_launch(domain);
	}
	change_end(change, domain, error);
}

static int
check_launch(const struct domain *domain, struct lf_error *error)
{
	if (domain->launching)
		return error_set(
		    error, EBUSY, "it is being given its device model already");
	if (domain->device_model)
		return error_set(error, EBADFD,
		    "it has a device model already; only a fork made with "
		    "'--launch-dm no' can be given one");
	return 0;
}

static int
begin_launch(struct change *change, struct domain *domain,
    struct lf_domain_config *take_config, int devstate_fd, bool paused,
    struct lf_error *error)
{
	struct peer_load load = {
	    .fds = &devstate_fd, .fd_count = devstate_fd >= 0};
	json_t *config = NULL;
	int rc = 0;

	if (take_config == NULL)
		rc = lf_domain_config_copy(domain->config, &take_config, error);
	if (rc < 0)
		return rc;
	rc = config_json_make(take_config, &config, error);
	if (rc < 0) {
		lf_domain_config_free(take_config);
		return rc;
	}
	domain->launch_config = take_config;
	domain->launching = true;
	domain->wants_device_model = false;
	/* A launch that waits for others may come to the next forkd's time. */
	daemon_save(domain);
	load.take_arguments =
	    json_pack("{s:o, s:b, s:o*}", "config", config, "paused", paused,
		"devstate", devstate_fd >= 0 ? json_integer(0) : NULL);
	life_call(domain, ROLE_LAUNCH, &load, CHANGE_MS, on_launched, change);
	return 0;
}

void
change_launch(struct domain *domain, struct lf_domain_config *take_config,
    int devstate_fd, bool paused, change_done *done, void *opaque)
{
	struct change *change = NULL;
	struct lf_error error;
	int rc = check_launch(domain, &error);

	if (rc == 0)
		rc = change_new(domain, done, opaque, &change, &error);
	if (rc < 0)
		lf_domain_config_free(take_config);
	else
		rc = begin_launch(
		    change, domain, take_config, devstate_fd, paused, &error);
	if (rc < 0) {
		free(change);
		done(opaque, domain, &error);
	}
}

static void
on_wanted(void *opaque, struct domain *domain, const struct lf_error *error)
{
	char reason[sizeof(domain->reason)];

	(void)opaque;
	if (domain == NULL || error == NULL)
		return;
	snprintf(
	    reason, sizeof(reason), "no device model: %.200s", error->message);
	life_report(domain, CONTROL_PAUSED, reason, NULL);
}

void
change_launch_wanted(struct domain *domain)
{
	if (domain->wants_device_model && domain->established &&
	    !domain->doomed && !domain->device_model && !domain->launching)
		change_launch(domain, NULL, -1, false, on_wanted, NULL);
}

/* --- a device model that waits --- */

static void
on_prepared(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct change *change = opaque;
	struct registry *registry = &change->daemon->registry;
	struct domain *domain = find_changed(change);
	unsigned id = change->id;

	(void)result;
	(void)answer;
	if (domain != NULL) {
		domain->launching = false;
		if (error == NULL)
			domain->waiting_config =
			    take_ptr(domain->launch_config);
		else
			forget_launch(domain);
		daemon_save(domain);
	}
	change_end(change, domain, error);
	/* It may have come to a device in the meantime, or to its end. */
	domain = registry_find_id(registry, id);
	if (domain != NULL)
		change_launch_wanted(domain);
}

/*
 * The next forkd does not know of a device model that waits, and ends it: on
 * record is what would be launched, not that it was.
 */
void
change_prepare(struct domain *domain, change_done *done, void *opaque)
{
	struct peer_load load = {.fd_count = 0};
	struct change *change = NULL;
	json_t *config = NULL;
	struct lf_error error;
	int rc;

	/* It came to a device at once: none has to wait for it any more. */
	if (domain->launching || domain->device_model) {
		done(opaque, domain, NULL);
		return;
	}
	rc = change_new(domain, done, opaque, &change, &error);
	if (rc == 0)
		rc = lf_domain_config_copy(
		    domain->config, &domain->launch_config, &error);
	if (rc == 0)
		rc = config_json_make(domain->launch_config, &config, &error);
	if (rc < 0) {
		lf_domain_config_free(take_ptr(domain->launch_config));
		free(change);
		done(opaque, domain, &error);
		return;
	}
	domain->launching = true;
	daemon_save(domain);
	load.take_arguments = json_pack("{s:o}", "config", config);
	life_call(domain, ROLE_PREPARE, &load, CHANGE_MS, on_prepared, change);
}

/* --- reset --- */

static void
on_reset(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct change *change = opaque;
	struct domain *domain = find_changed(change);

	(void)result;
	(void)answer;
	if (domain != NULL) {
		registry_release_overlays(domain, change->daemon->overlay_dir);
		daemon_save(domain);
	}
	change_end(change, domain, error);
}

static int
check_overlay(
    const struct domain *domain, const char *path, struct lf_error *error)
{
	if (path == NULL || file_list_has(&domain->overlays, path) ||
	    file_list_has(&domain->named, path))
		return 0;
	return error_set(error, EINVAL,
	    "its overlay '%s' was there before the fork: what it was then is "
	    "not known, so a reset is not possible",
	    path);
}

/* A reset makes new overlays in the place of those that were made for it. */
static int
check_reset(const struct domain *domain, struct lf_error *error)
{
	const struct lf_domain_config *config = domain->config;
	int rc = 0;
	size_t i;

	if (domain->parent == 0)
		return error_set(error, EINVAL,
		    "it is no fork: there is nothing to reset it to");
	if (!domain->device_model)
		return 0;
	for (i = 0; rc == 0 && i < config->disk_count; i++)
		if (!config->disks[i].read_only)
			rc =
			    check_overlay(domain, config->disks[i].path, error);
	return rc == 0 ? check_overlay(domain, config->firmware.nvram, error)
		       : rc;
}

void
change_reset(
    struct domain *domain, bool paused, change_done *done, void *opaque)
{
	struct peer_load load = {.fd_count = 0};
	struct change *change = NULL;
	struct lf_error error;
	int rc = check_reset(domain, &error);

	if (rc == 0)
		rc = change_new(domain, done, opaque, &change, &error);
	if (rc < 0) {
		done(opaque, domain, &error);
		return;
	}
	load.take_arguments = json_pack("{s:b}", "paused", paused);
	life_call(domain, ROLE_RESET, &load, CHANGE_MS, on_reset, change);
}

/* --- adoption --- */

/* It has no device model: they are of a launch that failed, or of one that
 * waits and is ended. */
static void
drop_overlays(struct domain *domain)
{
	while (domain->overlays.count > 0)
		registry_drop_overlay(domain, domain->overlays.path[0]);
}

void
change_adopt_begin(struct domain *domain)
{
	domain->launching = domain->launch_config != NULL;
}

void
change_adopt(struct domain *domain, const json_t *described)
{
	const struct daemon *daemon = domain->owner;
	const char *backend =
	    json_string_value(json_object_get(described, "backend"));

	domain->launching = false;
	domain->wants_device_model =
	    json_is_true(json_object_get(described, "wants-device-model"));
	if (domain->launch_config != NULL && backend != NULL &&
	    strcmp(backend, "qemu") == 0)
		commit_launch(domain);
	else if (domain->device_model) {
		/* A reset may have made some whose end nobody heard of. */
		registry_release_overlays(domain, daemon->overlay_dir);
		daemon_save(domain);
	} else {
		/* Also one that waits, and nobody knows with which files. */
		forget_launch(domain);
		drop_overlays(domain);
	}
}
