/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Line by line. The forms are those of QEMU's softmmu/memory.c,
 * mtree_print_flatview(), and softmmu/physmem.c, ram_block_format().
 */
#include "qemu/mtree.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

#define RANGES_MAX 4096
#define BLOCKS_MAX 256
#define LINE_BYTES 512

/*
 * Copies the next line without its end; false when there is none. Too long a
 * line comes out as one that no form fits.
 */
static bool
next_line(const char **text, char line[LINE_BYTES])
{
	size_t len = strcspn(*text, "\n");

	if (**text == '\0')
		return false;
	snprintf(line, LINE_BYTES, "%.*s",
	    len < LINE_BYTES ? (int)len : LINE_BYTES - 1, *text);
	*text += len + ((*text)[len] == '\n');
	len = strlen(line);
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
		line[--len] = '\0';
	return true;
}

/* Makes room for one more element of an owned array. */
static int
grow(void **array, size_t count, size_t element, size_t max, const char *what,
    struct lf_error *error)
{
	void *more;

	if (count >= max)
		return error_set(error, EBADMSG, "more than %zu %s", max, what);
	if ((count & (count - 1)) != 0)
		return 0; /* room up to the next power of two */
	more = sys.realloc(*array, (count > 0 ? 2 * count : 1) * element);
	if (more == NULL)
		return error_nomem(error);
	*array = more;
	return 0;
}

void
mtree_free(struct mtree *mtree)
{
	if (mtree == NULL)
		return;
	free(mtree->ranges);
	free(mtree);
}

void
ramblocks_free(struct ramblocks *blocks)
{
	if (blocks == NULL)
		return;
	free(blocks->blocks);
	free(blocks);
}

static int
bad_line(const char *what, const char *line, struct lf_error *error)
{
	return error_set(
	    error, EBADMSG, "%s: cannot make out '%s'", what, line);
}

/* What a range is, by the word in its line. */
enum kind {
	KIND_IO,
	KIND_RAM,
	KIND_ROM,
	KIND_DEVICE,
	KIND_UNKNOWN,
};

static enum kind
kind_of(const char *word)
{
	if (strncmp(word, "nv-", 3) == 0)
		word += 3;
	if (strcmp(word, "i/o") == 0)
		return KIND_IO;
	if (strcmp(word, "ram") == 0)
		return KIND_RAM;
	if (strcmp(word, "rom") == 0 || strcmp(word, "romd") == 0)
		return KIND_ROM;
	if (strcmp(word, "ramd") == 0)
		return KIND_DEVICE;
	return KIND_UNKNOWN;
}

/* Splits "REGION @OFFSET KVM", the last two of which may be missing. */
static int
split_region(char *text, const char *line, struct mtree_range *range,
    struct lf_error *error)
{
	size_t len = strlen(text);
	char *at;

	if (len > 4 && strcmp(text + len - 4, " KVM") == 0)
		text[len - 4] = '\0';
	at = strstr(text, " @");
	if (at != NULL) {
		char *end;

		range->offset = strtoull(at + 2, &end, 16);
		if (end != at + 2 + 16 || *end != '\0')
			return bad_line("memory map", line, error);
		*at = '\0';
	}
	if (text[0] == '\0' || strlen(text) >= sizeof(range->region))
		return bad_line("memory map", line, error);
	strcpy(range->region, text);
	return 0;
}

/* "  START-END (prio N, KIND): REGION..." with 16 digits each. */
static int
parse_range(struct mtree *mtree, char *line, struct lf_error *error)
{
	struct mtree_range range = {0};
	uint64_t last;
	char kind[16];
	int used = 0, rc;
	enum kind is;

	if (sscanf(line, " %16" SCNx64 "-%16" SCNx64 " (prio %*d, %15[^)]): %n",
		&range.gpa, &last, kind, &used) != 3 ||
	    used == 0 || last < range.gpa)
		return bad_line("memory map", line, error);
	is = kind_of(kind);
	if (is == KIND_UNKNOWN)
		return bad_line("memory map", line, error);
	if (is == KIND_IO)
		return 0;
	if (is == KIND_DEVICE)
		return error_set(error, ENOTSUP,
		    "the guest uses memory of a host device (%s): such a "
		    "domain cannot be forked",
		    line + used);
	range.readonly = is == KIND_ROM;
	range.length = last - range.gpa + 1;
	rc = split_region(line + used, line, &range, error);
	if (rc < 0)
		return rc;
	if (range.length == 0 || range.offset + range.length < range.offset)
		return bad_line("memory map", line, error);
	if (mtree->count > 0) {
		const struct mtree_range *before =
		    &mtree->ranges[mtree->count - 1];

		if (range.gpa < before->gpa ||
		    range.gpa - before->gpa < before->length)
			return error_set(error, EBADMSG,
			    "memory map: 0x%" PRIx64
			    " (%s) is not behind 0x%" PRIx64 " (%s)",
			    range.gpa, range.region, before->gpa,
			    before->region);
	}
	rc = grow((void **)&mtree->ranges, mtree->count, sizeof(range),
	    RANGES_MAX, "ranges in the memory map", error);
	if (rc == 0)
		mtree->ranges[mtree->count++] = range;
	return rc;
}

