/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words of `xlfork fuzz`, and what they make: a target, and the options of
 * a session on it. They are the command's, or stand in a file that libnyx.so
 * reads; who drives the session is not known here.
 */
#ifndef XLFORK_FUZZ_OPTIONS_H
#define XLFORK_FUZZ_OPTIONS_H

#include <libfork/error.h>
#include <libfork/fuzz.h>

#include "xlfork/command.h"
#include "xlfork/fuzz_probes.h"
#include "xlfork/fuzz_target.h"

/* Places in the table of options. */
enum fuzz_option {
	FUZZ_PROGRAM,
	FUZZ_MEMORY,
	FUZZ_INPUT,
	FUZZ_REPLAY,
	FUZZ_BENCH,
	FUZZ_WORKERS,
	FUZZ_BUFFER,
	FUZZ_VCPU,
	FUZZ_MAX_SIZE,
	FUZZ_SIZE,
	FUZZ_EXITS,
	FUZZ_INSTRUCTIONS,
	FUZZ_TIMEOUT,
	FUZZ_IO,
	FUZZ_COVERAGE,
	FUZZ_RANGE,
	FUZZ_BLOCKS,
	FUZZ_SYMBOLS,
	FUZZ_SINK,
	FUZZ_STOP,
	FUZZ_REPORTS,
	FUZZ_COVERED,
	FUZZ_PREFIX,
	FUZZ_VERIFY,
	FUZZ_JSON,
};

extern const struct option_spec fuzz_options[];

/*
 * Words that make no sense together, found before anything is opened.
 * -COMMAND_EUSAGE.
 */
int fuzz_check_words(
    const struct invocation *call, bool under_afl, struct lf_error *error);

/* An option's number from 1 to `max`, or `otherwise` where it is not given. */
int fuzz_option_number(const struct invocation *call, unsigned option,
    unsigned long max, unsigned long otherwise, unsigned long *ret_number,
    struct lf_error *error);

/* All that a session needs. It stays where it is as long as there is one. */
struct fuzz_setup {
	struct fuzz_target target;
	struct fuzz_probes probes;
	struct lf_fuzz_options options; /* for target.snapshot */
};

#define FUZZ_SETUP_NONE                  \
	{                                \
		.target = {.lease = -1 } \
	}

/* Opens the target and looks everything up in it. */
int fuzz_setup_init(struct fuzz_setup *setup, const struct invocation *call,
    struct lf_error *error);

/* Opens the session, and takes it behind the --prefix. */
int fuzz_setup_open(const struct fuzz_setup *setup,
    const struct invocation *call, struct lf_fuzz **ret_fuzz,
    struct lf_error *error);

/* After the session's end. What fuzz_setup_init() did not finish, too. */
void fuzz_setup_done(struct fuzz_setup *setup);

#endif
