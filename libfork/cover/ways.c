/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of ways, and looking for one.
 */
#include "cover/ways.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/sys.h"
#include "vmi/probes.h"
#include "vmi/space.h"

static size_t
slot_of(const struct way *table, size_t room, uint64_t from)
{
	size_t at = (from * 0x9e3779b97f4a7c15ULL >> 32) & (room - 1);

	while (table[at].from != 0 && table[at].from != from)
		at = (at + 1) & (room - 1);
	return at;
}

static int
grow(struct ways *ways, struct lf_error *error)
{
	size_t room = ways->room > 0 ? 2 * ways->room : 1024, i;
	struct way *table;

	if (2 * ways->count < ways->room)
		return 0;
	table = sys.calloc(room, sizeof(*table));
	if (table == NULL)
		return error_nomem(error);
	for (i = 0; i < ways->room; i++)
		if (ways->table[i].from != 0)
			table[slot_of(table, room, ways->table[i].from)] =
			    ways->table[i];
	free(ways->table);
	ways->table = table;
	ways->room = room;
	return 0;
}

/* Decodes until something branches or the code ends. */
static void
search(const struct ways *ways, struct way *way)
{
	uint64_t pc = way->from;

	while (blocks_inside(ways->blocks, pc)) {
		uint8_t bytes[INSN_MAX];
		size_t len = sizeof(bytes);

		while (len > 0 &&
		       vmi_space_read(ways->space, pc, bytes, len, NULL) < 0)
			len--;
		if (len == 0 || insn_decoder_decode(ways->decoder, bytes, len,
				    pc, &way->insn) < 0)
			return;
		if (way->insn.flow != INSN_NEXT) {
			way->pc = pc;
			return;
		}
		pc += way->insn.len;
	}
}

int
ways_find(struct ways *ways, uint64_t from, struct way *ret_way,
    struct lf_error *error)
{
	struct way way = {.from = from, .probe = -1};
	size_t at;
	int rc = grow(ways, error);

	if (rc < 0)
		return rc;
	at = slot_of(ways->table, ways->room, from);
	if (ways->table[at].from == 0) {
		search(ways, &way);
		if (way.pc != 0) {
			rc = probes_add(
			    ways->probes, ways->space, way.pc, false, error);
			if (rc < 0 && rc != -EXDEV && rc != -EEXIST)
				return rc;
			way.probe = rc;
		}
		ways->table[at] = way;
		ways->count++;
	}
	*ret_way = ways->table[at];
	return 0;
}

int
ways_init(struct ways *ways, const struct blocks *blocks,
    const struct vmi_space *space, struct lf_probes *probes,
    struct lf_error *error)
{
	*ways = (struct ways){
	    .blocks = blocks,
	    .space = space,
	    .probes = probes,
	};
	return insn_decoder_new(&ways->decoder, error);
}

void
ways_done(struct ways *ways)
{
	insn_decoder_free(ways->decoder);
	free(ways->table);
}
