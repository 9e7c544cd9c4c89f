/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions with the parser that is a micro-guest (parser_image.h): its input
 * and size are in what it shares with the outside, and it says by a port that
 * it is done.
 */
#ifndef TESTS_LIB_PARSER_SESSION_H
#define TESTS_LIB_PARSER_SESSION_H

#include <libfork/fuzz.h>

#include "lib/parser_image.h"

static void
target_options(struct lf_fuzz_options *options)
{
	lf_fuzz_options_init(options);
	options->input_address = SHARED(bytes);
	options->input_max = JSON_INPUT_MAX;
	options->size_address = SHARED(len);
	options->size_bytes = 8;
	options->timeout_ms = 300000;
	options->io = LF_FUZZ_IO_STOP;
	options->symbols = image.symbols;
}

static struct lf_fuzz *
open_session(const struct lf_fuzz_options *options)
{
	struct lf_fuzz *fuzz;

	OK(lf_fuzz_open(image.snapshot, options, &fuzz, &error));
	return fuzz;
}

#endif
