/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two texts that QEMU prints for people and has no machine's form of: the flat
 * view of the address space `memory` (HMP "info mtree -f") and the list of RAM
 * blocks (x-query-ramblock). Both are outside data. What does not look like
 * QEMU 7.2's form, or later ones with columns added, is an error, never
 * skipped: a line that is lost is memory that is lost.
 */
#ifndef QEMU_MTREE_H
#define QEMU_MTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "base/cleanup.h"

/* A range of the flat view that shows bytes of a RAM block. */
struct mtree_range {
	uint64_t gpa;
	uint64_t length;
	uint64_t offset; /* in the region, and so in its RAM block */
	bool readonly;   /* rom, romd */
	char region[128];
};

struct mtree {
	struct mtree_range *ranges; /* owned, ascending, no overlap */
	size_t count;
};

/* -ENOTSUP: memory of a device of the host (VFIO) is among it. */
int mtree_parse(
    const char *text, struct mtree **ret_mtree, struct lf_error *error);
void mtree_free(struct mtree *mtree);
DEFINE_CLEANUP(struct mtree *, mtree_free);

struct ramblock {
	char idstr[256];
	uint64_t page_size;
	uint64_t used; /* bytes that a migration transfers */
	uint64_t total;
};

struct ramblocks {
	struct ramblock *blocks; /* owned */
	size_t count;
};

int ramblocks_parse(
    const char *text, struct ramblocks **ret_blocks, struct lf_error *error);
void ramblocks_free(struct ramblocks *blocks);
DEFINE_CLEANUP(struct ramblocks *, ramblocks_free);

#endif
