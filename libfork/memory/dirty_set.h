/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dirty set of a fork: every page that may differ from the snapshot. A
 * page in it is hot: private and writable, its next write costs nothing, and
 * a reset makes it equal again. A page found equal many times in a row is
 * given up: shared with the image again, its next write reported anew.
 *
 * It does not know where reports come from: a dirty ring, a bitmap, or
 * libfork's own writes.
 */
#ifndef MEMORY_DIRTY_SET_H
#define MEMORY_DIRTY_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "memory/view.h"

/* A page equal this many resets in a row is given up. */
#define DIRTY_AGE_MAX 100

struct dirty_page {
	uint8_t *memory;
	const uint8_t *source;
	uint64_t page;
	uint32_t age; /* resets since it was last found changed */
};

struct dirty_set {
	const struct memory_view *view; /* borrowed */
	uint64_t *bits;                 /* by page number: in the set */
	struct dirty_page *pages;
	size_t count, size;

	uint64_t restored;  /* pages copied back */
	uint64_t unchanged; /* pages found equal */
	uint64_t dropped;   /* pages given up */
};

int dirty_set_init(struct dirty_set *set, const struct memory_view *view,
    struct lf_error *error);
void dirty_set_done(struct dirty_set *set);

/*
 * Makes room for `count` more pages, so that adding them cannot fail. Only
 * this allocates, and only when the set has never been as large.
 */
int dirty_set_reserve(
    struct dirty_set *set, size_t count, struct lf_error *error);

/* Adds a page for which there is room; one that is in already is no error. */
void dirty_set_add(struct dirty_set *set, uint64_t page);

bool dirty_set_has(const struct dirty_set *set, uint64_t page);

/* Writes bytes to memory_view_check()ed memory; room is made inside. */
int dirty_set_write(struct dirty_set *set, uint64_t gpa, const void *bytes,
    size_t len, struct lf_error *error);

/* Looks up anew what the pages are to be made equal to. */
void dirty_set_rebase(struct dirty_set *set);

/* Makes all pages equal to the image, keeps the hot ones, drops old ones. */
void dirty_set_restore(struct dirty_set *set);

/* Makes all pages equal to the image by sharing them again. */
void dirty_set_drop(struct dirty_set *set);

/* Makes all pages equal to the image and forgets them: they stay private. */
void dirty_set_restore_forget(struct dirty_set *set);

#endif
