/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Code, sinks and stops as a user names them.
 */
#include "xlfork/fuzz_probes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/symbols.h>
#include <libfork/vmi.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "xlfork/report.h"

#define STOP_AT_RETURN "return"

static int
find_kernel(struct fuzz_probes *probes, const struct fuzz_target *target,
    struct lf_error *error)
{
	struct lf_fork_options options;
	int rc;

	lf_fork_options_init(&options);
	options.launcher = target->launcher;
	rc = lf_domain_fork(target->snapshot, &options, &probes->scout, error);
	return rc == 0
		   ? lf_kernel_find_in(probes->scout, &probes->kernel, error)
		   : rc;
}

int
fuzz_probes_symbols(struct fuzz_probes *probes, struct fuzz_target *target,
    struct lf_error *error)
{
	const char *from = probes->words.symbols;
	struct lf_symbols *symbols;
	int rc;

	if (from == NULL)
		return 0;
	if (strcmp(from, "guest") == 0) {
		rc = find_kernel(probes, target, error);
		if (rc < 0)
			return error_prefix(error, rc, "--symbols guest");
		target->kernel_symbols = lf_kernel_symbols(probes->kernel);
		return 0;
	}
	rc = lf_symbols_open(from, 0, &symbols, error);
	if (rc < 0)
		return rc;
	lf_symbols_free(target->symbols);
	target->symbols = symbols;
	return 0;
}

/* Cuts a list at its commas. */
static int
cut(const char *words, char **ret_list, const char **items, size_t max,
    size_t *ret_count, const char *option, struct lf_error *error)
{
	char *rest, *item;

	*ret_count = 0;
	if (words == NULL)
		return 0;
	*ret_list = sys.strdup(words);
	if (*ret_list == NULL)
		return error_nomem(error);
	rest = *ret_list;
	while ((item = strsep(&rest, ",")) != NULL) {
		if (*ret_count == max)
			return error_set(error, E2BIG,
			    "--%s: more than %zu places", option, max);
		items[(*ret_count)++] = item;
	}
	return 0;
}

static int
take_sinks(struct fuzz_probes *probes, const struct lf_symbols *symbols,
    struct lf_fuzz_options *options, struct lf_error *error)
{
	const char *items[FUZZ_PROBES_LIST_MAX];
	char missing[1024];
	size_t count, i;
	int rc = cut(probes->words.sinks, &probes->lists[0], items,
	    FUZZ_PROBES_LIST_MAX, &count, "sink", error);

	for (i = 0; rc == 0 && i < count; i++) {
		missing[0] = '\0';
		rc = lf_sinks_add(items[i], symbols, probes->sinks,
		    &options->sink_count, missing, sizeof(missing), error);
		if (rc == 0 && missing[0] != '\0')
			report("sinks that this kernel does not have: %s",
			    missing);
	}
	options->sinks = probes->sinks;
	return rc < 0 ? error_prefix(error, rc, "--sink") : 0;
}

static int
take_stops(struct fuzz_probes *probes, const struct lf_symbols *symbols,
    struct lf_fuzz_options *options, struct lf_error *error)
{
	const char *items[FUZZ_PROBES_LIST_MAX];
	size_t count, i;
	int rc = cut(probes->words.stops, &probes->lists[1], items,
	    FUZZ_PROBES_LIST_MAX, &count, "stop", error);

	for (i = 0; rc == 0 && i < count; i++) {
		if (strcmp(items[i], STOP_AT_RETURN) == 0)
			options->stop_at_return = true;
		else
			rc = lf_symbols_resolve(symbols, items[i],
			    &probes->stops[options->stop_count++], error);
	}
	options->stops = probes->stops;
	return rc < 0 ? error_prefix(error, rc, "--stop") : 0;
}

int
fuzz_probes_take(struct fuzz_probes *probes, const struct fuzz_target *target,
    struct lf_fuzz_options *options, struct lf_error *error)
{
	const struct lf_symbols *symbols = fuzz_target_symbols(target);
	int rc = take_sinks(probes, symbols, options, error);

	if (rc == 0)
		rc = take_stops(probes, symbols, options, error);
	if (rc == 0)
		rc = cut(probes->words.ranges, &probes->lists[2], probes->code,
		    FUZZ_PROBES_LIST_MAX, &options->code_count, "range", error);
	if (rc == 0)
		rc = fuzz_reports_init(&probes->reports, probes->words.reports,
		    symbols, probes->kernel, error);
	options->code = probes->code;
	options->blocks_path = probes->words.blocks;
	options->symbols = symbols;
	options->on_crash = fuzz_reports_on_crash;
	options->on_crash_opaque = &probes->reports;
	return rc;
}

void
fuzz_probes_done(struct fuzz_probes *probes)
{
	size_t i;

	for (i = 0; i < sizeof(probes->lists) / sizeof(probes->lists[0]); i++)
		free(probes->lists[i]);
	lf_kernel_free(probes->kernel);
	lf_domain_free(probes->scout);
}
