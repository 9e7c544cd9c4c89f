/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recognising the marks of xlfork-harness.h among exits.
 */
#ifndef FUZZ_HARNESS_H
#define FUZZ_HARNESS_H

#include <libfork/exit.h>

#define XLFORK_FREESTANDING
#include "fuzz/xlfork-harness.h"

/* Others than these QEMU's TCG reads as nought, as if somebody answered. */
_Static_assert(XLFORK_MARK_START % 4 == 0 && XLFORK_MARK_STOP % 4 == 0 &&
		   XLFORK_MARK_CRASH % 4 == 0 && XLFORK_MARK_CONSUMED % 4 == 0,
    "marks are aligned ports");

/* The mark that an exit is (XLFORK_MARK_...), or 0. */
static inline unsigned
harness_mark(const struct lf_exit *exit)
{
	if (exit->reason != LF_EXIT_IO || exit->io.size != 4 ||
	    exit->io.count != 1 || exit->io.port < XLFORK_MARK_START ||
	    exit->io.port > XLFORK_MARK_CONSUMED || exit->io.port % 4 != 0 ||
	    exit->io.write != (exit->io.port == XLFORK_MARK_STOP))
		return 0;
	return exit->io.port;
}

#endif
