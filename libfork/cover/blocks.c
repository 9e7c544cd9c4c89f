/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding basic blocks. One byte of notes for each byte of code; a list of
 * addresses still to be looked at. Then the notes are cut into blocks.
 */
#include "cover/blocks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cover/blocks_table.h"
#include "vmi/space.h"

#define PAGE 4096UL

/* Notes. */
#define LENGTH  0x0f /* of the instruction that begins here; 0: none known */
#define LEADER  0x10 /* a block begins here */
#define ENDS    0x20 /* the instruction that begins here ends its block */
#define INSIDE  0x40 /* of an instruction, not its beginning */
#define MISSING 0x80 /* not mapped */

/* What is remembered of the way to an indirect jump. */
#define LEAS 4

/* A jump table has no more entries than this. */
#define TABLE_MAX 4096

struct piece {
	uint64_t start;
	size_t len;
	uint8_t *bytes, *notes;
};

struct finder {
	const struct vmi_space *space;
	struct insn_decoder *decoder;
	struct piece pieces[BLOCKS_RANGES_MAX];
	size_t piece_count;
	uint64_t *work;
	size_t work_count, work_room;
	struct blocks *blocks;
};

/* On a straight way through the code: what a jump table is told by. */
struct path {
	uint64_t leas[LEAS];
	unsigned lea_count;
	bool has_bound;
	uint64_t bound;
};

static struct piece *
piece_of(struct finder *finder, uint64_t address)
{
	size_t i;

	for (i = 0; i < finder->piece_count; i++)
		if (address - finder->pieces[i].start < finder->pieces[i].len)
			return &finder->pieces[i];
	return NULL;
}

static uint8_t *
note_of(struct finder *finder, uint64_t address)
{
	struct piece *piece = piece_of(finder, address);

	return piece != NULL ? &piece->notes[address - piece->start] : NULL;
}

/* A block begins at this address; it is looked at later, if nobody has. */
static int
lead(struct finder *finder, uint64_t address, struct lf_error *error)
{
	uint8_t *note = note_of(finder, address);
	uint64_t *work;

	if (note == NULL || (*note & (INSIDE | MISSING)) != 0)
		return 0;
	if (*note & LEADER)
		return 0;
	*note |= LEADER;
	if (*note & LENGTH)
		return 0;
	if (finder->work_count == finder->work_room) {
		size_t room =
		    finder->work_room > 0 ? 2 * finder->work_room : 256;

		work = sys.realloc(finder->work, room * sizeof(*work));
		if (work == NULL)
			return error_nomem(error);
		finder->work = work;
		finder->work_room = room;
	}
	finder->work[finder->work_count++] = address;
	return 0;
}

/* --- jump tables --- */

/* jmp *table(,%reg,8): the table's entries are addresses. */
static int
follow_absolute(
    struct finder *finder, const struct insn *insn, struct lf_error *error)
{
	uint64_t at = (uint64_t)insn->mem.displacement, target;
	unsigned i;
	int rc = 0;

	for (i = 0; rc == 0 && i < TABLE_MAX; i++) {
		if (vmi_space_read(finder->space, at + 8 * i, &target,
			sizeof(target), NULL) < 0 ||
		    note_of(finder, target) == NULL)
			break;
		rc = lead(finder, target, error);
	}
	return rc;
}

/*
 * lea table(%rip),%a; movslq (%a,%b,4),%b; add %a,%b; jmp *%b: the entries are
 * distances from the table. How many there are is told by the comparison
 * before; without one the table is left alone, because what follows a table
 * can look like it.
 */
static int
follow_relative(
    struct finder *finder, const struct path *path, struct lf_error *error)
{
	unsigned lea;
	uint64_t i;
	int rc = 0;

	for (lea = 0; path->has_bound && lea < path->lea_count && rc == 0;
	     lea++) {
		uint64_t table = path->leas[lea];
		int32_t distance;

		for (i = 0; rc == 0 && i <= path->bound && i < TABLE_MAX; i++) {
			if (vmi_space_read(finder->space, table + 4 * i,
				&distance, sizeof(distance), NULL) < 0 ||
			    note_of(finder, table + (int64_t)distance) == NULL)
				break;
			rc = lead(finder, table + (int64_t)distance, error);
		}
		/* The first table that is one. */
		if (i > path->bound)
			break;
	}
	return rc;
}

static void
remember(struct path *path, const struct insn *insn, uint64_t pc)
{
	if (insn->kind == INSN_CMP) {
		path->has_bound = true;
		path->bound = insn->store_value;
	}
	if (insn->kind != INSN_LEA || insn->mem.base != INSN_RIP)
		return;
	memmove(path->leas + 1, path->leas, sizeof(path->leas) - 8);
	path->leas[0] = pc + insn->len + (uint64_t)insn->mem.displacement;
	if (path->lea_count < LEAS)
		path->lea_count++;
}

