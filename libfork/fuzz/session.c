/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Birth and death of a fuzz session. Two forks are made of the snapshot: a
 * scout that goes to the start point and in which everything is looked up, and
 * the one that runs, which is made with the regions that were found.
 */
#include "fuzz/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cover/kinds.h"
#include "cover/points.h"

/* Maps that are larger than AFL++ knows no target has. */
#define MAP_MAX (64UL << 20)

/* The map of coverage by probes, where nobody gives one. */
#define PROBE_MAP_BYTES (64UL << 10)

DEFINE_CLEANUP(struct lf_domain *, lf_domain_free);

void
lf_fuzz_options_init(struct lf_fuzz_options *options)
{
	*options = (struct lf_fuzz_options){
	    .reset_groups = LF_RESET_ALL,
	    .input_register = LF_FUZZ_REG_NONE,
	    .size_register = LF_FUZZ_REG_NONE,
	};
}

static void
fork_options(const struct lf_fuzz *fuzz, struct lf_fork_options *options)
{
	lf_fork_options_init(options);
	options->interrupts = fuzz->options.interrupts;
	options->io_policy = LF_IO_STOP;
	if (fuzz->options.reset_groups != 0)
		options->reset_groups = fuzz->options.reset_groups;
	options->verify_every = fuzz->options.verify_every;
	options->ring_entries = fuzz->options.ring_entries;
	options->launcher = fuzz->options.launcher;
	options->pool = fuzz->options.pool;
}

/* --- watchers --- */

static void
free_watchers(struct lf_fuzz *fuzz)
{
	while (fuzz->watcher_count > 0) {
		struct cover *cover = fuzz->watchers[--fuzz->watcher_count];

		cover->ops->free(cover);
	}
	fuzz->coverage = NULL;
	cover_probes_done(&fuzz->probes);
}

