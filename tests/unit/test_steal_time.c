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

/* What an import does with the areas; the states are the snapshot's own. */
static int
clear(struct lf_snapshot *snapshot, struct ram_image **ret_image)
{
	*ret_image = NULL;
	return steal_time_clear_preempted(
	    snapshot, snapshot->vcpus, ret_image, &error);
}

/* The snapshot as before an import, the states as one has read them. */
static struct cpu_state **
take_states(struct lf_snapshot *snapshot)
{
	struct cpu_state **states = snapshot->vcpus;

	snapshot->vcpus = NULL;
	return states;
}

Test(steal_time, no_vcpu_of_a_snapshot_is_preempted)
{
	struct lf_snapshot *snapshot = snapshot_of(4);
	struct cpu_state **states;
	struct ram_image *image;

	cr_assert_eq(clear(snapshot, &image), 0, "%s", error.message);
	cr_assert_not_null(image);
	states = take_states(snapshot);
	snapshot_add_imported(snapshot, &states, &image);
	cr_assert_null(image);
	cr_assert_null(states);
	cr_assert_eq(mark_of(snapshot, 0), 0);
	cr_assert_eq(mark_of(snapshot, 1), 0);
	cr_assert_eq(mark_of(snapshot, 2), 1, "it is not in use");
	cr_assert_eq(snapshot->image->run_count, 1);
	/* Nothing is left to be done. */
	cr_assert_eq(clear(snapshot, &image), 0);
	cr_assert_null(image);
	lf_snapshot_unref(snapshot);
}

Test(steal_time, of_two_imports_at_once_the_first_counts)
{
	struct lf_snapshot *snapshot = snapshot_of(3);
	struct cpu_state *second_states[3] = {NULL}, **second = second_states;
	struct cpu_state **states, **first;
	struct ram_image *image, *other, *counts;

	cr_assert_eq(clear(snapshot, &image), 0, "%s", error.message);
	cr_assert_eq(clear(snapshot, &other), 0, "%s", error.message);
	counts = image;
	first = states = take_states(snapshot);
	snapshot_add_imported(snapshot, &states, &image);
	snapshot_add_imported(snapshot, &second, &other);
	cr_assert_eq(snapshot->image, counts);
	cr_assert_eq(snapshot->vcpus, first);
	cr_assert_not_null(other);
	cr_assert_not_null(second);
	ram_image_unref(other);
	lf_snapshot_unref(snapshot);
}

Test(steal_time, nobody_asks_whether_the_only_vcpu_is_preempted)
{
	struct lf_snapshot *snapshot = snapshot_of(1);
	struct ram_image *image;

	cr_assert_eq(clear(snapshot, &image), 0);
	cr_assert_null(image);
	cr_assert_eq(mark_of(snapshot, 0), 1);
	lf_snapshot_unref(snapshot);
}

Test(steal_time, every_failed_call_leaves_the_snapshot_as_it_was)
{
	struct lf_snapshot *snapshot = snapshot_of(3);
	struct ram_image *image;

	/* Read once; without, there is a default. */
	memory_view_mappings_max();
	FAULT_LOOP(fault)
	{
		int rc = clear(snapshot, &image);

		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "%s", fault.name);
		cr_assert_eq(image == NULL, fault.hit);
		cr_assert_eq(mark_of(snapshot, 0), 1);
		ram_image_unref(image);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	lf_snapshot_unref(snapshot);
}
