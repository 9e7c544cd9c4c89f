/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domains that forkd knows: finding them, their states, who holds whom.
 */
#include "forkd/registry.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/peer.h"
#include "forkd/registry_file.h"
#include "forkd/rundir.h"

/* From a state, the states that a domain may get to. */
static const struct {
	enum control_state from;
	unsigned to;
} transitions[] = {
    {CONTROL_PAUSED, CONTROL_RUNNING | CONTROL_FROZEN | CONTROL_CRASHED},
    {CONTROL_RUNNING, CONTROL_PAUSED | CONTROL_FROZEN | CONTROL_CRASHED},
    {CONTROL_FROZEN, CONTROL_RUNNING | CONTROL_PAUSED | CONTROL_CRASHED},
    /* By a reset. */
    {CONTROL_CRASHED, CONTROL_RUNNING | CONTROL_PAUSED},
};

int
registry_report(struct domain *domain, enum control_state state,
    const char *reason, struct lf_error *error)
{
	size_t i;

	if (domain->state == state && strcmp(domain->reason, reason) == 0)
		return 0;
	for (i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++)
		if (transitions[i].from == domain->state &&
		    domain->state != state && (transitions[i].to & state) == 0)
			return error_set(error, EINVAL,
			    "domain %u ('%s') is %s and cannot become %s",
			    domain->id, domain->config->name,
			    control_state_name(domain->state),
			    control_state_name(state));
	domain->state = state;
	snprintf(domain->reason, sizeof(domain->reason), "%s", reason);
	return 1;
}

int
registry_init(struct registry *registry, const char *run_dir, mode_t dir_mode,
    struct lf_error *error)
{
	cleanup_free char *domains = rundir_path("%s/domains", run_dir);

	*registry = (struct registry){.dir_mode = dir_mode, .next_id = 1};
	registry->run_dir = sys.strdup(run_dir);
	if (domains == NULL || registry->run_dir == NULL)
		return error_nomem(error);
	return rundir_make(domains, dir_mode, false, error);
}

/* Frees what is in memory; the files stay for the next forkd. */
static void
domain_free(struct domain *domain)
{
	if (domain == NULL)
		return;
	if (domain->process_ended != NULL)
		event_free(domain->process_ended);
	if (domain->qemu_ended != NULL)
		event_free(domain->qemu_ended);
	if (domain->probe_ended != NULL)
		event_free(domain->probe_ended);
	peer_free(domain->link);
	process_done(&domain->process);
	process_done(&domain->qemu);
	process_done(&domain->probe);
	file_list_done(&domain->overlays);
	file_list_done(&domain->named);
	file_list_done(&domain->backing);
	lf_domain_config_free(domain->config);
	lf_domain_config_free(domain->launch_config);
	lf_domain_config_free(domain->waiting_config);
	json_decref(domain->untold);
	free(domain);
}
DEFINE_CLEANUP(struct domain *, domain_free);

void
registry_done(struct registry *registry)
{
	registry->closing = true;
	while (registry->first != NULL) {
		struct domain *domain = registry->first;

		registry->first = domain->next;
		domain_free(domain);
	}
	registry_kept_done(&registry->kept);
	free(registry->run_dir);
	registry->run_dir = NULL;
}

static struct domain *
domain_new(struct registry *registry, unsigned id)
{
	struct domain *domain = sys.calloc(1, sizeof(*domain));

	if (domain == NULL)
		return NULL;
	domain->registry = registry;
	domain->id = id;
	domain->state = CONTROL_PAUSED;
	domain->process = PROCESS_NONE;
	domain->qemu = PROCESS_NONE;
	domain->probe = PROCESS_NONE;
	domain->device_model = true;
	snprintf(domain->dir, sizeof(domain->dir), "%s/domains/%u",
	    registry->run_dir, id);
	return domain;
}

