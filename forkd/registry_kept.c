/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains that the registry leaves alone.
 */
#include "forkd/registry_kept.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/domain.h"
#include "forkd/file_list.h"
#include "forkd/registry.h"
#include "forkd/registry_file.h"

struct registry_kept {
	struct registry_kept *next;
	unsigned id;
	unsigned parent; /* 0: none, or unknown */
	struct file_list names;
};

static void
kept_free(struct registry_kept *kept)
{
	if (kept != NULL)
		file_list_done(&kept->names);
	free(kept);
}
DEFINE_CLEANUP(struct registry_kept *, kept_free);

int
registry_keep(struct registry *registry, const struct domain *domain,
    const struct lf_error *why, void (*report)(const struct lf_error *error),
    struct lf_error *error)
{
	cleanup(kept_free_p) struct registry_kept *kept =
	    sys.calloc(1, sizeof(*kept));
	struct lf_error told;
	int rc;

	if (kept == NULL)
		return error_nomem(error);
	kept->id = domain->id;
	rc = registry_file_peek(domain, &kept->names, &kept->parent, error);
	if (rc < 0)
		return rc;
	error_set(&told, EBADMSG,
	    "domain %u is left alone, its id and name stay taken: %s; run the "
	    "forkd that wrote it, or remove '%s'",
	    domain->id, why->message, domain->dir);
	report(&told);
	kept->next = registry->kept;
	registry->kept = take_ptr(kept);
	registry->kept_count++;
	return 0;
}

bool
registry_is_kept(const struct registry *registry, unsigned id)
{
	const struct registry_kept *kept = registry->kept;

	while (kept != NULL && kept->id != id)
		kept = kept->next;
	return kept != NULL;
}

int
registry_kept_check_name(
    const struct registry *registry, const char *name, struct lf_error *error)
{
	const struct registry_kept *kept = registry->kept;

	while (kept != NULL && !file_list_has(&kept->names, name))
		kept = kept->next;
	if (kept == NULL)
		return 0;
	return error_set(error, EEXIST,
	    "the name '%s' is taken by domain %u in '%s', which this forkd "
	    "leaves alone; choose another",
	    name, kept->id, registry->run_dir);
}

int
registry_check_kept(const struct domain *domain, struct lf_error *error)
{
	const struct registry *registry = domain->registry;
	const struct registry_kept *kept = registry->kept;

	while (kept != NULL && kept->parent != domain->id)
		kept = kept->next;
	if (kept == NULL)
		return 0;
	return error_set(error, EBUSY,
	    "domain %u ('%s') has a fork, domain %u, which this forkd leaves "
	    "alone; run the forkd that wrote its file, or remove "
	    "'%s/domains/%u'",
	    domain->id, domain->config->name, kept->id, registry->run_dir,
	    kept->id);
}

void
registry_kept_done(struct registry *registry)
{
	while (registry->kept != NULL) {
		struct registry_kept *kept = registry->kept;

		registry->kept = kept->next;
		kept_free(kept);
	}
}