/*
 * Views come one after the other, each a line "FlatView", the address spaces
 * that have it, and its ranges.
 */
int
mtree_parse(const char *text, struct mtree **ret_mtree, struct lf_error *error)
{
	static const char wanted[] = " AS \"memory\", ";
	cleanup(mtree_free_p) struct mtree *mtree = NULL;
	char line[LINE_BYTES];
	bool found = false, inside = false;

	mtree = sys.calloc(1, sizeof(*mtree));
	if (mtree == NULL)
		return error_nomem(error);
	while (next_line(&text, line)) {
		int rc;

		if (strncmp(line, "FlatView #", 10) == 0) {
			inside = false;
		} else if (strncmp(line, wanted, sizeof(wanted) - 1) == 0) {
			found = inside = true;
		} else if (inside && strncmp(line, "  ", 2) == 0 &&
			   isxdigit((unsigned char)line[2])) {
			rc = parse_range(mtree, line, error);
			if (rc < 0)
				return rc;
		} else if (inside && line[0] != '\0' &&
			   strncmp(line, " AS \"", 5) != 0 &&
			   strncmp(line, " Root memory region: ", 21) != 0) {
			return bad_line("memory map", line, error);
		}
	}
	if (!found || mtree->count == 0)
		return error_set(error, EBADMSG,
		    "memory map: QEMU shows no address space 'memory'");
	*ret_mtree = take_ptr(mtree);
	return 0;
}

static uint64_t
unit_bytes(const char *unit)
{
	static const char units[][4] = {"B", "KiB", "MiB", "GiB"};
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(unit, units[i]) == 0)
			return UINT64_C(1) << (10 * i);
	return 0;
}

/* "IDSTR  4 KiB  0xOFFSET 0xUSED 0xTOTAL"; later QEMUs add columns. */
static int
parse_block(struct ramblocks *blocks, const char *line, struct lf_error *error)
{
	struct ramblock block = {0};
	uint64_t pages, offset;
	char unit[8];
	size_t i;
	int rc;

	if (sscanf(line,
		" %255s %" SCNu64 " %7s 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64,
		block.idstr, &pages, unit, &offset, &block.used,
		&block.total) != 6 ||
	    unit_bytes(unit) == 0 || pages == 0 || pages > 1024 ||
	    block.used > block.total)
		return bad_line("RAM blocks", line, error);
	block.page_size = pages * unit_bytes(unit);
	for (i = 0; i < blocks->count; i++)
		if (strcmp(blocks->blocks[i].idstr, block.idstr) == 0)
			return error_set(error, EBADMSG,
			    "RAM blocks: '%s' twice", block.idstr);
	rc = grow((void **)&blocks->blocks, blocks->count, sizeof(block),
	    BLOCKS_MAX, "RAM blocks", error);
	if (rc == 0)
		blocks->blocks[blocks->count++] = block;
	return rc;
}

int
ramblocks_parse(
    const char *text, struct ramblocks **ret_blocks, struct lf_error *error)
{
	cleanup(ramblocks_free_p) struct ramblocks *blocks = NULL;
	char line[LINE_BYTES] = "";

	blocks = sys.calloc(1, sizeof(*blocks));
	if (blocks == NULL)
		return error_nomem(error);
	if (!next_line(&text, line) || strstr(line, "Block Name") == NULL ||
	    strstr(line, "Used") == NULL)
		return bad_line("RAM blocks", line, error);
	while (next_line(&text, line)) {
		int rc;

		if (line[0] == '\0')
			continue;
		rc = parse_block(blocks, line, error);
		if (rc < 0)
			return rc;
	}
	if (blocks->count == 0)
		return error_set(error, EBADMSG, "RAM blocks: QEMU lists none");
	*ret_blocks = take_ptr(blocks);
	return 0;
}
