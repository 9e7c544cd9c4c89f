/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watching a fork's execution while it is fuzzed. A watcher is a kind of
 * coverage (none, shared, block, edge), a set of sinks, or a set of stop
 * addresses: all see the same moments of a fuzz session through one table of
 * operations, and the session (fuzz/) knows nothing else of them. An operation
 * that a watcher does not need is NULL.
 *
 * The moments, in order; `begin` to `restored` once for every input:
 *
 *   prepare   before the fork is made: may add regions to its options. There
 *             is another fork at the start point then, to be looked into
 *   attach    the fork stands at its start point: place probes
 *   begin     reset, input in place, about to run
 *   exit      the fork stopped: is it yours?           (any number of times)
 *   end       the run is over, the fork is as it stopped
 *   restored  lf_domain_reset() was made
 *   free
 *
 * From attach to free the domain is the same one. begin, exit, end and
 * restored are the hot path: no allocation, no logging. A watcher belongs to
 * the thread of its session; what several sessions of a process share
 * (one-shot probes that were hit) it keeps for itself.
 */
#ifndef COVER_COVER_H
#define COVER_COVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/domain.h>

/* What an exit was for the watcher that was shown it. */
enum cover_verdict {
	COVER_PASS,  /* not its own: ask the next watcher */
	COVER_GO_ON, /* its own, and dealt with: run on */
	COVER_STOP,  /* its own: the run ends here, in order */
	COVER_CRASH, /* its own: the run ends here, and this is a crash */
};

/*
 * Instead of 0, from `end`: reset, and run the same input once more from
 * `begin` on; the map is cleared and what came out of this run is forgotten.
 */
#define COVER_AGAIN    1

#define COVER_WHAT_MAX 160

/* What a watcher says about the exit that ended a run. */
struct cover_event {
	uint64_t address; /* guest-virtual, of the probe */
	unsigned context; /* enum lf_sink_context */
	/* The sink or stop as a user reads it: "panic", "0x401000". */
	char what[COVER_WHAT_MAX];
};

struct cover;

/* Memory that a fork shares with the outside, and the room for more. */
struct cover_regions {
	struct lf_region *region;
	size_t count, max;
};

/* Functions that return int: 0, or a negative errno that ends the session. */
struct cover_ops {
	const char *name; /* as in --coverage: "block" */

	/* May add to `regions`. */
	int (*prepare)(struct cover *cover, struct lf_domain *scout,
	    struct cover_regions *regions, struct lf_error *error);
	int (*attach)(struct cover *cover, struct lf_domain *domain,
	    struct lf_error *error);
	int (*begin)(struct cover *cover, struct lf_error *error);
	/* Returns enum cover_verdict; fills `*event` for STOP and CRASH. */
	int (*exit)(struct cover *cover, const struct lf_exit *exit,
	    struct cover_event *event, struct lf_error *error);
	/* May return COVER_AGAIN. */
	int (*end)(struct cover *cover, struct lf_error *error);
	int (*restored)(struct cover *cover, struct lf_error *error);
	void (*free)(struct cover *cover);
};

/*
 * The head of every watcher; the rest is its own. A kind of coverage counts
 * in `map`, which has AFL's form: one byte an edge or block, `map_bytes` of
 * them. The session clears it before each input where it is the one who
 * must (`session_clears`: nobody outside, as afl-fuzz, does it).
 */
struct cover {
	const struct cover_ops *ops;
	unsigned vcpu;            /* whose address space; set before prepare */
	struct lf_domain *domain; /* set by the session before attach */
	uint8_t *map;             /* borrowed; NULL: a sink, a stop */
	size_t map_bytes;
	const uint8_t *input; /* of this run; set by the session before begin */
	size_t input_len;
};

#endif