static void
insert(struct registry *registry, struct domain *domain)
{
	struct domain **at = &registry->first;

	while (*at != NULL && (*at)->id < domain->id)
		at = &(*at)->next;
	domain->next = *at;
	*at = domain;
	registry->count++;
}

/*
 * A domain's directory tells the next forkd which ids are taken; this file
 * does when the directory goes. A failure is made up for at the next end of a
 * domain.
 */
static void
save_next_id(struct registry *registry, unsigned gone)
{
	cleanup_free char *path = rundir_path("%s/next-id", registry->run_dir);
	json_t *value =
	    json_pack("{s:I}", "next-id", (json_int_t)registry->next_id);
	struct lf_error ignored;

	if (gone >= registry->saved_id && path != NULL && value != NULL &&
	    rundir_write_json(path, value, &ignored) == 0)
		registry->saved_id = registry->next_id;
	json_decref(value);
}

int
registry_add(struct registry *registry, struct lf_domain_config *take_config,
    unsigned parent, const struct domain *host, struct domain **ret_domain,
    struct lf_error *error)
{
	cleanup(domain_free_p) struct domain *domain = NULL;
	int rc;

	rc = registry_check_name(registry, take_config->name, error);
	if (rc == 0 &&
	    registry->count + registry->kept.count >= REGISTRY_DOMAINS_MAX)
		rc = error_set(error, ENOSPC,
		    "there are %u domains already, more are not allowed",
		    registry->count + registry->kept.count);
	if (rc < 0) {
		lf_domain_config_free(take_config);
		return rc;
	}
	domain = domain_new(registry, registry->next_id++);
	if (domain == NULL) {
		lf_domain_config_free(take_config);
		return error_nomem(error);
	}
	domain->config = take_config;
	domain->parent = parent;
	if (host != NULL) {
		domain->device_model = false;
		domain->host = host->id;
	}
	domain->created = time(NULL);
	snprintf(domain->reason, sizeof(domain->reason), REGISTRY_STARTING);
	rc = rundir_make(domain->dir, registry->dir_mode, false, error);
	if (rc == 0)
		rc = registry_save(domain, error);
	if (rc < 0) {
		rundir_remove_tree(domain->dir);
		return rc;
	}
	insert(registry, domain);
	*ret_domain = take_ptr(domain);
	return 0;
}

/*
 * A fork ends with the process that it lives in, and that process does not
 * obey us: where its domain is left alone, so is the fork.
 */
static int
keep_forks(struct registry *registry,
    void (*report)(const struct lf_error *error), struct lf_error *error)
{
	struct domain **at = &registry->first;

	while (*at != NULL) {
		struct domain *domain = *at;
		struct lf_error why;
		int rc;

		if (!registry_kept_has(&registry->kept, domain->host)) {
			at = &domain->next;
			continue;
		}
		error_set(&why, EBADMSG,
		    "it lives in the process of domain %u, which is left "
		    "alone",
		    domain->host);
		rc = registry_kept_add(
		    &registry->kept, domain, &why, report, error);
		if (rc < 0)
			return rc;
		*at = domain->next;
		registry->count--;
		domain_free(domain);
	}
	return 0;
}