/* The session's own map, where the caller gave none. */
static int
make_map(struct lf_fuzz *fuzz, struct lf_error *error)
{
	void *map;

	if (fuzz->own_map != NULL || fuzz->options.map != NULL)
		return 0;
	map = sys.mmap(NULL, fuzz->options.map_bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return error_sys(error, errno, "cannot make a coverage map");
	fuzz->own_map = map;
	fuzz->own_map_bytes = fuzz->options.map_bytes;
	fuzz->options.map = map;
	return 0;
}

/* What a user wrote of code, for probes. */
static int
read_code(const struct lf_fuzz_options *options, struct cover_code *code,
    struct lf_error *error)
{
	size_t i;
	int rc = 0;

	*code = (struct cover_code){
	    .symbols = options->symbols,
	    .list_path = options->blocks_path,
	};
	if (options->code_count == 0 && options->blocks_path == NULL)
		return error_set(error, EINVAL,
		    "%s coverage of what? give a range or a function of the "
		    "target",
		    options->coverage == LF_FUZZ_COVERAGE_EDGE ? "edge"
							       : "block");
	if (options->code_count > 0 && options->blocks_path != NULL)
		return error_set(error, EINVAL,
		    "ranges of code and a list of blocks exclude each other");
	for (i = 0; rc == 0 && i < options->code_count; i++)
		rc = blocks_spec_add(
		    &code->spec, options->code[i], options->symbols, error);
	return rc;
}

static int
make_probe_coverage(struct lf_fuzz *fuzz, struct lf_error *error)
{
	struct lf_fuzz_options *options = &fuzz->options;
	struct cover_code code;
	int rc = read_code(options, &code, error);

	if (rc == 0 && options->map_bytes == 0)
		options->map_bytes = PROBE_MAP_BYTES;
	if (rc == 0)
		rc = make_map(fuzz, error);
	if (rc < 0)
		return rc;
	rc = options->coverage == LF_FUZZ_COVERAGE_BLOCK
		 ? cover_block_new(&code, &fuzz->probes, options->map,
		       options->map_bytes, &fuzz->coverage, error)
		 : cover_edge_new(&code, &fuzz->probes, options->map,
		       options->map_bytes, &fuzz->coverage, error);
	if (rc == 0)
		fuzz->watchers[fuzz->watcher_count++] = fuzz->coverage;
	return rc;
}

/* Sinks or stops: before coverage, which would lift their probes. */
static int
add_points(struct lf_fuzz *fuzz, const char *name, enum cover_verdict verdict,
    const struct cover_point *points, size_t count, struct lf_error *error)
{
	int rc;

	if (count == 0)
		return 0;
	rc = cover_points_new(name, verdict, points, count, &fuzz->probes,
	    &fuzz->watchers[fuzz->watcher_count], error);
	if (rc == 0)
		fuzz->watcher_count++;
	return rc;
}

static int
make_points(struct lf_fuzz *fuzz, struct lf_error *error)
{
	const struct lf_fuzz_options *options = &fuzz->options;
	size_t stops = options->stop_count, i;
	size_t room =
	    stops + 1 > options->sink_count ? stops + 1 : options->sink_count;
	cleanup_free struct cover_point *points =
	    sys.calloc(room, sizeof(*points));
	int rc;

	if (points == NULL)
		return error_nomem(error);
	for (i = 0; i < options->sink_count; i++) {
		points[i].address = options->sinks[i].address;
		points[i].context = options->sinks[i].context;
		memcpy(points[i].what, options->sinks[i].name,
		    sizeof(points[i].what));
	}
	rc = add_points(fuzz, "sink", COVER_CRASH, points, i, error);
	memset(points, 0, room * sizeof(*points));
	for (i = 0; i < stops; i++) {
		points[i].address = options->stops[i];
		lf_symbols_format(options->symbols, options->stops[i],
		    points[i].what, sizeof(points[i].what));
	}
	if (rc == 0 && options->stop_at_return) {
		rc = vmi_space_read(
		    &fuzz->space, fuzz->regs.rsp, &points[i].address, 8, error);
		if (rc < 0)
			return error_prefix(error, rc,
			    "where the function at the start returns to");
		snprintf(points[i].what, sizeof(points[i].what), "return");
		stops++;
	}
	return rc == 0
		   ? add_points(fuzz, "stop", COVER_STOP, points, stops, error)
		   : rc;
}

static int
make_coverage(struct lf_fuzz *fuzz, struct lf_error *error)
{
	const struct lf_fuzz_options *options = &fuzz->options;
	int rc;

	if (options->coverage == LF_FUZZ_COVERAGE_BLOCK ||
	    options->coverage == LF_FUZZ_COVERAGE_EDGE)
		return make_probe_coverage(fuzz, error);
	if (options->coverage == LF_FUZZ_COVERAGE_NONE ||
	    (options->coverage == LF_FUZZ_COVERAGE_DEFAULT &&
		options->map_address == 0))
		return 0;
	if (options->map_address == 0 || options->map_bytes == 0)
		return error_set(error, EINVAL,
		    "shared coverage is wanted, but the target has said "
		    "nothing of a map (xlfork_coverage() in its harness)");
	if (options->map_bytes > MAP_MAX)
		return error_set(error, EINVAL,
		    "a coverage map of %zu bytes; at most %lu are possible",
		    options->map_bytes, MAP_MAX);
	rc = make_map(fuzz, error);
	if (rc == 0)
		rc = cover_shared_new(options->map_address, options->map,
		    options->map_bytes, &fuzz->coverage, error);
	if (rc == 0)
		fuzz->watchers[fuzz->watcher_count++] = fuzz->coverage;
	return rc;
}

/* --- the fork that runs --- */

int
fuzz_mount(
    struct lf_fuzz *fuzz, struct lf_domain *scout, struct lf_error *error)
{
	struct lf_region room[FUZZ_REGIONS_MAX];
	struct cover_regions regions = {
	    .region = room, .max = FUZZ_REGIONS_MAX};
	struct lf_fork_options options;
	size_t i;
	int rc;

	free_watchers(fuzz);
	fork_options(fuzz, &options);
	rc = make_points(fuzz, error);
	if (rc == 0)
		rc = make_coverage(fuzz, error);
	for (i = 0; rc == 0 && i < fuzz->watcher_count; i++) {
		struct cover *cover = fuzz->watchers[i];

		cover->vcpu = fuzz->vcpu;
		if (cover->ops->prepare != NULL)
			rc = cover->ops->prepare(cover, scout, &regions, error);
	}
	options.regions = room;
	options.region_count = regions.count;
	if (rc == 0)
		rc =
		    lf_domain_fork(fuzz->start, &options, &fuzz->domain, error);
	for (i = 0; rc == 0 && i < fuzz->watcher_count; i++) {
		struct cover *cover = fuzz->watchers[i];

		cover->domain = fuzz->domain;
		if (cover->ops->attach != NULL)
			rc = cover->ops->attach(cover, fuzz->domain, error);
	}
	fuzz->clean = rc == 0;
	return rc;
}

/* --- the start point --- */

/* Leaves the scout there, and the session's snapshot, registers and space. */
static int
go_to_start(struct lf_fuzz *fuzz, struct lf_snapshot *snapshot,
    struct lf_domain *scout, struct lf_error *error)
{
	int rc;

	if (fuzz->options.harness) {
		rc = fuzz_start_harness(fuzz, scout, error);
		return rc == 0 ? lf_domain_freeze(scout, &fuzz->start, error)
			       : rc;
	}
	rc = lf_vcpu_read_regs(scout, fuzz->vcpu, &fuzz->regs, error);
	if (rc == 0)
		rc = vmi_space_init(&fuzz->space, scout, fuzz->vcpu, error);
	if (rc == 0)
		fuzz->start = lf_snapshot_ref(snapshot);
	return rc;
}

static int
copy_options(struct lf_fuzz *fuzz, const struct lf_fuzz_options *options,
    struct lf_error *error)
{
	size_t bytes = options->stop_count * sizeof(*options->stops);

	fuzz->options = *options;
	fuzz->options.stops = NULL;
	fuzz->options.sinks = NULL;
	if (options->sink_count > 0) {
		fuzz->sinks =
		    sys.calloc(options->sink_count, sizeof(*fuzz->sinks));
		if (fuzz->sinks == NULL)
			return error_nomem(error);
		memcpy(fuzz->sinks, options->sinks,
		    options->sink_count * sizeof(*fuzz->sinks));
		fuzz->options.sinks = fuzz->sinks;
	}
	if (bytes == 0)
		return 0;
	fuzz->stops = sys.malloc(bytes);
	if (fuzz->stops == NULL)
		return error_nomem(error);
	memcpy(fuzz->stops, options->stops, bytes);
	fuzz->options.stops = fuzz->stops;
	return 0;
}

static int
open_session(
    struct lf_fuzz *fuzz, struct lf_snapshot *snapshot, struct lf_error *error)
{
	cleanup(lf_domain_free_p) struct lf_domain *scout = NULL;
	struct lf_fork_options options;
	int rc;

	fork_options(fuzz, &options);
	rc = lf_domain_fork(snapshot, &options, &scout, error);
	if (rc == 0)
		rc = go_to_start(fuzz, snapshot, scout, error);
	if (rc == 0)
		rc = fuzz_input_init(fuzz, error);
	if (rc == 0)
		rc = fuzz_mount(fuzz, scout, error);
	fuzz->space.domain = fuzz->domain;
	if (rc == 0)
		rc = fuzz_limit_begin(fuzz, error);
	return rc == 0
		   ? fuzz_watchdog_start(fuzz, fuzz->options.timeout_ms, error)
		   : rc;
}

/* `vcpu` is the target's; a harness that is still to be reached tells it. */
static int
open_at(struct lf_snapshot *snapshot, unsigned vcpu,
    const struct lf_fuzz_options *options, struct lf_fuzz **ret_fuzz,
    struct lf_error *error)
{
	struct lf_fuzz *fuzz = sys.calloc(1, sizeof(*fuzz));
	int rc;

	if (fuzz == NULL)
		return error_nomem(error);
	fuzz->vcpu = vcpu;
	fuzz->limit.counter.fd = -1;
	rc = copy_options(fuzz, options, error);
	if (rc == 0)
		rc = open_session(fuzz, snapshot, error);
	if (rc < 0) {
		lf_fuzz_close(fuzz);
		return rc;
	}
	*ret_fuzz = fuzz;
	return 0;
}

int
lf_fuzz_open(struct lf_snapshot *snapshot,
    const struct lf_fuzz_options *options, struct lf_fuzz **ret_fuzz,
    struct lf_error *error)
{
	return open_at(snapshot, options->vcpu, options, ret_fuzz, error);
}

int
lf_fuzz_open_beside(const struct lf_fuzz *fuzz, struct lf_fuzz **ret_fuzz,
    struct lf_error *error)
{
	struct lf_fuzz_options options = fuzz->options;
	struct lf_fuzz *beside;
	int rc;

	/* What the harness said is in the options by now. */
	options.harness = false;
	options.map = NULL;
	options.keep_map = false;
	rc = open_at(fuzz->start, fuzz->vcpu, &options, &beside, error);
	if (rc < 0)
		return rc;
	beside->input.prefix = fuzz->input.prefix;
	*ret_fuzz = beside;
	return 0;
}

void
lf_fuzz_close(struct lf_fuzz *fuzz)
{
	if (fuzz == NULL)
		return;
	fuzz_watchdog_end(fuzz);
	fuzz_limit_end(fuzz);
	free_watchers(fuzz);
	lf_domain_free(fuzz->domain);
	lf_snapshot_unref(fuzz->start);
	fuzz_input_done(&fuzz->input);
	if (fuzz->own_map != NULL)
		munmap(fuzz->own_map, fuzz->own_map_bytes);
	free(fuzz->stops);
	free(fuzz->sinks);
	free(fuzz);
}

/* --- questions --- */

int
lf_fuzz_times(const struct lf_fuzz *fuzz, struct lf_fuzz_times *ret_times,
    struct lf_error *error)
{
	if (!fuzz->options.timed)
		return error_set(error, EINVAL, "the session is not timed");
	*ret_times = fuzz->times;
	return 0;
}

uint8_t *
lf_fuzz_map(const struct lf_fuzz *fuzz, size_t *ret_bytes)
{
	*ret_bytes = fuzz->coverage != NULL ? fuzz->coverage->map_bytes : 0;
	return fuzz->coverage != NULL ? fuzz->coverage->map : NULL;
}

/* NULL: coverage of another kind. */
static const struct blocks *
known_blocks(const struct lf_fuzz *fuzz)
{
	switch (fuzz->options.coverage) {
	case LF_FUZZ_COVERAGE_BLOCK:
		return cover_block_blocks(fuzz->coverage);
	case LF_FUZZ_COVERAGE_EDGE:
		return cover_edge_blocks(fuzz->coverage);
	default:
		return NULL;
	}
}

size_t
lf_fuzz_block_count(const struct lf_fuzz *fuzz)
{
	const struct blocks *blocks = known_blocks(fuzz);

	return blocks != NULL ? blocks_count(blocks) : 0;
}

int
lf_fuzz_block(const struct lf_fuzz *fuzz, size_t index,
    struct lf_fuzz_block *ret_block, struct lf_error *error)
{
	bool edge = fuzz->options.coverage == LF_FUZZ_COVERAGE_EDGE;
	const struct cover_block *block;

	if (index >= lf_fuzz_block_count(fuzz))
		return error_set(error, ERANGE,
		    "there is no block %zu: the session knows %zu", index,
		    lf_fuzz_block_count(fuzz));
	block = blocks_get(known_blocks(fuzz), index);
	*ret_block = (struct lf_fuzz_block){
	    .start = block->start,
	    .end = block->end,
	    .watched = edge || cover_block_probed(fuzz->coverage, index),
	    .executed = (edge ? cover_edge_seen(fuzz->coverage)
			      : cover_block_seen(fuzz->coverage))[index] != 0,
	};
	return 0;
}

struct lf_domain *
lf_fuzz_domain(const struct lf_fuzz *fuzz)
{
	return fuzz->domain;
}

struct lf_snapshot *
lf_fuzz_start_point(const struct lf_fuzz *fuzz)
{
	return fuzz->start;
}
