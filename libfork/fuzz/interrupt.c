/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ending a run from another thread: by its number, so that no later run is
 * ended in its place.
 */
#include "fuzz/session.h"

bool
fuzz_run_ended(const struct lf_fuzz *fuzz)
{
	return atomic_load(&fuzz->end_run) == atomic_load(&fuzz->phase);
}

void
fuzz_end_run(struct lf_fuzz *fuzz, uint_fast64_t phase)
{
	atomic_store(&fuzz->end_run, phase);
	lf_domain_stop(fuzz->domain);
}

void
lf_fuzz_interrupt(struct lf_fuzz *fuzz)
{
	uint_fast64_t phase = atomic_load(&fuzz->phase);

	if (phase % 2 == 1)
		fuzz_end_run(fuzz, phase);
}