/* --- the descent --- */

/* Where execution can go from the end of a block. */
static int
follow(struct finder *finder, const struct path *path, const struct insn *insn,
    uint8_t first_byte, uint64_t pc, struct lf_error *error)
{
	uint64_t next = pc + insn->len;
	int rc = 0;

	switch (insn->flow) {
	case INSN_BRANCH:
		rc = lead(finder, next, error);
		break;
	case INSN_TRAPS:
		/* INT3 is padding; behind others a handler comes back. */
		if (first_byte != 0xcc)
			rc = lead(finder, next, error);
		break;
	case INSN_LEAVES:
		if (!insn->indirect)
			break;
		if (insn->target_reg == INSN_NO_REG &&
		    insn->mem.base == INSN_NO_REG &&
		    insn->mem.index != INSN_NO_REG && insn->mem.scale == 8)
			rc = follow_absolute(finder, insn, error);
		else if (insn->target_reg != INSN_NO_REG)
			rc = follow_relative(finder, path, error);
		break;
	default:
		break;
	}
	if (rc == 0 && insn->has_target)
		rc = lead(finder, insn->target, error);
	return rc;
}

static bool
claims(const struct piece *piece, size_t at, size_t len)
{
	size_t i;

	for (i = 1; i < len; i++)
		if (piece->notes[at + i] & (LENGTH | LEADER | MISSING))
			return false;
	return true;
}

/* Decodes from a leader to the end of its block. */
static int
descend(struct finder *finder, struct piece *piece, uint64_t pc,
    struct lf_error *error)
{
	size_t at = pc - piece->start, i;
	struct path path = {0};
	struct insn insn;
	int rc;

	for (; at < piece->len; at += insn.len) {
		uint8_t *note = &piece->notes[at];

		if (*note & (INSIDE | MISSING))
			return 0;
		if (*note & LENGTH) {
			/* Two ways come together here. */
			*note |= LEADER;
			return 0;
		}
		if (insn_decoder_decode(finder->decoder, piece->bytes + at,
			piece->len - at, piece->start + at, &insn) < 0 ||
		    !claims(piece, at, insn.len))
			return 0;
		*note |= insn.len;
		for (i = 1; i < insn.len; i++)
			piece->notes[at + i] |= INSIDE;
		remember(&path, &insn, piece->start + at);
		if (insn.flow == INSN_CALLS && insn.has_target &&
		    note_of(finder, insn.target) != NULL) {
			rc = blocks_add_entry(
			    finder->blocks, insn.target, error);
			if (rc == 0)
				rc = lead(finder, insn.target, error);
			if (rc < 0)
				return rc;
		}
		if (insn.flow == INSN_NEXT || insn.flow == INSN_CALLS)
			continue;
		*note |= ENDS;
		return follow(finder, &path, &insn, piece->bytes[at],
		    piece->start + at, error);
	}
	return 0;
}

static int
work(struct finder *finder, struct lf_error *error)
{
	int rc = 0;

	while (finder->work_count > 0 && rc == 0) {
		uint64_t pc = finder->work[--finder->work_count];
		struct piece *piece = piece_of(finder, pc);

		if (piece != NULL &&
		    (piece->notes[pc - piece->start] & (LENGTH | INSIDE)) == 0)
			rc = descend(finder, piece, pc, error);
	}
	return rc;
}

/* NOPs of any length, INT3 and zeros lie between functions. */
static size_t
padding(const struct finder *finder, const struct piece *piece, size_t at)
{
	struct insn insn;
	const uint8_t *bytes = piece->bytes + at;
	size_t skip = 0;

	if (bytes[0] == 0xcc || bytes[0] == 0x90 || bytes[0] == 0)
		return 1;
	while (at + skip + 1 < piece->len &&
	       (bytes[skip] == 0x66 || bytes[skip] == 0x2e))
		skip++;
	if (at + skip + 2 > piece->len ||
	    !(bytes[skip] == 0x90 ||
		(bytes[skip] == 0x0f && bytes[skip + 1] == 0x1f)) ||
	    insn_decoder_decode(finder->decoder, bytes, piece->len - at,
		piece->start + at, &insn) < 0)
		return 0;
	return insn.len;
}

/* How far to go on from here; what begins here is known afterwards. */
static int
sweep_at(struct finder *finder, struct piece *piece, size_t at,
    size_t *ret_skip, struct lf_error *error)
{
	const size_t known = piece->notes[at] & LENGTH;
	int rc;

	if (known != 0 || (piece->notes[at] & (INSIDE | MISSING)) != 0) {
		*ret_skip = known != 0 ? known : 1;
		return 0;
	}
	*ret_skip = padding(finder, piece, at);
	if (*ret_skip != 0)
		return 0;
	rc = lead(finder, piece->start + at, error);
	if (rc == 0)
		rc = work(finder, error);
	*ret_skip = piece->notes[at] & LENGTH ? 0 : 1;
	return rc;
}

