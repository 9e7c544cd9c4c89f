/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of blocks, what a user says of code, and lists from files.
 */
#include "cover/blocks_table.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

/* A list of blocks has no more bytes than this. */
#define LIST_MAX (64UL << 20)

struct blocks {
	struct blocks_spec spec;
	struct cover_block *blocks; /* sorted by start, no overlap */
	size_t count, room;
	uint64_t *entries;
	size_t entry_count, entry_room;
};

int
blocks_new(const struct blocks_spec *spec, struct blocks **ret_blocks,
    struct lf_error *error)
{
	struct blocks *blocks = sys.calloc(1, sizeof(*blocks));

	if (blocks == NULL)
		return error_nomem(error);
	blocks->spec = *spec;
	*ret_blocks = blocks;
	return 0;
}

void
blocks_free(struct blocks *blocks)
{
	if (blocks == NULL)
		return;
	free(blocks->blocks);
	free(blocks->entries);
	free(blocks);
}

int
blocks_add(struct blocks *blocks, const struct cover_block *block,
    struct lf_error *error)
{
	if (blocks->count == blocks->room) {
		size_t room = blocks->room > 0 ? 2 * blocks->room : 256;
		struct cover_block *more =
		    sys.realloc(blocks->blocks, room * sizeof(*more));

		if (more == NULL)
			return error_nomem(error);
		blocks->blocks = more;
		blocks->room = room;
	}
	blocks->blocks[blocks->count++] = *block;
	return 0;
}

int
blocks_add_entry(
    struct blocks *blocks, uint64_t address, struct lf_error *error)
{
	if (blocks->entry_count == blocks->entry_room) {
		size_t room =
		    blocks->entry_room > 0 ? 2 * blocks->entry_room : 64;
		uint64_t *more =
		    sys.realloc(blocks->entries, room * sizeof(*more));

		if (more == NULL)
			return error_nomem(error);
		blocks->entries = more;
		blocks->entry_room = room;
	}
	blocks->entries[blocks->entry_count++] = address;
	return 0;
}

static int
compare_addresses(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void
blocks_sort_entries(struct blocks *blocks)
{
	size_t i, kept = 0;

	if (blocks->entry_count == 0)
		return;
	qsort(blocks->entries, blocks->entry_count, sizeof(*blocks->entries),
	    compare_addresses);
	for (i = 1; i < blocks->entry_count; i++)
		if (blocks->entries[i] != blocks->entries[kept])
			blocks->entries[++kept] = blocks->entries[i];
	blocks->entry_count = kept + 1;
}

/* --- questions --- */

size_t
blocks_count(const struct blocks *blocks)
{
	return blocks->count;
}

const struct cover_block *
blocks_get(const struct blocks *blocks, size_t index)
{
	return &blocks->blocks[index];
}

size_t
blocks_entry_count(const struct blocks *blocks)
{
	return blocks->entry_count;
}

uint64_t
blocks_entry(const struct blocks *blocks, size_t index)
{
	return blocks->entries[index];
}

uint32_t
blocks_around(const struct blocks *blocks, uint64_t address)
{
	size_t low = 0, high = blocks->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (address < blocks->blocks[middle].start)
			high = middle;
		else if (address >= blocks->blocks[middle].end)
			low = middle + 1;
		else
			return (uint32_t)middle;
	}
	return BLOCKS_NONE;
}

uint32_t
blocks_at(const struct blocks *blocks, uint64_t address)
{
	uint32_t index = blocks_around(blocks, address);

	return index != BLOCKS_NONE && blocks->blocks[index].start == address
		   ? index
		   : BLOCKS_NONE;
}

bool
blocks_inside(const struct blocks *blocks, uint64_t address)
{
	size_t i;

	for (i = 0; i < blocks->spec.range_count; i++)
		if (address >= blocks->spec.ranges[i].start &&
		    address < blocks->spec.ranges[i].end)
			return true;
	return false;
}

/* --- as a user says it --- */

static int
add_range(struct blocks_spec *spec, uint64_t start, uint64_t end,
    const char *text, struct lf_error *error)
{
	size_t i;

	if (start >= end)
		return error_set(error, EINVAL,
		    "range '%s' has no end behind its begin", text);
	for (i = 0; i < spec->range_count; i++)
		if (start < spec->ranges[i].end && spec->ranges[i].start < end)
			return error_set(
			    error, EINVAL, "range '%s' overlaps another", text);
	if (spec->range_count == BLOCKS_RANGES_MAX)
		return error_set(
		    error, E2BIG, "more than %d ranges", BLOCKS_RANGES_MAX);
	for (i = spec->range_count; i > 0; i--) {
		if (spec->ranges[i - 1].start < start)
			break;
		spec->ranges[i] = spec->ranges[i - 1];
	}
	spec->ranges[i] = (struct blocks_range){start, end};
	spec->range_count++;
	spec->sweep = true;
	return 0;
}

