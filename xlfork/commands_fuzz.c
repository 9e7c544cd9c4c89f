/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlfork fuzz: being AFL++'s target, or running inputs alone.
 */
#include <signal.h>
#include <stdlib.h>

#include <libfork/afl.h>
#include <libfork/fuzz.h>

#include "base/error.h"
#include "xlfork/command.h"
#include "xlfork/fuzz_modes.h"
#include "xlfork/fuzz_options.h"
#include "xlfork/report.h"

#define WORKERS_MAX 256
#define SECONDS_MAX 86400

static int
alone(const struct invocation *call, const struct fuzz_target *target,
    struct lf_fuzz *fuzz, struct lf_error *error)
{
	struct fuzz_bench bench = {
	    .path = call->value[FUZZ_INPUT],
	    .json = call->given[FUZZ_JSON],
	};
	unsigned long seconds, workers;
	int rc;

	if (!call->given[FUZZ_BENCH]) {
		rc = call->given[FUZZ_REPLAY]
			 ? fuzz_replay(
			       fuzz, target, call->value[FUZZ_REPLAY], error)
			 : fuzz_input(
			       fuzz, target, call->value[FUZZ_INPUT], error);
		return fuzz_covered(
		    fuzz, target, call->value[FUZZ_COVERED], rc, error);
	}
	rc = fuzz_option_number(
	    call, FUZZ_BENCH, SECONDS_MAX, 1, &seconds, error);
	if (rc == 0)
		rc = fuzz_option_number(
		    call, FUZZ_WORKERS, WORKERS_MAX, 1, &workers, error);
	if (rc < 0)
		return rc;
	bench.seconds = (unsigned)seconds;
	bench.workers = (unsigned)workers;
	return fuzz_bench(fuzz, &bench, error);
}

/* A session for AFL++, in its map. */
static int
serve_afl(const struct invocation *call, struct lf_afl *afl,
    struct fuzz_setup *setup, struct lf_error *error)
{
	struct lf_fuzz_options *options = &setup->options;
	struct lf_fuzz *fuzz = NULL;
	int rc;

	options->map = lf_afl_map(afl, &options->map_bytes);
	options->keep_map = true;
	/* AFL++ decides what takes too long, unless the user does. */
	if (!call->given[FUZZ_TIMEOUT])
		options->timeout_ms = 0;
	rc = fuzz_setup_open(setup, call, &fuzz, error);
	if (rc == 0)
		rc = lf_afl_serve(
		    afl, fuzz, call->value[FUZZ_INPUT], NULL, 0, error);
	lf_fuzz_close(fuzz);
	if (rc > 0) {
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	}
	return rc;
}

static int
fuzz_with(const struct invocation *call, struct lf_afl *afl,
    struct fuzz_setup *setup, struct lf_error *error)
{
	struct lf_fuzz *fuzz = NULL;
	int rc;

	if (afl != NULL)
		return serve_afl(call, afl, setup, error);
	setup->options.timed = call->given[FUZZ_BENCH];
	rc = fuzz_setup_open(setup, call, &fuzz, error);
	if (rc == 0)
		rc = alone(call, &setup->target, fuzz, error);
	lf_fuzz_close(fuzz);
	return rc;
}

/* Said before AFL++ hears of it: that ends this process then. */
static int
refuse(struct lf_afl *afl, int rc, const struct lf_error *error)
{
	report("%s", error->message);
	lf_afl_refuse(afl, rc);
	return -COMMAND_EREPORTED;
}

static int
fuzz(const struct invocation *call, struct lf_error *error)
{
	struct fuzz_setup setup = FUZZ_SETUP_NONE;
	struct lf_afl *afl = NULL;
	int rc = 0;

	/* That this name is in the file is how afl-fuzz knows a target. */
	if (getenv("__AFL_SHM_ID") != NULL)
		rc = lf_afl_connect(&afl, error);
	if (rc < 0)
		return rc;
	rc = fuzz_check_words(call, afl != NULL, error);
	if (rc == 0)
		rc = fuzz_setup_init(&setup, call, error);
	if (rc == 0)
		rc = fuzz_with(call, afl, &setup, error);
	if (rc < 0 && rc != -COMMAND_EUSAGE && afl != NULL)
		rc = refuse(afl, rc, error);
	fuzz_setup_done(&setup);
	lf_afl_free(afl);
	return rc;
}

const struct command fuzz_commands[] = {
    {"fuzz", fuzz, fuzz_options, "[DOMAIN]", 0, 1,
	"run inputs in a fork that is reset for each of them",
	"Started by AFL++ (afl-fuzz ... -- xlfork fuzz ...) it is AFL++'s "
	"target; with --input or --replay it runs inputs and reports. Without "
	"--buffer the target has a harness (xlfork-harness.h) that says where "
	"inputs go. The exit status is 1 when a run crashed or hung."},
    {.name = NULL},
};
