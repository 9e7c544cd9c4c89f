/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains that the registry leaves alone: another forkd may have written their
 * files, in a format of its own, and they may run. Of such a domain nothing is
 * touched; its id and its names stay taken.
 */
#ifndef FORKD_REGISTRY_KEPT_H
#define FORKD_REGISTRY_KEPT_H

#include <stdbool.h>

#include <libfork/error.h>

struct domain;
struct kept_domain;

struct registry_kept {
	struct kept_domain *first;
	unsigned count;
};

/* Notes a domain as left alone, and reports it with the reason. */
int registry_kept_add(struct registry_kept *kept, const struct domain *domain,
    const struct lf_error *why, void (*report)(const struct lf_error *error),
    struct lf_error *error);

bool registry_kept_has(const struct registry_kept *kept, unsigned id);

/* -EEXIST when such a domain has the name, or will have it by its launch. */
int registry_kept_check_name(
    const struct registry_kept *kept, const char *name, struct lf_error *error);

/*
 * -EBUSY when such a domain was forked from this one. It may live of this one's
 * snapshot or in its process.
 */
int registry_kept_check_forks(const struct registry_kept *kept,
    const struct domain *domain, struct lf_error *error);

void registry_kept_done(struct registry_kept *kept);

#endif
