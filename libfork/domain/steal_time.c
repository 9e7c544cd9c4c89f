/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Steal-time areas in a snapshot's memory.
 */
#include "domain/steal_time.h"

#include "base/cleanup.h"
#include "cpu/msr.h"
#include "cpu/state.h"
#include "memory/delta.h"
#include "memory/dirty_set.h"
#include "memory/view.h"

DEFINE_CLEANUP(struct ram_image *, ram_image_unref);
DEFINE_CLEANUP(struct memory_view *, memory_view_free);

#define STEAL_TIME_ENABLED   1U
#define STEAL_TIME_ADDRESS   (~UINT64_C(0x3f))
#define STEAL_TIME_PREEMPTED 16 /* offset of a byte */

/* A guest may have told KVM of an address where there is no memory. */
static int
clear_mark(const struct cpu_state *state, const struct memory_view *view,
    struct dirty_set *set, struct lf_error *error)
{
	static const uint8_t zero;
	uint64_t msr, gpa;
	uint8_t mark;

	if (!cpu_state_msr(state, MSR_KVM_STEAL_TIME, &msr) ||
	    (msr & STEAL_TIME_ENABLED) == 0)
		return 0;
	gpa = (msr & STEAL_TIME_ADDRESS) + STEAL_TIME_PREEMPTED;
	if (memory_view_check(view, gpa, sizeof(mark), NULL) < 0)
		return 0;
	memory_view_read(view, gpa, &mark, sizeof(mark));
	return mark != 0 ? dirty_set_write(set, gpa, &zero, sizeof(zero), error)
			 : 0;
}

int
steal_time_clear_preempted(struct lf_snapshot *snapshot,
    struct cpu_state *const *states, struct ram_image **ret_image,
    struct lf_error *error)
{
	cleanup(ram_image_unref_p) struct ram_image *image = NULL;
	cleanup(memory_view_free_p) struct memory_view *view = NULL;
	struct dirty_set set;
	unsigned i;
	int rc;

	if (snapshot->vcpu_count < 2)
		return 0;
	rc = snapshot_image(snapshot, &image, error);
	if (rc == 0)
		rc = memory_view_new(
		    &snapshot->map, image, NULL, 0, &view, error);
	if (rc < 0)
		return rc;
	rc = dirty_set_init(&set, view, error);
	for (i = 0; i < snapshot->vcpu_count && rc == 0; i++)
		rc = clear_mark(states[i], view, &set, error);
	if (rc == 0 && set.count > 0)
		rc = delta_freeze(view, &set, ret_image, error);
	dirty_set_done(&set);
	return rc;
}
