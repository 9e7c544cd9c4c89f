/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See frozen.h. */
#include <config.h>

#include <unistd.h>

#include "lab/frozen.h"

#define error two_phase_error

void
thaw(struct frozen *frozen)
{
	lf_snapshot_unref(take_ptr(frozen->snapshot));
	OK(lf_domain_thaw(frozen->parent.domain, &error));
	OK(lf_domain_unpause(frozen->parent.domain, &error));
}

/* A fork runs on for a moment without touching a device. */
static bool
is_quiet(struct lf_snapshot *snapshot)
{
	struct lf_domain *fork = fork_without(snapshot, "quiet");
	bool quiet;

	OK(lf_domain_unpause(fork, &error));
	usleep(500000);
	OK(lf_domain_pause(fork, &error));
	quiet = lf_domain_reason(fork)[0] == '\0';
	lf_domain_free(fork);
	return quiet;
}

void
freeze(struct frozen *frozen)
{
	struct parent *parent = &frozen->parent;
	unsigned i;

	for (int try = 0;; try++) {
		console_drain(&parent->console, 300);
		OK(lf_domain_freeze(parent->domain, &frozen->snapshot, &error));
		if (is_quiet(frozen->snapshot))
			break;
		cr_assert_lt(try, 10, "the parent never rests");
		thaw(frozen);
	}
	for (i = 0; i < parent->kind->vcpus; i++)
		frozen->counters[i] =
		    progress_of(parent->domain, parent->counters[i]);
	for (i = 0; i < parent->place_count; i++)
		frozen->places[i] = word_at(parent->domain, parent->places[i]);
}
