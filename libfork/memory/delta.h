/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making the RAM image of a frozen fork: its snapshot's base, and one delta
 * that holds what the snapshot's delta and the fork's own pages differ in.
 */
#ifndef MEMORY_DELTA_H
#define MEMORY_DELTA_H

#include <libfork/error.h>

#include "memory/dirty_set.h"
#include "memory/image.h"
#include "memory/view.h"

/*
 * An image of what the view shows now. `set` has every page that may differ
 * from the view's image. Shares the image's files; past RAM_RUNS_MAX runs the
 * delta becomes a new base: the files it lies over are copied.
 */
int delta_freeze(const struct memory_view *view, const struct dirty_set *set,
    struct ram_image **ret, struct lf_error *error);

/*
 * Where the view shows something else than the image's files have: the image's
 * own delta, the pages of `set` that differ, what regions hide. Runs of whole
 * pages, sorted, to be read with memory_view_read_file(); `at` has no meaning.
 * The caller frees them.
 */
int delta_find(const struct memory_view *view, const struct dirty_set *set,
    struct ram_run **ret_runs, size_t *ret_count, struct lf_error *error);

/* The same content without a delta. */
int delta_flatten(const struct ram_image *image, struct ram_image **ret,
    struct lf_error *error);

#endif
