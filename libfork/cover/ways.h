/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ways: where the next branch is, from an address in the code on. Each is
 * looked for once, in the code as it was found, and has a probe that only
 * single forks arm.
 */
#ifndef COVER_WAYS_H
#define COVER_WAYS_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/probe.h>

#include "cover/blocks.h"
#include "insn/insn.h"

struct vmi_space;

struct way {
	uint64_t from; /* 0: a free place of the table */
	uint64_t pc;   /* of the branch; 0: the way leads out of the code */
	struct insn insn;
	int probe; /* at pc; negative: none can be there */
};

/* What is pointed to is borrowed, but for the table and the decoder. */
struct ways {
	const struct blocks *blocks;
	const struct vmi_space *space;
	struct lf_probes *probes;
	struct insn_decoder *decoder;
	struct way *table; /* hash table; `room` is a power of two */
	size_t count, room;
};

int ways_init(struct ways *ways, const struct blocks *blocks,
    const struct vmi_space *space, struct lf_probes *probes,
    struct lf_error *error);

/* All zeros are allowed. */
void ways_done(struct ways *ways);

int ways_find(struct ways *ways, uint64_t from, struct way *ret_way,
    struct lf_error *error);

#endif
