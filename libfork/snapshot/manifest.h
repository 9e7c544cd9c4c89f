/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manifest: everything about a snapshot but the bytes of its files, as
 * one JSON object. It comes from outside when it is read: every length, count
 * and name is checked, and a message says which one is wrong.
 *
 * The snapshot's files are numbered in one order: the RAM image's files, the
 * delta if there is one, the device stream if there is one.
 */
#ifndef SNAPSHOT_MANIFEST_H
#define SNAPSHOT_MANIFEST_H

#include <jansson.h>

#include "snapshot/snapshot.h"

/* Files of a snapshot at most. */
#define MANIFEST_FILES_MAX (RAM_FILES_MAX + 2)

/* The manifest as a new object; NULL when out of memory. */
json_t *manifest_write(const struct lf_snapshot *snapshot);

/* The snapshot's descriptors in their order, borrowed; returns how many. */
size_t manifest_files(
    const struct lf_snapshot *snapshot, int fds[MANIFEST_FILES_MAX]);

/*
 * Makes a snapshot out of a manifest and its files. `fds` are borrowed.
 * -EBADMSG or -EINVAL say what does not fit.
 */
int manifest_read(const json_t *manifest, const int *fds, size_t fd_count,
    struct lf_snapshot **ret_snapshot, struct lf_error *error);

#endif
