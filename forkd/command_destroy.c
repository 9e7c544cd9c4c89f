/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command that ends domains. One whose snapshot somebody holds is refused:
 * forkd knows of forks, the domain process of other processes.
 */
#include "forkd/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/life.h"
#include "forkd/peer.h"
#include "forkd/registry_kept.h"
#include "forkd/role.h"

/* A domain process that hangs is no reason to keep it. */
#define CHECK_MS 5000

struct destruction {
	struct peer_request *request;
	json_t *ids;
	unsigned running;
};

static void
on_destroyed(void *opaque)
{
	struct destruction *d = opaque;

	if (--d->running > 0)
		return;
	peer_return(
	    d->request, json_pack("{s:o}", "destroyed", d->ids), NULL, 0);
	free(d);
}

static bool
descends_from(const struct domain *domain, const struct domain *ancestor)
{
	while (domain != NULL && domain != ancestor)
		domain = registry_find_id(domain->registry, domain->parent);
	return domain != NULL;
}

static struct domain *
next_marked(struct registry *registry)
{
	struct domain *domain = registry->first;

	while (domain != NULL && !domain->marked)
		domain = domain->next;
	return domain;
}

/* Forks that are left alone would be lost with what they were forked from. */
static int
check_kept_below(const struct domain *domain, struct lf_error *error)
{
	const struct domain *each = domain->registry->first;
	int rc = 0;

	for (; rc == 0 && each != NULL; each = each->next)
		if (descends_from(each, domain))
			rc = registry_kept_check_forks(
			    &each->registry->kept, each, error);
	return rc;
}

/* Destroys the domain and, if `all`, everything that was forked from it. */
static void
destroy(struct daemon *daemon, struct domain *domain, bool all,
    struct peer_request *request)
{
	struct destruction *d = sys.calloc(1, sizeof(*d));
	struct registry *registry = &daemon->registry;
	struct domain *each;
	struct lf_error error;

	if (d == NULL) {
		error_nomem(&error);
		peer_fail(request, &error);
		return;
	}
	d->request = request;
	d->ids = json_array();
	/* Held until all have been told. */
	d->running = 1;
	/* Marked first: a domain without a parent descends from nobody. */
	for (each = registry->first; each != NULL; each = each->next)
		each->marked =
		    !each->doomed &&
		    (each == domain || (all && descends_from(each, domain)));
	/* From the start each time: an end can bring others with it. */
	while ((each = next_marked(registry)) != NULL) {
		each->marked = false;
		if (each->doomed)
			continue;
		json_array_append_new(d->ids, json_integer(each->id));
		d->running++;
		life_destroy(daemon, each, "destroyed", on_destroyed, d);
	}
	on_destroyed(d);
}

/* --- one that somebody may hold --- */

static void
refuse(struct peer_request *request, struct lf_error *error)
{
	size_t used = strlen(error->message);

	snprintf(error->message + used, sizeof(error->message) - used,
	    ", or destroy all with --recursive");
	peer_fail(request, error);
}

struct check {
	struct daemon *daemon;
	struct peer_request *request;
	unsigned id;
};

static void
on_checked(void *opaque, const struct lf_error *held, json_t *result,
    struct channel_message *answer)
{
	struct check *check = opaque;
	struct domain *domain =
	    registry_find_id(&check->daemon->registry, check->id);
	struct lf_error error;

	(void)result;
	(void)answer;
	if (domain == NULL || domain->doomed) {
		error_set(&error, ENOENT, "domain %u was destroyed", check->id);
		peer_fail(check->request, &error);
	} else if (held != NULL && held->code == -ENOMEM) {
		/* Nobody was asked. */
		peer_fail(check->request, held);
	} else if (held != NULL && held->code == -EBUSY) {
		error = *held;
		error_prefix(&error, error.code, "domain %u ('%s')", domain->id,
		    domain->config->name);
		refuse(check->request, &error);
	} else if (registry_check_holders(domain, &error) < 0)
		/* It was forked meanwhile. */
		refuse(check->request, &error);
	else
		destroy(check->daemon, domain, false, check->request);
	free(check);
}

/* Asks its domain process who else has the snapshot. */
static void
destroy_unless_leased(
    struct daemon *daemon, struct domain *domain, struct peer_request *request)
{
	struct check *check = sys.calloc(1, sizeof(*check));
	struct lf_error error;

	if (check == NULL) {
		error_nomem(&error);
		peer_fail(request, &error);
		return;
	}
	*check = (struct check){daemon, request, domain->id};
	life_call(domain, ROLE_CHECK_LEASES, NULL, CHECK_MS, on_checked, check);
}

void
command_destroy(
    struct client *client, struct domain *domain, struct peer_request *request)
{
	bool all = json_is_true(peer_request_argument(request, "recursive"));
	struct lf_error error;

	if (check_kept_below(domain, &error) < 0)
		peer_fail(request, &error);
	else if (!all && registry_check_holders(domain, &error) < 0)
		refuse(request, &error);
	else if (!all && domain->state == CONTROL_FROZEN)
		destroy_unless_leased(client->daemon, domain, request);
	else
		destroy(client->daemon, domain, all, request);
}
