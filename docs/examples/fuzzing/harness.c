/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The harness: where inputs go, where a run begins and ends. A program without
 * operating system has no main(): it is entered at _start.
 */
#define XLFORK_FREESTANDING
#define XLFORK_COVERAGE 65536
#include <xlfork-harness.h>

#include "parser.h"

static unsigned char input[4096];
static struct xlfork_harness harness = XLFORK_HARNESS(input, sizeof(input));

__attribute__((force_align_arg_pointer)) void
_start(void)
{
	xlfork_coverage(&harness);
	parse(input, xlfork_start(&harness));
	xlfork_stop();
}
