/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Basic blocks: a linear sweep that notes where instructions begin and which
 * of them a jump inside the range goes to, then cuts there.
 */
#include <capstone/capstone.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "insn/capstone.h"

/* What is known of each byte. */
#define LENGTH 0x0f /* of the instruction that begins here; 0: none does */
#define LEADER 0x10 /* a block begins here */
#define ENDS   0x20 /* the instruction that begins here ends its block */

struct sweep {
	enum insn_mode mode;
	const uint8_t *bytes;
	size_t len;
	uint64_t pc;
	uint8_t
	    *mark; /* one per byte, and one behind the end: no instruction */
};

static void
lead(struct sweep *sweep, uint64_t target)
{
	if (target - sweep->pc < sweep->len)
		sweep->mark[target - sweep->pc] |= LEADER;
}

static int
find_instructions(struct sweep *sweep, struct lf_error *error)
{
	size_t handle, at = 0;
	struct insn insn;
	int rc = insn_open(sweep->mode, &handle, error);

	if (rc < 0)
		return rc;
	lead(sweep, sweep->pc);
	while (at < sweep->len) {
		if (insn_decode_with(handle, sweep->bytes + at, sweep->len - at,
			sweep->pc + at, &insn, NULL) < 0) {
			at++;
			sweep->mark[at] |= LEADER;
			continue;
		}
		sweep->mark[at] |= insn.len;
		if (insn.has_target && insn.flow != INSN_CALLS)
			lead(sweep, insn.target);
		if (insn.flow != INSN_NEXT && insn.flow != INSN_CALLS) {
			sweep->mark[at] |= ENDS;
			sweep->mark[at + insn.len] |= LEADER;
		}
		at += insn.len;
	}
	cs_close(&handle);
	return 0;
}

/*
 * Counts the blocks, and writes them down if there is somewhere to. A leader
 * in the middle of an instruction (a jump into it) is none of this sweep's.
 */
static size_t
cut(const struct sweep *sweep, struct insn_block *blocks)
{
	struct insn_block block = {0};
	size_t at = 0, count = 0;

	while (at < sweep->len) {
		uint8_t mark = sweep->mark[at];
		uint8_t next;

		if ((mark & LENGTH) == 0) {
			at++;
			continue;
		}
		if (block.insns++ == 0)
			block.start = sweep->pc + at;
		at += mark & LENGTH;
		block.len = sweep->pc + at - block.start;
		next = sweep->mark[at];
		if ((mark & ENDS) == 0 && (next & LEADER) == 0 &&
		    (next & LENGTH) != 0)
			continue;
		if (blocks != NULL)
			blocks[count] = block;
		count++;
		block = (struct insn_block){0};
	}
	return count;
}

int
insn_blocks(enum insn_mode mode, const uint8_t *bytes, size_t len, uint64_t pc,
    struct insn_block **ret_blocks, size_t *ret_count, struct lf_error *error)
{
	cleanup_free uint8_t *mark = sys.calloc(1, len + 1);
	struct sweep sweep = {mode, bytes, len, pc, mark};
	struct insn_block *blocks;
	size_t count;
	int rc;

	if (mark == NULL)
		return error_nomem(error);
	rc = find_instructions(&sweep, error);
	if (rc < 0)
		return rc;
	count = cut(&sweep, NULL);
	blocks = sys.calloc(count + 1, sizeof(*blocks));
	if (blocks == NULL)
		return error_nomem(error);
	cut(&sweep, blocks);
	*ret_blocks = blocks;
	*ret_count = count;
	return 0;
}
