/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Coverage by one-shot probes at basic blocks.
 *
 * A probe that was hit is lifted for all forks, so an input that is run twice
 * would show different maps. A run that hit a new block is therefore made once
 * more with all known blocks armed in this fork alone (its trace), and the map
 * is the trace's. The traces of the last such inputs are kept: the fuzzer runs
 * a new queue entry several times to see whether it is stable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cover/code.h"
#include "vmi/probes.h"
#include "vmi/space.h"

/* Inputs whose traces are kept. */
#define TRACES   64

#define NO_PROBE (-1)

struct trace {
	uint64_t hash;
	uint32_t *blocks; /* owned */
	size_t count;
};

struct cover_block_watch {
	struct cover cover;
	struct cover_code code;
	struct cover_probes *probes;
	struct blocks *blocks;
	int *probe_of;      /* by block; NO_PROBE */
	uint32_t *block_of; /* by probe; BLOCKS_NONE */
	size_t probe_count;
	uint8_t *seen; /* by block */

	bool news;    /* this run hit a block that was not seen before */
	bool tracing; /* this run is made once more */
	uint64_t hash;
	uint32_t *hit; /* blocks of the trace under way; room for all */
	size_t hit_count;
	struct trace traces[TRACES];
	size_t trace_next;
};

/* FNV-1a over words: fast enough to be no part of an iteration. */
static uint64_t
hash_input(const uint8_t *input, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325ULL ^ len, word;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, input + i, 8);
		hash = (hash ^ word) * 0x100000001b3ULL;
		hash ^= hash >> 29;
	}
	for (; i < len; i++)
		hash = (hash ^ input[i]) * 0x100000001b3ULL;
	return hash ^ hash >> 32;
}

/* Byte 0 is always set: a map of zeros means "not instrumented" to AFL++. */
static void
count_block(struct cover *cover, uint32_t block)
{
	cover->map[1 + block % (cover->map_bytes - 1)] = 1;
}

/* --- attach --- */

static int
add_probes(struct cover_block_watch *watch, struct lf_domain *domain,
    struct lf_error *error)
{
	size_t count = blocks_count(watch->blocks), i;
	size_t len = lf_probes_length(watch->probes->set);
	struct vmi_space space;
	int rc = vmi_space_init(&space, domain, watch->cover.vcpu, error),
	    last = -1;

	for (i = 0; i < count && rc >= 0; i++) {
		const struct cover_block *block = blocks_get(watch->blocks, i);

		watch->probe_of[i] = NO_PROBE;
		if (block->end - block->start < len)
			continue;
		rc = probes_add(
		    watch->probes->set, &space, block->start, true, error);
		if (rc == -EXDEV || rc == -EEXIST) {
			rc = 0;
			continue;
		}
		watch->probe_of[i] = rc;
		if (rc > last)
			last = rc;
	}
	if (rc < 0)
		return rc;
	watch->probe_count = (size_t)last + 1;
	watch->block_of =
	    sys.malloc((watch->probe_count + 1) * sizeof(*watch->block_of));
	if (watch->block_of == NULL)
		return error_nomem(error);
	for (i = 0; i < watch->probe_count; i++)
		watch->block_of[i] = BLOCKS_NONE;
	for (i = 0; i < count; i++)
		if (watch->probe_of[i] >= 0)
			watch->block_of[watch->probe_of[i]] = (uint32_t)i;
	return 0;
}

static int
block_attach(
    struct cover *cover, struct lf_domain *domain, struct lf_error *error)
{
	struct cover_block_watch *watch = (struct cover_block_watch *)cover;
	size_t count, i;
	int rc = cover_probes_ready(watch->probes, domain, error);

	if (rc == 0)
		rc = cover_code_find(
		    &watch->code, domain, cover->vcpu, &watch->blocks, error);
	if (rc < 0)
		return rc;
	count = blocks_count(watch->blocks);
	cover->map_bytes = cover_code_map(cover->map_bytes, count);
	watch->probe_of = sys.calloc(count, sizeof(*watch->probe_of));
	watch->hit = sys.calloc(count, sizeof(*watch->hit));
	watch->seen = sys.calloc(count, 1);
	if (watch->probe_of == NULL || watch->hit == NULL ||
	    watch->seen == NULL)
		return error_nomem(error);
	rc = add_probes(watch, domain, error);
	if (rc == 0)
		rc = lf_probes_show(watch->probes->set, domain, error);
	for (i = 0; i < count && rc >= 0; i++)
		if (watch->probe_of[i] >= 0)
			rc = lf_probes_arm(watch->probes->set,
			    (unsigned)watch->probe_of[i], true, NULL, error);
	return rc < 0 ? rc : 0;
}

/* --- a run --- */

