/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making a table of blocks: in the order of their addresses.
 */
#ifndef COVER_BLOCKS_TABLE_H
#define COVER_BLOCKS_TABLE_H

#include "cover/blocks.h"

int blocks_new(const struct blocks_spec *spec, struct blocks **ret_blocks,
    struct lf_error *error);
int blocks_add(struct blocks *blocks, const struct cover_block *block,
    struct lf_error *error);

/* In any order and more than once; blocks_sort_entries() comes last. */
int blocks_add_entry(
    struct blocks *blocks, uint64_t address, struct lf_error *error);
void blocks_sort_entries(struct blocks *blocks);

#endif