int
registry_load(struct registry *registry,
    void (*report)(const struct lf_error *error), struct lf_error *error)
{
	cleanup_free char *path = rundir_path("%s/next-id", registry->run_dir);
	json_t *value = NULL;
	unsigned *ids = NULL;
	size_t count = 0, i;
	int rc;

	if (path == NULL)
		return error_nomem(error);
	rc = rundir_read_json(path, &value, error);
	if (registry_file_is_shortage(rc))
		return rc;
	if (rc == 0) {
		json_int_t next =
		    json_integer_value(json_object_get(value, "next-id"));

		if (next > 0 && next < INT32_MAX)
			registry->next_id = registry->saved_id = (unsigned)next;
		json_decref(value);
	}
	rc = registry_file_ids(registry->run_dir, &ids, &count, error);
	for (i = 0; rc == 0 && i < count; i++) {
		cleanup(domain_free_p) struct domain *domain =
		    domain_new(registry, ids[i]);
		struct lf_error why;

		if (domain == NULL) {
			rc = error_nomem(error);
			break;
		}
		if (ids[i] >= registry->next_id)
			registry->next_id = ids[i] + 1;
		rc = registry_file_read(domain, &why);
		/* Its domain lives, maybe: the next forkd may be luckier. */
		if (registry_file_is_shortage(rc)) {
			*error = why;
			break;
		}
		if (rc < 0 && !registry_file_is_missing(domain)) {
			rc = registry_kept_add(
			    &registry->kept, domain, &why, report, error);
			/* Should its directory be removed. */
			save_next_id(registry, ids[i]);
			continue;
		}
		if (rc < 0) {
			rc = 0;
			report(&why);
			save_next_id(registry, ids[i]);
			rundir_remove_tree(domain->dir);
			continue;
		}
		insert(registry, take_ptr(domain));
	}
	free(ids);
	return rc == 0 ? keep_forks(registry, report, error) : rc;
}

void
registry_remove(struct domain *domain)
{
	struct registry *registry = domain->registry;
	struct domain **at = &registry->first;
	size_t i;

	while (*at != domain)
		at = &(*at)->next;
	*at = domain->next;
	registry->count--;
	save_next_id(registry, domain->id);
	/* The file goes last: killed in between, the next forkd goes on. */
	for (i = 0; i < domain->overlays.count; i++)
		unlink(domain->overlays.path[i]);
	rundir_remove_tree(domain->dir);
	domain_free(domain);
}

int
registry_save(const struct domain *domain, struct lf_error *error)
{
	return registry_file_write(domain, error);
}

struct domain *
registry_find_id(struct registry *registry, unsigned id)
{
	struct domain *domain;

	for (domain = registry->first; domain != NULL; domain = domain->next)
		if (domain->id == id)
			return domain;
	return NULL;
}

struct domain *
registry_find_name(struct registry *registry, const char *name)
{
	struct domain *domain;

	for (domain = registry->first; domain != NULL; domain = domain->next)
		if (strcmp(domain->config->name, name) == 0)
			return domain;
	return NULL;
}

int
registry_find(struct registry *registry, const char *id_or_name,
    struct domain **ret_domain, struct lf_error *error)
{
	struct domain *domain;
	char *end;
	unsigned long id;

	domain = registry_find_name(registry, id_or_name);
	if (domain == NULL && isdigit((unsigned char)id_or_name[0])) {
		errno = 0;
		id = strtoul(id_or_name, &end, 10);
		if (*end == '\0' && errno == 0 && id <= INT32_MAX)
			domain = registry_find_id(registry, (unsigned)id);
	}
	if (domain == NULL)
		return error_set(error, ENOENT,
		    "no domain has the id or name '%s'; 'xlfork list' shows "
		    "them",
		    id_or_name);
	*ret_domain = domain;
	return 0;
}

struct domain *
registry_host(struct domain *domain)
{
	return domain->host == 0
		   ? domain
		   : registry_find_id(domain->registry, domain->host);
}

struct peer *
registry_link(const struct domain *domain)
{
	const struct domain *host = registry_host((struct domain *)domain);

	return host != NULL ? host->link : NULL;
}

struct lf_domain_config *
registry_config(const struct domain *domain)
{
	return domain->launch_config != NULL ? domain->launch_config
					     : domain->config;
}

int
registry_check_name(
    struct registry *registry, const char *name, struct lf_error *error)
{
	const struct domain *taken = registry->first;
	int rc = registry_kept_check_name(&registry->kept, name, error);