/*
 * What no way led to. It begins where known code ends, so that instructions
 * are met at their beginnings.
 */
static int
sweep(struct finder *finder, struct lf_error *error)
{
	size_t i, at, skip;
	int rc = 0;

	for (i = 0; i < finder->piece_count; i++) {
		struct piece *piece = &finder->pieces[i];

		for (at = 0; at < piece->len && rc == 0; at += skip)
			rc = sweep_at(finder, piece, at, &skip, error);
	}
	return rc;
}

/* --- cutting --- */

static int
cut(struct finder *finder, struct lf_error *error)
{
	size_t i, at;
	int rc = 0;

	for (i = 0; i < finder->piece_count && rc == 0; i++) {
		const struct piece *piece = &finder->pieces[i];
		struct cover_block block = {0};
		bool open = false;

		for (at = 0; at < piece->len && rc == 0;) {
			uint8_t note = piece->notes[at];
			uint8_t len = note & LENGTH;

			if (len == 0) {
				open = false;
				at++;
				continue;
			}
			if (!open)
				block.start = piece->start + at;
			open = true;
			block.last = piece->start + at;
			at += len;
			block.end = piece->start + at;
			if ((note & ENDS) == 0 && at < piece->len &&
			    (piece->notes[at] & LEADER) == 0 &&
			    (piece->notes[at] & LENGTH) != 0)
				continue;
			block.falls = (note & ENDS) == 0;
			rc = blocks_add(finder->blocks, &block, error);
			open = false;
		}
	}
	return rc;
}

/* --- all of it --- */

static int
load_piece(struct finder *finder, const struct blocks_range *range,
    struct lf_error *error)
{
	struct piece *piece = &finder->pieces[finder->piece_count];
	size_t at;

	piece->start = range->start;
	piece->len = range->end - range->start;
	piece->bytes = sys.calloc(1, piece->len);
	piece->notes = sys.calloc(1, piece->len);
	finder->piece_count++;
	if (piece->bytes == NULL || piece->notes == NULL)
		return error_nomem(error);
	for (at = 0; at < piece->len;) {
		size_t part = PAGE - (piece->start + at) % PAGE;

		if (part > piece->len - at)
			part = piece->len - at;
		if (vmi_space_read(finder->space, piece->start + at,
			piece->bytes + at, part, NULL) < 0)
			memset(piece->notes + at, MISSING, part);
		at += part;
	}
	return 0;
}

static int
find(struct finder *finder, const struct blocks_spec *spec,
    const uint64_t *entries, size_t entry_count, struct lf_error *error)
{
	size_t i;
	int rc = insn_decoder_new(&finder->decoder, error);

	for (i = 0; rc == 0 && i < spec->range_count; i++)
		rc = load_piece(finder, &spec->ranges[i], error);
	for (i = 0; rc == 0 && i < entry_count; i++) {
		if (note_of(finder, entries[i]) == NULL)
			continue;
		rc = blocks_add_entry(finder->blocks, entries[i], error);
		if (rc == 0)
			rc = lead(finder, entries[i], error);
	}
	if (rc == 0)
		rc = work(finder, error);
	if (rc == 0 && spec->sweep)
		rc = sweep(finder, error);
	blocks_sort_entries(finder->blocks);
	if (rc == 0)
		rc = cut(finder, error);
	if (rc == 0 && blocks_count(finder->blocks) == 0)
		rc = error_set(error, ENOENT,
		    "no code in 0x%" PRIx64 "-0x%" PRIx64
		    " that is reached from where a run begins",
		    spec->ranges[0].start, spec->ranges[0].end);
	return rc;
}

int
blocks_find(const struct blocks_spec *spec, const uint64_t *entries,
    size_t entry_count, const struct vmi_space *space,
    struct blocks **ret_blocks, struct lf_error *error)
{
	struct finder finder = {.space = space};
	uint64_t bytes = 0;
	size_t i;
	int rc;

	for (i = 0; i < spec->range_count; i++)
		bytes += spec->ranges[i].end - spec->ranges[i].start;
	if (bytes > BLOCKS_BYTES_MAX)
		return error_set(error, E2BIG,
		    "%" PRIu64 " bytes of code for coverage, %lu at most: give "
		    "a smaller range",
		    bytes, BLOCKS_BYTES_MAX);
	rc = blocks_new(spec, &finder.blocks, error);
	if (rc == 0)
		rc = find(&finder, spec, entries, entry_count, error);
	for (i = 0; i < finder.piece_count; i++) {
		free(finder.pieces[i].bytes);
		free(finder.pieces[i].notes);
	}
	insn_decoder_free(finder.decoder);
	free(finder.work);
	if (rc < 0) {
		blocks_free(finder.blocks);
		return rc;
	}
	*ret_blocks = finder.blocks;
	return 0;
}
