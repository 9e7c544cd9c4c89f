/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Coverage by probes: which code it is about, and the set of probes that all
 * watchers of a fork share.
 */
#ifndef COVER_CODE_H
#define COVER_CODE_H

#include <libfork/probe.h>
#include <libfork/symbols.h>

#include "cover/blocks.h"
#include "cover/cover.h"

/*
 * The probes of one fork's watchers. Made empty; the first watcher that
 * attaches makes the set. To be freed after the watchers.
 */
struct cover_probes {
	struct lf_probes *set;
};

void cover_probes_done(struct cover_probes *probes);
int cover_probes_ready(struct cover_probes *probes, struct lf_domain *domain,
    struct lf_error *error);

struct cover_code {
	struct blocks_spec spec;          /* no range: the list */
	const char *list_path;            /* file with a list; NULL: none */
	const struct lf_symbols *symbols; /* NULL: none */
};

/*
 * The blocks that `code` is about, in a fork at its start point, as vCPU `vcpu`
 * sees it: what is reached from there, from the begin of every range and from
 * every function in them that has a symbol.
 */
int cover_code_find(const struct cover_code *code, struct lf_domain *domain,
    unsigned vcpu, struct blocks **ret_blocks, struct lf_error *error);

/*
 * How much of a map of `given` bytes is used for so many blocks: what is not
 * need not be cleared and looked through for each run, and afl-fuzz offers
 * 8 MiB to who does not say.
 */
size_t cover_code_map(size_t given, size_t block_count);

/*
 * Every block costs one exit when it is executed first, for all forks of the
 * set together; then nothing. A run that finds new blocks is made once more
 * (COVER_AGAIN), to have all of its blocks in the map; inputs that did are
 * remembered, so that the same input gives the same map again. What `code`
 * points to must stay until attach.
 */
int cover_block_new(const struct cover_code *code, struct cover_probes *probes,
    uint8_t *map, size_t map_bytes, struct cover **ret_cover,
    struct lf_error *error);

/*
 * Every branch in the code is followed, at an exit each, and counted in the
 * map by the blocks that it goes from and to. Calls out of the code are not.
 */
int cover_edge_new(const struct cover_code *code, struct cover_probes *probes,
    uint8_t *map, size_t map_bytes, struct cover **ret_cover,
    struct lf_error *error);

/*
 * Of a watcher made by one of these, after attach: its blocks, and which of
 * them were executed since (one byte each).
 */
const struct blocks *cover_block_blocks(const struct cover *cover);
const uint8_t *cover_block_seen(const struct cover *cover);
/* False: it is shorter than a probe, or would have one across a page. */
bool cover_block_probed(const struct cover *cover, size_t block);
const struct blocks *cover_edge_blocks(const struct cover *cover);
const uint8_t *cover_edge_seen(const struct cover *cover);

#endif
