/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The basic blocks of a piece of 64-bit guest code: recursive descent from
 * where it is entered, through jumps, branches, calls and jump tables, within
 * ranges of addresses. With `sweep` code that no path leads to is taken, too:
 * what follows a block that ends, behind padding. Blocks have numbers in the
 * order of their addresses.
 *
 * Code is read once, when blocks are found; it knows nothing of probes.
 */
#ifndef COVER_BLOCKS_H
#define COVER_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/symbols.h>

#include "insn/insn.h"

struct vmi_space;

#define BLOCKS_RANGES_MAX 64
#define BLOCKS_BYTES_MAX  (64UL << 20) /* of all ranges */
#define BLOCKS_NONE       UINT32_MAX

struct blocks_range {
	uint64_t start, end; /* guest-virtual, end behind it */
};

/* Which code, as a user said it. */
struct blocks_spec {
	struct blocks_range ranges[BLOCKS_RANGES_MAX];
	size_t range_count;
	bool sweep;
};

/* A block ends with the instruction at `last`, or where the next one begins. */
struct cover_block {
	uint64_t start, end;
	uint64_t last;
	bool
	    falls; /* into the next one: the last instruction does not end it */
};

struct blocks;

/*
 * Adds a range "START-END" or "START+LENGTH" of addresses as
 * lf_symbols_resolve() knows them, or all of a symbol. -EINVAL, -ENOENT,
 * -E2BIG.
 */
int blocks_spec_add_range(struct blocks_spec *spec, const char *text,
    const struct lf_symbols *symbols, struct lf_error *error);
int blocks_spec_add_symbol(struct blocks_spec *spec, const char *name,
    const struct lf_symbols *symbols, struct lf_error *error);

/* A range where there is a '-' or '+' in `text`, else a symbol. */
int blocks_spec_add(struct blocks_spec *spec, const char *text,
    const struct lf_symbols *symbols, struct lf_error *error);

/*
 * Finds the blocks of the ranges, from these entries on. Entries outside of
 * all ranges are not followed. -ENOENT: there is no code at all; -E2BIG.
 */
int blocks_find(const struct blocks_spec *spec, const uint64_t *entries,
    size_t entry_count, const struct vmi_space *space,
    struct blocks **ret_blocks, struct lf_error *error);

/*
 * Reads a list of blocks: a file with an address or symbol a line; empty lines
 * and what follows a '#' do not count. Nothing is decoded: each block is known
 * by its start only, and no branches are. -EBADMSG names the line.
 */
int blocks_read(const char *path, const struct lf_symbols *symbols,
    struct blocks **ret_blocks, struct lf_error *error);

void blocks_free(struct blocks *blocks);

size_t blocks_count(const struct blocks *blocks);
const struct cover_block *blocks_get(const struct blocks *blocks, size_t index);

/* The block that begins at an address, or the one that an address lies in. */
uint32_t blocks_at(const struct blocks *blocks, uint64_t address);
uint32_t blocks_around(const struct blocks *blocks, uint64_t address);

/* True when it lies in one of the ranges. */
bool blocks_inside(const struct blocks *blocks, uint64_t address);

/* Functions inside that are called, and entries: where a run comes in. In the
 * order of their addresses. */
size_t blocks_entry_count(const struct blocks *blocks);
uint64_t blocks_entry(const struct blocks *blocks, size_t index);

#endif
