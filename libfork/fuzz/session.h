/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The insides of a fuzz session, shared by its files: session.c (birth and
 * death, watchers), start.c (going to the start point), input.c (where inputs
 * go), run.c (one run), watchdog.c (time-outs), limit.c (instructions).
 */
#ifndef FUZZ_SESSION_H
#define FUZZ_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libfork/fuzz.h>

#include "cover/code.h"
#include "cover/cover.h"
#include "kvm/instructions.h"
#include "vmi/space.h"

#define FUZZ_WATCHERS_MAX 8
#define FUZZ_REGIONS_MAX  64

/* A piece of the input's buffer that is in one piece in the guest, too. */
struct fuzz_piece {
	uint64_t gpa;
	uint64_t length;
};

struct fuzz_input {
	struct fuzz_piece *pieces; /* owned */
	size_t piece_count;
	uint64_t address; /* guest-virtual */
	size_t capacity;
	size_t prefix; /* bytes that are there already */
	/* The size's place: in at most two pages. */
	struct fuzz_piece size_pieces[2];
	unsigned size_bytes;     /* 0: none */
	uint64_t *size_register; /* into lf_fuzz.regs; NULL: none */
};

struct fuzz_watchdog {
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool quit;
	unsigned timeout_ms;
};

/* A limit to the instructions of a run. */
struct fuzz_limit {
	struct instructions counter; /* of `owner`'s vCPU */
	pthread_t owner;
	pthread_t thread; /* waits for the counter */
	bool started;
	int quit; /* an eventfd that ends it */
};

struct lf_fuzz {
	struct lf_fuzz_options options; /* `stops` is our copy */
	uint64_t *stops;
	struct lf_snapshot *start; /* reference: the start point */
	struct lf_domain *domain;
	unsigned vcpu;            /* the target's there */
	struct lf_vcpu_regs regs; /* of this vCPU there */
	struct vmi_space space;   /* as there */
	bool clean;               /* the domain stands at the start point */

	struct fuzz_input input;
	struct cover *watchers[FUZZ_WATCHERS_MAX];
	size_t watcher_count;
	struct cover *coverage;     /* one of them, or NULL */
	struct cover_probes probes; /* of all of them */
	struct lf_sink *sinks;      /* our copy */
	unsigned last_vcpu;         /* whose exit ended the last run */
	unsigned last_context;      /* enum lf_sink_context, when a sink did */
	void *own_map;              /* mapped by us */
	size_t own_map_bytes;

	struct lf_fuzz_times times; /* kept when options.timed */
	uint64_t lap_ns;            /* when the last part ended */
	uint64_t reset_tsc;         /* at the beginning of the last reset */

	/*
	 * Odd while a run is under way, and another number for each. Whoever
	 * wants to end a run writes its number to `end_run`, then stops the
	 * domain; a stop that comes too late is one that nobody asked for.
	 */
	atomic_uint_fast64_t phase;
	atomic_uint_fast64_t end_run;
	struct fuzz_watchdog watchdog;
	struct fuzz_limit limit;
};

/* start.c: runs `scout` to the harness's start and fills in the options. */
int fuzz_start_harness(
    struct lf_fuzz *fuzz, struct lf_domain *scout, struct lf_error *error);

/* input.c: finds the buffer in the guest; regs and space are those there. */
int fuzz_input_init(struct lf_fuzz *fuzz, struct lf_error *error);
void fuzz_input_done(struct fuzz_input *input);
int fuzz_input_put(struct lf_fuzz *fuzz, const uint8_t *bytes, size_t len,
    struct lf_error *error);

/* interrupt.c: ends the run of this number, and no later one. Any thread. */
void fuzz_end_run(struct lf_fuzz *fuzz, uint_fast64_t phase);
/* Whether the run that is under way was ended so. */
bool fuzz_run_ended(const struct lf_fuzz *fuzz);

/* run.c: what runs have in common, wherever they begin. */
bool fuzz_is_access(const struct lf_exit *exit);
int fuzz_ignore(struct lf_domain *domain, const struct lf_exit *exit,
    struct lf_error *error);

/*
 * What an exit does to a run: 0, it is dealt with and the run goes on; 1, the
 * run ended with this outcome.
 */
int fuzz_on_exit(struct lf_fuzz *fuzz, const struct lf_exit *exit,
    struct lf_fuzz_outcome *outcome, struct lf_error *error);

/* session.c: a fork of the start point with the watchers in it. */
int fuzz_mount(
    struct lf_fuzz *fuzz, struct lf_domain *scout, struct lf_error *error);

/* watchdog.c: runs longer than `timeout_ms` (0: none) are interrupted. */
int fuzz_watchdog_start(
    struct lf_fuzz *fuzz, unsigned timeout_ms, struct lf_error *error);
void fuzz_watchdog_end(struct lf_fuzz *fuzz);

/*
 * limit.c: runs of more than `instructions_max` instructions are interrupted.
 * Before each run, by the thread that makes it.
 */
int fuzz_limit_begin(struct lf_fuzz *fuzz, struct lf_error *error);
bool fuzz_limit_passed(const struct lf_fuzz *fuzz);
void fuzz_limit_end(struct lf_fuzz *fuzz);

#endif