static const struct trace *
find_trace(const struct cover_block_watch *watch)
{
	size_t i;

	for (i = 0; i < TRACES; i++)
		if (watch->traces[i].blocks != NULL &&
		    watch->traces[i].hash == watch->hash)
			return &watch->traces[i];
	return NULL;
}

static int
block_begin(struct cover *cover, struct lf_error *error)
{
	struct cover_block_watch *watch = (struct cover_block_watch *)cover;
	size_t count = blocks_count(watch->blocks), i;
	int rc = 0;

	cover->map[0] = 1;
	watch->news = false;
	if (!watch->tracing) {
		watch->hash = hash_input(cover->input, cover->input_len);
		return 0;
	}
	watch->hit_count = 0;
	for (i = 0; i < count && rc >= 0; i++)
		if (watch->seen[i] && watch->probe_of[i] >= 0)
			rc = lf_probes_arm_here(watch->probes->set,
			    (unsigned)watch->probe_of[i], true, cover->domain,
			    error);
	return rc < 0 ? rc : 0;
}

static int
block_exit(struct cover *cover, const struct lf_exit *exit,
    struct cover_event *event, struct lf_error *error)
{
	struct cover_block_watch *watch = (struct cover_block_watch *)cover;
	uint32_t block;
	int rc;

	(void)event;
	if (exit->reason != LF_EXIT_PROBE ||
	    exit->probe.id >= watch->probe_count ||
	    watch->block_of[exit->probe.id] == BLOCKS_NONE)
		return COVER_PASS;
	block = watch->block_of[exit->probe.id];
	count_block(cover, block);
	if (watch->tracing && watch->hit_count < blocks_count(watch->blocks))
		watch->hit[watch->hit_count++] = block;
	watch->news |= !watch->seen[block];
	watch->seen[block] = 1;
	rc = lf_probes_arm(
	    watch->probes->set, exit->probe.id, false, NULL, error);
	if (rc >= 0)
		rc = lf_probes_arm_here(watch->probes->set, exit->probe.id,
		    false, cover->domain, error);
	return rc < 0 ? rc : COVER_GO_ON;
}

static int
keep_trace(struct cover_block_watch *watch, struct lf_error *error)
{
	struct trace *trace = &watch->traces[watch->trace_next];
	size_t bytes = watch->hit_count * sizeof(*trace->blocks);
	uint32_t *blocks = sys.malloc(bytes + 1);

	if (blocks == NULL)
		return error_nomem(error);
	memcpy(blocks, watch->hit, bytes);
	free(trace->blocks);
	*trace = (struct trace){watch->hash, blocks, watch->hit_count};
	watch->trace_next = (watch->trace_next + 1) % TRACES;
	return 0;
}

static int
block_end(struct cover *cover, struct lf_error *error)
{
	struct cover_block_watch *watch = (struct cover_block_watch *)cover;
	const struct trace *trace;
	size_t i;

	if (watch->tracing) {
		watch->tracing = false;
		return keep_trace(watch, error);
	}
	if (watch->news) {
		watch->tracing = true;
		return COVER_AGAIN;
	}
	trace = find_trace(watch);
	for (i = 0; trace != NULL && i < trace->count; i++)
		count_block(cover, trace->blocks[i]);
	return 0;
}

static void
block_free(struct cover *cover)
{
	struct cover_block_watch *watch = (struct cover_block_watch *)cover;
	size_t i;

	for (i = 0; i < TRACES; i++)
		free(watch->traces[i].blocks);
	blocks_free(watch->blocks);
	free(watch->probe_of);
	free(watch->block_of);
	free(watch->seen);
	free(watch->hit);
	free(watch);
}

static const struct cover_ops block_ops = {
    .name = "block",
    .attach = block_attach,
    .begin = block_begin,
    .exit = block_exit,
    .end = block_end,
    .free = block_free,
};

int
cover_block_new(const struct cover_code *code, struct cover_probes *probes,
    uint8_t *map, size_t map_bytes, struct cover **ret_cover,
    struct lf_error *error)
{
	struct cover_block_watch *watch;

	if (map_bytes < 2)
		return error_set(error, EINVAL,
		    "a coverage map of %zu bytes is too small", map_bytes);
	watch = sys.calloc(1, sizeof(*watch));
	if (watch == NULL)
		return error_nomem(error);
	watch->cover.ops = &block_ops;
	watch->cover.map = map;
	watch->cover.map_bytes = map_bytes;
	watch->code = *code;
	watch->probes = probes;
	*ret_cover = &watch->cover;
	return 0;
}

const struct blocks *
cover_block_blocks(const struct cover *cover)
{
	return ((const struct cover_block_watch *)cover)->blocks;
}

const uint8_t *
cover_block_seen(const struct cover *cover)
{
	return ((const struct cover_block_watch *)cover)->seen;
}

bool
cover_block_probed(const struct cover *cover, size_t block)
{
	return ((const struct cover_block_watch *)cover)->probe_of[block] >= 0;
}
