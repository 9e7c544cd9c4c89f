/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * domain/steal_time: marks of preempted vCPUs in a snapshot's memory. No KVM.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/snapshot.h>

#include "cpu/msr.h"
#include "cpu/state.h"
#include "domain/steal_time.h"
#include "lib/fault.h"
#include "memory/view.h"

#define MIB       1048576UL
#define PREEMPTED 16

static struct lf_error error;

/* Steal-time areas of four vCPUs, all marked: one by a guest's request. */
static const uint64_t areas[] = {0x1000, 0x1040, 0x30000, 0x7fff0000};
static const bool enabled[] = {true, true, false, true};
static const uint8_t marks[] = {1, 3, 1};

static struct lf_snapshot *
snapshot_of(unsigned vcpus)
{
	struct lf_snapshot_builder *builder;
	struct lf_vcpu_regs regs = {0};
	uint8_t *memory = calloc(1, MIB);
	struct lf_snapshot *snapshot;

	for (unsigned i = 0; i < 3; i++)
		memory[areas[i] + PREEMPTED] = marks[i];
	cr_assert_eq(lf_snapshot_builder_new(&builder, &error), 0);
	cr_assert_eq(
	    lf_snapshot_builder_add_buffer(builder, memory, MIB, MIB, &error),
	    0);
	cr_assert_eq(
	    lf_snapshot_builder_add_range(builder, 0, MIB, 0, 0, 0, &error), 0);
	for (unsigned i = 0; i < vcpus; i++)
		cr_assert_eq(
		    lf_snapshot_builder_add_vcpu(builder, &regs, &error), 0);
	cr_assert_eq(lf_snapshot_builder_finish(builder, &snapshot, &error), 0);
	lf_snapshot_builder_free(builder);
	free(memory);
	for (unsigned i = 0; i < vcpus; i++)
		cr_assert_eq(
		    cpu_state_set_msr(snapshot->vcpus[i], MSR_KVM_STEAL_TIME,
			areas[i] | enabled[i], &error),
		    0);
	return snapshot;
}

static uint8_t
mark_of(const struct lf_snapshot *snapshot, unsigned vcpu)
{
	uint8_t mark;

	cr_assert_eq(ram_image_read(snapshot->image, 0, areas[vcpu] + PREEMPTED,
			 &mark, 1, &error),
	    0);
	return mark;
}

Test(steal_time, no_vcpu_of_a_snapshot_is_preempted)
{
	struct lf_snapshot *snapshot = snapshot_of(4);

	cr_assert_eq(
	    steal_time_clear_preempted(snapshot, snapshot->vcpus, &error), 0,
	    "%s", error.message);
	cr_assert_eq(mark_of(snapshot, 0), 0);
	cr_assert_eq(mark_of(snapshot, 1), 0);
	cr_assert_eq(mark_of(snapshot, 2), 1, "it is not in use");
	cr_assert_eq(snapshot->image->run_count, 1);
	/* Nothing is left to be done. */
	cr_assert_eq(
	    steal_time_clear_preempted(snapshot, snapshot->vcpus, &error), 0);
	cr_assert_eq(snapshot->image->run_count, 1);
	lf_snapshot_unref(snapshot);
}

Test(steal_time, nobody_asks_whether_the_only_vcpu_is_preempted)
{
	struct lf_snapshot *snapshot = snapshot_of(1);

	cr_assert_eq(
	    steal_time_clear_preempted(snapshot, snapshot->vcpus, &error), 0);
	cr_assert_eq(mark_of(snapshot, 0), 1);
	cr_assert_eq(snapshot->image->run_count, 0);
	lf_snapshot_unref(snapshot);
}

Test(steal_time, every_failed_call_leaves_the_snapshot_as_it_was)
{
	struct lf_snapshot *snapshot = snapshot_of(3);

	/* Read once; without, there is a default. */
	memory_view_mappings_max();
	FAULT_LOOP(fault)
	{
		int rc = steal_time_clear_preempted(
		    snapshot, snapshot->vcpus, &error);

		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "%s", fault.name);
		cr_assert_eq(mark_of(snapshot, 0), fault.hit ? 1 : 0);
		cr_assert_eq(fault_open_descriptors(),
		    fault.descriptors + (fault.hit ? 0 : 1));
	}
	lf_snapshot_unref(snapshot);
}