int
blocks_spec_add_range(struct blocks_spec *spec, const char *text,
    const struct lf_symbols *symbols, struct lf_error *error)
{
	cleanup_free char *first = sys.strdup(text);
	uint64_t start = 0, end = 0;
	char *border;
	int rc;

	if (first == NULL)
		return error_nomem(error);
	/* "a+0x10-b": the last '-' or, without one, the last '+'. */
	border = strrchr(first, '-');
	if (border == NULL)
		border = strrchr(first, '+');
	if (border == NULL || border == first || border[1] == '\0')
		return error_set(error, EINVAL,
		    "range '%s' is not START-END or START+LENGTH", text);
	*border = '\0';
	rc = lf_symbols_resolve(symbols, first, &start, error);
	if (rc == 0)
		rc = lf_symbols_resolve(symbols, border + 1, &end, error);
	if (rc < 0)
		return error_prefix(error, rc, "range '%s'", text);
	if (text[border - first] == '+')
		end += start;
	return add_range(spec, start, end, text, error);
}

int
blocks_spec_add_symbol(struct blocks_spec *spec, const char *name,
    const struct lf_symbols *symbols, struct lf_error *error)
{
	struct lf_symbol symbol, next;
	uint64_t end;
	size_t i;
	int rc;

	if (symbols == NULL)
		return error_set(error, EINVAL,
		    "'%s': without symbols there are no names", name);
	rc = lf_symbols_lookup(symbols, name, &symbol, error);
	if (rc < 0)
		return rc;
	end = symbol.address + symbol.size;
	/* Where the size is not known it ends at the next one. */
	for (i = 0; symbol.size == 0 && i < lf_symbols_count(symbols); i++) {
		lf_symbols_get(symbols, i, &next);
		if (next.address > symbol.address) {
			end = next.address;
			break;
		}
	}
	if (end <= symbol.address)
		return error_set(error, EINVAL,
		    "where '%s' ends is not known: give --range", name);
	return add_range(spec, symbol.address, end, name, error);
}

int
blocks_spec_add(struct blocks_spec *spec, const char *text,
    const struct lf_symbols *symbols, struct lf_error *error)
{
	return strpbrk(text, "-+") != NULL
		   ? blocks_spec_add_range(spec, text, symbols, error)
		   : blocks_spec_add_symbol(spec, text, symbols, error);
}

/* --- lists --- */

static int
compare(const void *a, const void *b)
{
	const struct cover_block *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int
add_line(struct blocks *blocks, char *line, const struct lf_symbols *symbols,
    struct lf_error *error)
{
	struct cover_block block = {0};
	size_t len;
	int rc;

	line[strcspn(line, "#\r")] = '\0';
	line += strspn(line, " \t");
	len = strlen(line);
	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		line[--len] = '\0';
	if (len == 0)
		return 0;
	rc = lf_symbols_resolve(symbols, line, &block.start, error);
	if (rc < 0)
		return rc;
	block.last = block.start;
	block.end = block.start + INSN_MAX;
	return blocks_add(blocks, &block, error);
}

/* Sorts, drops what is there twice, lets each end before the next. */
static void
tidy(struct blocks *blocks)
{
	size_t i, kept = 0;

	qsort(blocks->blocks, blocks->count, sizeof(*blocks->blocks), compare);
	for (i = 0; i < blocks->count; i++) {
		struct cover_block *block = &blocks->blocks[i];

		if (kept > 0 && blocks->blocks[kept - 1].start == block->start)
			continue;
		if (kept > 0 && blocks->blocks[kept - 1].end > block->start)
			blocks->blocks[kept - 1].end = block->start;
		blocks->blocks[kept++] = *block;
	}
	blocks->count = kept;
}

static int
read_all(int fd, const char *name, char **ret_text, struct lf_error *error)
{
	cleanup_free char *text = NULL;
	size_t len = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (len + 1 >= room) {
			char *more;

			room = room > 0 ? 2 * room : 65536;
			more =
			    room <= LIST_MAX ? sys.realloc(text, room) : NULL;
			if (more == NULL)
				return error_set(error,
				    room <= LIST_MAX ? ENOMEM : EFBIG,
				    "%s: too large a list of blocks", name);
			text = more;
		}
		n = sys.read(fd, text + len, room - len - 1);
		if (n < 0)
			return error_sys(error, errno, "%s: cannot read", name);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	*ret_text = take_ptr(text);
	return 0;
}

int
blocks_read(const char *path, const struct lf_symbols *symbols,
    struct blocks **ret_blocks, struct lf_error *error)
{
	static const struct blocks_spec none;
	cleanup_close int fd = -1;
	cleanup_free char *text = NULL;
	struct blocks *blocks = NULL;
	char *line, *rest;
	unsigned number = 0;
	int rc;

	fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return error_sys(error, errno, "cannot open '%s'", path);
	rc = read_all(fd, path, &text, error);
	if (rc == 0)
		rc = blocks_new(&none, &blocks, error);
	for (rest = text; rc == 0 && (line = strsep(&rest, "\n")) != NULL;) {
		number++;
		rc = add_line(blocks, line, symbols, error);
		if (rc < 0)
			rc = error_prefix(error, rc == -ENOMEM ? rc : -EBADMSG,
			    "%s, line %u", path, number);
	}
	if (rc == 0 && blocks->count == 0)
		rc = error_set(error, ENODATA, "%s: no block in it", path);
	if (rc < 0) {
		blocks_free(blocks);
		return rc;
	}
	tidy(blocks);
	*ret_blocks = blocks;
	return 0;
}
