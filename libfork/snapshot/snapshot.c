/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * References to snapshots, and the checks that every finished one passes.
 */
#include "snapshot/snapshot.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "memory/delta.h"
#include "qemu/cpuid_probe.h"
#include "qemu/devfile.h"
#include "memory/view.h"

int
snapshot_new(struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	struct lf_snapshot *snapshot = sys.calloc(1, sizeof(*snapshot));

	if (snapshot == NULL)
		return error_nomem(error);
	snapshot->refs = 1;
	snapshot->devstate_fd = -1;
	pthread_mutex_init(&snapshot->lock, NULL);
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
	cpuid_known_unref(snapshot->cpuid_known);
	free(snapshot->chips);
	memory_map_done(&snapshot->map);
	ram_image_unref(snapshot->image);
	close_fd(snapshot->devstate_fd);
	devfile_free(snapshot->devstate);
	json_decref(snapshot->configuration);
	json_decref(snapshot->disk_files);
	pthread_mutex_destroy(&snapshot->lock);
	free(snapshot);
}

DEFINE_CLEANUP(struct lf_snapshot *, lf_snapshot_unref);

int
snapshot_new_like(const struct lf_snapshot *from,
    struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	cleanup(lf_snapshot_unref_p) struct lf_snapshot *snapshot = NULL;
	int rc;

	rc = snapshot_new(&snapshot, error);
	if (rc == 0)
		rc = memory_map_copy(&snapshot->map, &from->map, error);
	if (rc < 0)
		return rc;
	if (from->cpuid != NULL) {
		snapshot->cpuid = sys.malloc(sizeof(*snapshot->cpuid));
		if (snapshot->cpuid == NULL)
			return error_nomem(error);
		*snapshot->cpuid = *from->cpuid;
	}
	if (from->devstate_fd >= 0) {
		snapshot->devstate_fd =
		    sys.fcntl(from->devstate_fd, F_DUPFD_CLOEXEC, 0);
		if (snapshot->devstate_fd < 0)
			return error_sys(error, errno,
			    "cannot duplicate the device stream's descriptor");
		snapshot->devstate_length = from->devstate_length;
	}
	snapshot->irqchip = from->irqchip;
	snapshot->configuration = json_incref(from->configuration);
	snapshot->disk_files = json_incref(from->disk_files);
	*ret_snapshot = take_ptr(snapshot);
	return 0;
}

int
snapshot_image(struct lf_snapshot *snapshot, struct ram_image **ret_image,
    struct lf_error *error)
{
	struct ram_image *image;
	int rc = 0;

	pthread_mutex_lock(&snapshot->lock);
	image = snapshot->image;
	/* Two mappings per run; each fork holds a reference. */
	if (image->run_count * 2 * lf_snapshot_refs(snapshot) >
	    memory_view_mappings_max() / 2) {
		rc = delta_flatten(image, &image, error);
		if (rc == 0) {
			ram_image_unref(snapshot->image);
			snapshot->image = image;
		}
	}
	if (rc == 0)
		*ret_image = ram_image_ref(image);
	pthread_mutex_unlock(&snapshot->lock);
	return rc;
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

void
snapshot_add_imported(struct lf_snapshot *snapshot, struct cpu_state ***states,
    struct ram_image **image)
{
	pthread_mutex_lock(&snapshot->lock);
	if (snapshot->vcpus == NULL) {
		if (*image != NULL) {
			ram_image_unref(snapshot->image);
			snapshot->image = take_ptr(*image);
		}
		/* Who sees them without the lock needs no import. */
		__atomic_store_n(
		    &snapshot->vcpus, take_ptr(*states), __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&snapshot->lock);
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
	struct lf_snapshot *locked = (struct lf_snapshot *)snapshot;
	const struct ram_image *image;
	uint64_t bytes = 0;
	size_t i;

	/* A fork in another thread may be giving it another image. */
	pthread_mutex_lock(&locked->lock);
	image = snapshot->image;
	/* Not the file's size: a delta may lie in a file with holes. */
	for (i = 0; i < image->run_count; i++)
		bytes += image->runs[i].length;
	pthread_mutex_unlock(&locked->lock);
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