	if (rc < 0)
		return rc;
	while (taken != NULL && strcmp(taken->config->name, name) != 0 &&
	       strcmp(registry_config(taken)->name, name) != 0)
		taken = taken->next;
	if (taken != NULL)
		return error_set(error, EEXIST,
		    "the name '%s' is taken by domain %u; choose another, or "
		    "destroy that domain",
		    name, taken->id);
	/* An id would be found under it. */
	if (name[strspn(name, "0123456789")] == '\0')
		return error_set(error, EINVAL,
		    "the name '%s' is a number, which would be taken for an "
		    "id",
		    name);
	return 0;
}

int
registry_rename(struct domain *domain, const char *name, struct lf_error *error)
{
	cleanup_free char *old = NULL;
	int rc;

	if (strlen(name) > LF_NAME_MAX)
		return error_set(error, EINVAL,
		    "a name has at most %d bytes, this one %zu", LF_NAME_MAX,
		    strlen(name));
	if (domain->launching)
		return error_set(error, EBUSY,
		    "domain %u ('%s') is being given its device model; rename "
		    "it when it has it",
		    domain->id, domain->config->name);
	if (strcmp(name, domain->config->name) == 0)
		return 0;
	rc = registry_check_name(domain->registry, name, error);
	if (rc < 0)
		return rc;
	old = domain->config->name;
	domain->config->name = NULL;
	rc = lf_domain_config_set(&domain->config->name, name, error);
	if (rc == 0)
		rc = lf_domain_config_check(domain->config, error);
	if (rc == 0)
		rc = registry_save(domain, error);
	if (rc < 0) {
		free(domain->config->name);
		domain->config->name = take_ptr(old);
		return rc;
	}
	return 1;
}

bool
registry_is_holder(const struct domain *domain, const struct domain *of)
{
	/* A dead domain process holds nothing: its lease ended with it. */
	return domain->parent == of->id && registry_link(domain) != NULL;
}

int
registry_check_holders(const struct domain *domain, struct lf_error *error)
{
	const struct domain *other;
	char names[512] = "";
	unsigned count = 0;

	for (other = domain->registry->first; other != NULL;
	     other = other->next) {
		size_t used = strlen(names);

		if (!registry_is_holder(other, domain))
			continue;
		if (++count <= 8)
			snprintf(names + used, sizeof(names) - used,
			    "%s%u ('%.40s')", count > 1 ? ", " : "", other->id,
			    other->config->name);
	}
	if (count == 0)
		return registry_kept_check_forks(
		    &domain->registry->kept, domain, error);
	return error_set(error, EBUSY,
	    "domain %u ('%s') is held by %u fork%s: %s%s; destroy them first",
	    domain->id, domain->config->name, count, count > 1 ? "s" : "",
	    names, count > 8 ? ", ..." : "");
}

json_t *
registry_row(const struct domain *domain)
{
	char uuid[LF_UUID_STRING_SIZE];
	const struct domain *host;
	json_t *row;
	int rc = 0;

	lf_uuid_format(&domain->config->uuid, uuid);
	row = json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "id",
	    (json_int_t)domain->id, "name", domain->config->name, "uuid", uuid,
	    "state", control_state_name(domain->state), "backend",
	    domain->device_model ? "qemu" : "kvm", "memory",
	    (json_int_t)domain->config->memory_bytes, "vcpus",
	    (json_int_t)domain->config->vcpus, "created",
	    (json_int_t)domain->created);
	if (row == NULL)
		return NULL;
	if (domain->reason[0] != '\0')
		rc |= json_object_set_new(
		    row, "reason", control_make_text(domain->reason));
	if (domain->parent != 0)
		rc |= json_object_set_new(
		    row, "parent", json_integer(domain->parent));
	host = registry_host((struct domain *)domain);
	if (host != NULL && host->process.pid > 0)
		rc |= json_object_set_new(
		    row, "pid", json_integer(host->process.pid));
	if (domain->qemu.pid > 0)
		rc |= json_object_set_new(
		    row, "qemu-pid", json_integer(domain->qemu.pid));
	if (rc < 0)
		json_decref(row);
	return rc < 0 ? NULL : row;
}
