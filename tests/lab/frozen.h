/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A frozen parent of two-phase forks, and what its forks begin with.
 */
#ifndef TESTS_LAB_FROZEN_H
#define TESTS_LAB_FROZEN_H

#include "lab/two_phase.h"

struct frozen {
	struct parent parent;
	struct lf_snapshot *snapshot;
	struct progress counters[MAX_VCPUS];
	uint64_t places[MAX_PLACES];
};

/*
 * Freezes the booted parent, but not in the middle of an access: it may still
 * be busy with an interrupt of its disk, and its forks would all stop there.
 */
void freeze(struct frozen *frozen);

/* The parent goes on when nobody holds its snapshot any more. */
void thaw(struct frozen *frozen);

#endif
