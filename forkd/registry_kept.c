/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains that the registry leaves alone.
 */
#include "forkd/registry_kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/domain.h"
#include "forkd/file_list.h"
#include "forkd/registry_file.h"

struct kept_domain {
	struct kept_domain *next;
	unsigned id;
	unsigned parent; /* 0: none, or unknown */
	struct file_list names;
	char dir[]; /* its directory */
};

static void
kept_free(struct kept_domain *kept)
{
	if (kept != NULL)
		file_list_done(&kept->names);
	free(kept);
}
DEFINE_CLEANUP(struct kept_domain *, kept_free);

int
registry_kept_add(struct registry_kept *kept, const struct domain *domain,
    const struct lf_error *why, void (*report)(const struct lf_error *error),
    struct lf_error *error)
{
	size_t size = strlen(domain->dir) + 1;
	cleanup(kept_free_p) struct kept_domain *new =
	    sys.calloc(1, sizeof(*new) + size);
	struct lf_error told;
	int rc;

	if (new == NULL)
		return error_nomem(error);
	new->id = domain->id;
	memcpy(new->dir, domain->dir, size);
	rc = registry_file_peek(domain, &new->names, &new->parent, error);
	if (rc < 0)
		return rc;
	error_set(&told, EBADMSG,
	    "domain %u is left alone, its id and name stay taken: %s; run the "
	    "forkd that wrote it, or remove '%s'",
	    domain->id, why->message, domain->dir);
	report(&told);
	new->next = kept->first;
	kept->first = take_ptr(new);
	kept->count++;
	return 0;
}

bool
registry_kept_has(const struct registry_kept *kept, unsigned id)
{
	const struct kept_domain *each = kept->first;

	while (each != NULL && each->id != id)
		each = each->next;
	return each != NULL;
}

int
registry_kept_check_name(
    const struct registry_kept *kept, const char *name, struct lf_error *error)
{
	const struct kept_domain *each = kept->first;

	while (each != NULL && !file_list_has(&each->names, name))
		each = each->next;
	if (each == NULL)
		return 0;
	return error_set(error, EEXIST,
	    "the name '%s' is taken by domain %u in '%s', which this forkd "
	    "leaves alone; choose another",
	    name, each->id, each->dir);
}

int
registry_kept_check_forks(const struct registry_kept *kept,
    const struct domain *domain, struct lf_error *error)
{
	const struct kept_domain *each = kept->first;

	while (each != NULL && each->parent != domain->id)
		each = each->next;
	if (each == NULL)
		return 0;
	return error_set(error, EBUSY,
	    "domain %u ('%s') has a fork, domain %u, which this forkd leaves "
	    "alone; run the forkd that wrote its file, or remove '%s'",
	    domain->id, domain->config->name, each->id, each->dir);
}

void
registry_kept_done(struct registry_kept *kept)
{
	while (kept->first != NULL) {
		struct kept_domain *each = kept->first;

		kept->first = each->next;
		kept_free(each);
	}
}
