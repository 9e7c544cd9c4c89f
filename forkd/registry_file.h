/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's file in the run directory, written by one forkd and read by the
 * next. Knows the format and nothing else.
 */
#ifndef FORKD_REGISTRY_FILE_H
#define FORKD_REGISTRY_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/error.h>

struct domain;
struct file_list;

int registry_file_write(const struct domain *domain, struct lf_error *error);

/*
 * Fills in a domain that has its id and directory. Processes that are gone, or
 * whose number is another's now, are left out.
 */
int registry_file_read(struct domain *domain, struct lf_error *error);

/*
 * Whether an error of reading says that we lack something, and nothing of the
 * file: it may be read another time.
 */
bool registry_file_is_shortage(int rc);

/*
 * Whether the domain has no file. A file gets its name when it is complete: so
 * a forkd was killed that had not made the domain yet, or was removing it.
 */
bool registry_file_is_missing(const struct domain *domain);

/*
 * What a file of whatever version says of the names that the domain has and
 * will have, and of the domain that it was forked from; nothing and 0 where it
 * does not say.
 */
int registry_file_peek(const struct domain *domain, struct file_list *names,
    unsigned *ret_parent, struct lf_error *error);

/* Ids that have a directory; the caller frees `*ret_ids`. */
int registry_file_ids(const char *run_dir, unsigned **ret_ids,
    size_t *ret_count, struct lf_error *error);

#endif
