/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `xlfork fuzz` is told about the target's code: symbols, code for
 * coverage, sinks, stops; and who writes reports of crashes.
 */
#ifndef XLFORK_FUZZ_PROBES_H
#define XLFORK_FUZZ_PROBES_H

#include <libfork/crash.h>
#include <libfork/domain.h>
#include <libfork/fuzz.h>

#include "xlfork/fuzz_reports.h"
#include "xlfork/fuzz_target.h"

/* A user's words; NULL: not given. Lists have commas. */
struct fuzz_probe_words {
	const char *ranges, *blocks, *symbols, *sinks, *stops, *reports;
};

#define FUZZ_PROBES_LIST_MAX 64

struct fuzz_probes {
	struct fuzz_probe_words words;
	struct lf_domain *scout; /* the kernel is read through it */
	struct lf_kernel *kernel;
	char *lists[3]; /* owned: words, cut at their commas */
	const char *code[FUZZ_PROBES_LIST_MAX];
	struct lf_sink sinks[LF_SINKS_MAX];
	uint64_t stops[FUZZ_PROBES_LIST_MAX];
	struct fuzz_reports reports;
};

/* Finds the symbols that are asked for, and makes them the target's. */
int fuzz_probes_symbols(struct fuzz_probes *probes, struct fuzz_target *target,
    struct lf_error *error);

/* Fills in options, which use `probes` as long as there is a session. */
int fuzz_probes_take(struct fuzz_probes *probes,
    const struct fuzz_target *target, struct lf_fuzz_options *options,
    struct lf_error *error);

void fuzz_probes_done(struct fuzz_probes *probes);

#endif
