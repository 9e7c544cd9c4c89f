/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * References to snapshots, and the checks that every finished one passes.
 */
#include "snapshot/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/cpuid.h"
#include "cpu/state.h"

int
snapshot_new(struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	struct lf_snapshot *snapshot = sys.calloc(1, sizeof(*snapshot));

	if (snapshot == NULL)
		return error_nomem(error);
	snapshot->refs = 1;
	snapshot->devstate_fd = -1;
	*ret_snapshot = snapshot;
	return 0;
}

struct lf_snapshot *
lf_snapshot_ref(struct lf_snapshot *snapshot)
{
	__atomic_add_fetch(&snapshot->refs, 1, __ATOMIC_RELAXED);
	return snapshot;
}

void
lf_snapshot_unref(struct lf_snapshot *snapshot)
{
	unsigned i;

	if (snapshot == NULL ||
	    __atomic_sub_fetch(&snapshot->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (i = 0; i < snapshot->vcpu_count && snapshot->vcpus != NULL; i++)
		cpu_state_free(snapshot->vcpus[i]);
	free(snapshot->vcpus);
	free(snapshot->cpuid);
	memory_map_done(&snapshot->map);
	ram_image_unref(snapshot->image);
	close_fd(snapshot->devstate_fd);
	json_decref(snapshot->configuration);
	json_decref(snapshot->disk_files);
	free(snapshot);
}

int
snapshot_add_vcpu(struct lf_snapshot *snapshot, struct cpu_state *state,
    struct lf_error *error)
{
	struct cpu_state **vcpus;

	if (snapshot->vcpu_count >= SNAPSHOT_VCPUS_MAX)
		return error_set(
		    error, EINVAL, "more than %d vCPUs", SNAPSHOT_VCPUS_MAX);
	vcpus = sys.realloc(
	    snapshot->vcpus, (snapshot->vcpu_count + 1) * sizeof(*vcpus));
	if (vcpus == NULL)
		return error_nomem(error);
	vcpus[snapshot->vcpu_count++] = state;
	snapshot->vcpus = vcpus;
	return 0;
}

unsigned
lf_snapshot_refs(const struct lf_snapshot *snapshot)
{
	return __atomic_load_n(&snapshot->refs, __ATOMIC_RELAXED);
}

unsigned
lf_snapshot_vcpus(const struct lf_snapshot *snapshot)
{
	return snapshot->vcpu_count;
}

uint64_t
lf_snapshot_memory_bytes(const struct lf_snapshot *snapshot)
{
	return memory_map_bytes(&snapshot->map);
}

uint64_t
lf_snapshot_delta_bytes(const struct lf_snapshot *snapshot)
{
	const struct ram_image *image = snapshot->image;
	uint64_t bytes = 0;
	size_t i;

	/* Not the file's size: a delta may lie in a file with holes. */
	for (i = 0; i < image->run_count; i++)
		bytes += image->runs[i].length;
	return bytes;
}

int
snapshot_check(const struct lf_snapshot *snapshot, struct lf_error *error)
{
	const struct ram_image *image = snapshot->image;
	size_t i;

	if (snapshot->map.count == 0)
		return error_set(error, EINVAL, "a snapshot without memory");
	if (snapshot->vcpu_count == 0)
		return error_set(error, EINVAL, "a snapshot without vCPUs");
	for (i = 0; i < snapshot->map.count; i++) {
		const struct memory_range *range = &snapshot->map.ranges[i];
		uint64_t size;

		if (range->file >= image->file_count)
			return error_set(error, EINVAL,
			    "range at 0x%" PRIx64 ": there is no file %" PRIu32,
			    range->gpa, range->file);
		size = ram_file_size(image->files[range->file]);
		if (range->offset > size ||
		    range->length > size - range->offset)
			return error_set(error, EINVAL,
			    "range 0x%" PRIx64 "+0x%" PRIx64
			    " at offset 0x%" PRIx64
			    " goes beyond the end of file %" PRIu32
			    " (0x%" PRIx64 " bytes)",
			    range->gpa, range->length, range->offset,
			    range->file, size);
	}
	return 0;
}
