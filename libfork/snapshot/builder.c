/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots from raw parts: whoever has guest memory and registers from
 * anywhere can fork them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/state.h"
#include "snapshot/regs.h"
#include "snapshot/snapshot.h"

struct lf_snapshot_builder {
	struct lf_snapshot *snapshot; /* NULL: finished */
};

void
lf_snapshot_builder_free(struct lf_snapshot_builder *builder)
{
	if (builder == NULL)
		return;
	lf_snapshot_unref(builder->snapshot);
	free(builder);
}

int
lf_snapshot_builder_new(
    struct lf_snapshot_builder **ret_builder, struct lf_error *error)
{
	struct lf_snapshot_builder *builder = sys.calloc(1, sizeof(*builder));
	int rc;

	if (builder == NULL)
		return error_nomem(error);
	rc = snapshot_new(&builder->snapshot, error);
	if (rc == 0)
		rc = ram_image_new(&builder->snapshot->image, error);
	if (rc < 0) {
		lf_snapshot_builder_free(builder);
		return rc;
	}
	*ret_builder = builder;
	return 0;
}

static int
finished(struct lf_error *error)
{
	return error_set(error, EINVAL, "the builder has been finished");
}

/* Gives the file to the image, whatever comes of it. */
static int
add_file(struct lf_snapshot_builder *builder, struct ram_file *file,
    struct lf_error *error)
{
	int rc = ram_image_add_file(builder->snapshot->image, file, error);

	ram_file_unref(file);
	return rc;
}

int
lf_snapshot_builder_add_file(struct lf_snapshot_builder *builder, int fd,
    uint64_t size, struct lf_error *error)
{
	char name[32];
	struct ram_file *file;
	int rc;

	if (builder->snapshot == NULL)
		return finished(error);
	snprintf(name, sizeof(name), "file %" PRIu32,
	    builder->snapshot->image->file_count);
	rc = ram_file_adopt(name, fd, size, false, &file, error);
	return rc < 0 ? rc : add_file(builder, file, error);
}

int
lf_snapshot_builder_add_buffer(struct lf_snapshot_builder *builder,
    const void *bytes, size_t len, uint64_t size, struct lf_error *error)
{
	struct ram_file *file;
	int rc;

	if (builder->snapshot == NULL)
		return finished(error);
	if (size == 0 || size % PAGE_BYTES != 0 || len > size)
		return error_set(error, EINVAL,
		    "%zu bytes in a file of %" PRIu64
		    ": the file must be whole pages and hold them all",
		    len, size);
	rc = ram_file_new("buffer", size, &file, error);
	if (rc == 0) {
		rc = ram_file_write(file, 0, bytes, len, error);
		if (rc == 0)
			rc = ram_file_seal(file, error);
		if (rc < 0)
			ram_file_unref(file);
	}
	return rc < 0 ? rc : add_file(builder, file, error);
}

int
lf_snapshot_builder_add_range(struct lf_snapshot_builder *builder, uint64_t gpa,
    uint64_t length, unsigned file, uint64_t offset, unsigned flags,
    struct lf_error *error)
{
	struct memory_range range = {
	    .gpa = gpa,
	    .length = length,
	    .file = file,
	    .offset = offset,
	    .flags = flags & LF_RANGE_READONLY ? MEMORY_READONLY : 0,
	};

	if (builder->snapshot == NULL)
		return finished(error);
	if ((flags & ~LF_RANGE_READONLY) != 0)
		return error_set(
		    error, EINVAL, "unknown flags 0x%x of a range", flags);
	return memory_map_add(&builder->snapshot->map, &range, error);
}

int
lf_snapshot_builder_add_vcpu(struct lf_snapshot_builder *builder,
    const struct lf_vcpu_regs *regs, struct lf_error *error)
{
	struct lf_snapshot *snapshot = builder->snapshot;
	struct cpu_state *state;
	int rc;

	if (snapshot == NULL)
		return finished(error);
	state = cpu_state_new(0);
	if (state == NULL)
		return error_nomem(error);
	regs_to_state(regs, &state->regs, &state->sregs);
	state->mp_state = CPU_MP_RUNNABLE;
	state->groups = CPU_GROUP_MP_STATE | CPU_GROUP_REGS | CPU_GROUP_SREGS;
	rc = snapshot_add_vcpu(snapshot, state, error);
	if (rc < 0)
		cpu_state_free(state);
	return rc;
}

int
lf_snapshot_builder_set_irqchip(struct lf_snapshot_builder *builder,
    enum lf_irqchip irqchip, struct lf_error *error)
{
	if (builder->snapshot == NULL)
		return finished(error);
	if ((unsigned)irqchip > LF_IRQCHIP_FULL)
		return error_set(error, EINVAL, "unknown irqchip %d", irqchip);
	builder->snapshot->irqchip = irqchip;
	return 0;
}

int
lf_snapshot_builder_finish(struct lf_snapshot_builder *builder,
    struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	int rc;

	if (builder->snapshot == NULL)
		return finished(error);
	rc = snapshot_check(builder->snapshot, error);
	if (rc < 0)
		return rc;
	*ret_snapshot = take_ptr(builder->snapshot);
	return 0;
}
