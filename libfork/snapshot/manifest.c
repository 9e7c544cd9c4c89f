/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing and reading manifests.
 */
#include "snapshot/manifest.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "snapshot/chips_json.h"
#include "snapshot/vcpu_json.h"

#define FORMAT 1

/* More runs than a delta has before it is flattened are somebody's mistake. */
#define RUNS_MAX (4 * RAM_RUNS_MAX)

DEFINE_CLEANUP(struct lf_snapshot *, lf_snapshot_unref);
DEFINE_CLEANUP(struct ram_file *, ram_file_unref);

static const char *const irqchip_names[] = {
    [LF_IRQCHIP_NONE] = "none",
    [LF_IRQCHIP_LAPIC] = "lapic",
    [LF_IRQCHIP_FULL] = "full",
};

#define IRQCHIP_COUNT (sizeof(irqchip_names) / sizeof(irqchip_names[0]))

size_t
manifest_files(const struct lf_snapshot *snapshot, int fds[MANIFEST_FILES_MAX])
{
	const struct ram_image *image = snapshot->image;
	size_t count = 0;

	while (count < image->file_count) {
		fds[count] = ram_file_fd(image->files[count]);
		count++;
	}
	if (image->delta != NULL)
		fds[count++] = ram_file_fd(image->delta);
	if (snapshot->devstate_fd >= 0)
		fds[count++] = snapshot->devstate_fd;
	return count;
}

/* --- writing --- */

static json_t *
map_write(const struct memory_map *map)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < map->count; i++) {
		const struct memory_range *range = &map->ranges[i];

		if (json_array_append_new(
			array, json_pack("{s:I,s:I,s:I,s:I,s:b}", "gpa",
				   (json_int_t)range->gpa, "length",
				   (json_int_t)range->length, "file",
				   (json_int_t)range->file, "offset",
				   (json_int_t)range->offset, "readonly",
				   (range->flags & MEMORY_READONLY) != 0)) < 0)
			return json_decref(array), NULL;
	}
	return array;
}

static json_t *
files_write(const struct ram_image *image)
{
	json_t *array = json_array();
	uint32_t i;

	for (i = 0; i < image->file_count; i++)
		if (json_array_append_new(array,
			json_integer(
			    (json_int_t)ram_file_size(image->files[i]))) < 0)
			return json_decref(array), NULL;
	return array;
}

static json_t *
blocks_write(const struct ram_image *image)
{
	json_t *array = json_array();
	uint32_t i;

	for (i = 0; i < image->block_count; i++) {
		const struct ram_block *block = &image->blocks[i];

		if (json_array_append_new(array,
			json_pack("{s:s,s:I,s:I,s:I,s:I}", "id", block->idstr,
			    "file", (json_int_t)block->file, "offset",
			    (json_int_t)block->offset, "length",
			    (json_int_t)block->length, "page_size",
			    (json_int_t)block->page_size)) < 0)
			return json_decref(array), NULL;
	}
	return array;
}

static json_t *
delta_write(const struct ram_image *image)
{
	json_t *runs = json_array();
	size_t i;

	for (i = 0; i < image->run_count; i++) {
		const struct ram_run *run = &image->runs[i];

		if (json_array_append_new(runs,
			json_pack("[I,I,I,I]", (json_int_t)run->file,
			    (json_int_t)run->offset, (json_int_t)run->length,
			    (json_int_t)run->at)) < 0)
			return json_decref(runs), NULL;
	}
	return json_pack("{s:I,s:o}", "size",
	    (json_int_t)ram_file_size(image->delta), "runs", runs);
}

static json_t *
vcpus_write(const struct lf_snapshot *snapshot)
{
	json_t *array = json_array();
	unsigned i;

	for (i = 0; i < snapshot->vcpu_count && snapshot->vcpus != NULL; i++)
		if (json_array_append_new(
			array, vcpu_json_write(snapshot->vcpus[i])) < 0)
			return json_decref(array), NULL;
	return array;
}

json_t *
manifest_write(const struct lf_snapshot *snapshot)
{
	const struct ram_image *image = snapshot->image;
	json_t *object = json_object();
	int r = 0;

	r |= json_object_set_new(object, "format", json_integer(FORMAT));
	r |= json_object_set_new(object, "map", map_write(&snapshot->map));
	r |= json_object_set_new(object, "files", files_write(image));
	r |= json_object_set_new(object, "blocks", blocks_write(image));
	if (image->delta != NULL)
		r |= json_object_set_new(object, "delta", delta_write(image));
	r |= json_object_set_new(
	    object, "irqchip", json_string(irqchip_names[snapshot->irqchip]));
	if (snapshot->chips != NULL)
		r |= json_object_set_new(
		    object, "chips", chips_json_write(snapshot->chips));
	if (snapshot->cpuid != NULL)
		r |= json_object_set_new(
		    object, "cpuid", cpuid_json_write(snapshot->cpuid));
	r |= json_object_set_new(object, "vcpu_count",
	    json_integer((json_int_t)snapshot->vcpu_count));
	r |= json_object_set_new(object, "vcpus", vcpus_write(snapshot));
	r |= json_object_set_new(
	    object, "complete", json_boolean(snapshot->complete));
	if (snapshot->devstate_fd >= 0)
		r |= json_object_set_new(object, "devstate",
		    json_integer((json_int_t)snapshot->devstate_length));
	if (snapshot->configuration != NULL)
		r |= json_object_set(
		    object, "configuration", snapshot->configuration);
	if (snapshot->disk_files != NULL)
		r |=
		    json_object_set(object, "disk_files", snapshot->disk_files);
	if (r != 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* --- reading --- */

/* A number that is not negative and not more than `max`. */
static int
number(const json_t *value, const char *name, uint64_t max, uint64_t *ret_value,
    struct lf_error *error)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || n < 0 || (uint64_t)n > max)
		return error_set(error, EBADMSG,
		    "manifest: '%s' is missing or no number up to %" PRIu64,
		    name, max);
	*ret_value = (uint64_t)n;
	return 0;
}

static int
array(const json_t *object, const char *name, size_t max,
    const json_t **ret_array, struct lf_error *error)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_array(value) || json_array_size(value) > max)
		return error_set(error, EBADMSG,
		    "manifest: '%s' is missing or no array of up to %zu", name,
		    max);
	*ret_array = value;
	return 0;
}

static int
map_read(const json_t *manifest, struct memory_map *map, struct lf_error *error)
{
	const json_t *ranges;
	size_t i;
	int rc = array(manifest, "map", MEMORY_RANGES_MAX, &ranges, error);

	for (i = 0; rc == 0 && i < json_array_size(ranges); i++) {
		const json_t *object = json_array_get(ranges, i);
		struct memory_range range = {0};
		uint64_t file = 0;

		rc = number(json_object_get(object, "gpa"), "gpa", INT64_MAX,
		    &range.gpa, error);
		if (rc == 0)
			rc = number(json_object_get(object, "length"), "length",
			    INT64_MAX, &range.length, error);
		if (rc == 0)
			rc = number(json_object_get(object, "offset"), "offset",
			    INT64_MAX, &range.offset, error);
		if (rc == 0)
			rc = number(json_object_get(object, "file"), "file",
			    RAM_FILES_MAX, &file, error);
		range.file = (uint32_t)file;
		if (json_is_true(json_object_get(object, "readonly")))
			range.flags = MEMORY_READONLY;
		if (rc == 0)
			rc = memory_map_add(map, &range, error);
	}
	return rc;
}

/* Files come one after the other; `next` counts those that were used. */
struct files {
	const int *fds;
	size_t count, next;
};

static int
next_file(struct files *files, const char *name, struct lf_error *error)
{
	if (files->next >= files->count)
		return error_set(error, EBADMSG,
		    "manifest: the file for %s was not sent, only %zu were",
		    name, files->count);
	return files->fds[files->next++];
}

static int
adopt(struct files *files, const char *name, uint64_t size,
    struct ram_file **ret, struct lf_error *error)
{
	int fd = next_file(files, name, error);

	return fd < 0 ? fd : ram_file_adopt(name, fd, size, false, ret, error);
}

static int
files_read(const json_t *manifest, struct ram_image *image, struct files *files,
    struct lf_error *error)
{
	const json_t *sizes;
	size_t i;
	int rc = array(manifest, "files", RAM_FILES_MAX, &sizes, error);

	for (i = 0; rc >= 0 && i < json_array_size(sizes); i++) {
		cleanup(ram_file_unref_p) struct ram_file *file = NULL;
		uint64_t size;
		char name[32];

		snprintf(name, sizeof(name), "file %zu", i);
		rc = number(
		    json_array_get(sizes, i), "files", INT64_MAX, &size, error);
		if (rc == 0)
			rc = adopt(files, name, size, &file, error);
		if (rc == 0)
			rc = ram_image_add_file(image, file, error);
	}
	return rc < 0 ? rc : 0;
}

static int
blocks_read(
    const json_t *manifest, struct ram_image *image, struct lf_error *error)
{
	const json_t *blocks;
	size_t i;
	int rc = array(manifest, "blocks", RAM_BLOCKS_MAX, &blocks, error);

	for (i = 0; rc == 0 && i < json_array_size(blocks); i++) {
		const json_t *object = json_array_get(blocks, i);
		const json_t *id = json_object_get(object, "id");
		struct ram_block block = {0};
		uint64_t file = 0, page_size = 0;

		if (!json_is_string(id) ||
		    json_string_length(id) >= sizeof(block.idstr))
			return error_set(error, EBADMSG,
			    "manifest: block %zu has no name", i);
		memcpy(
		    block.idstr, json_string_value(id), json_string_length(id));
		rc = number(json_object_get(object, "file"), "file",
		    RAM_FILES_MAX, &file, error);
		if (rc == 0)
			rc = number(json_object_get(object, "offset"), "offset",
			    INT64_MAX, &block.offset, error);
		if (rc == 0)
			rc = number(json_object_get(object, "length"), "length",
			    INT64_MAX, &block.length, error);
		if (rc == 0)
			rc = number(json_object_get(object, "page_size"),
			    "page_size", UINT32_MAX, &page_size, error);
		block.file = (uint32_t)file;
		block.page_size = (uint32_t)page_size;
		if (rc == 0)
			rc = ram_image_add_block(image, &block, error);
	}
	return rc;
}

static int
delta_read(const json_t *manifest, struct ram_image *image, struct files *files,
    struct lf_error *error)
{
	const json_t *object = json_object_get(manifest, "delta"), *array_;
	cleanup(ram_file_unref_p) struct ram_file *delta = NULL;
	cleanup_free struct ram_run *runs = NULL;
	uint64_t size;
	size_t count, i;
	int rc;

	if (object == NULL)
		return 0;
	rc = number(json_object_get(object, "size"), "delta size", INT64_MAX,
	    &size, error);
	if (rc == 0)
		rc = array(object, "runs", RUNS_MAX, &array_, error);
	if (rc == 0)
		rc = adopt(files, "the delta", size, &delta, error);
	if (rc < 0)
		return rc;
	count = json_array_size(array_);
	runs = sys.calloc(count + 1, sizeof(*runs));
	if (runs == NULL)
		return error_nomem(error);
	for (i = 0; i < count; i++) {
		const json_t *run = json_array_get(array_, i);
		uint64_t part[4];
		size_t j;

		for (j = 0; j < 4; j++) {
			rc = number(json_array_get(run, j), "runs",
			    j == 0 ? RAM_FILES_MAX : INT64_MAX, &part[j],
			    error);
			if (rc < 0)
				return rc;
		}
		runs[i] = (struct ram_run){
		    (uint32_t)part[0], part[1], part[2], part[3]};
	}
	return ram_image_set_delta(image, delta, runs, count, error);
}

static int
vcpus_read(const json_t *manifest, struct lf_snapshot *snapshot,
    struct lf_error *error)
{
	const json_t *vcpus, *cpuid = json_object_get(manifest, "cpuid");
	uint64_t count;
	size_t i;
	int rc;

	if (cpuid != NULL) {
		rc = cpuid_json_read(cpuid, &snapshot->cpuid, error);
		if (rc < 0)
			return rc;
	}
	rc = number(json_object_get(manifest, "vcpu_count"), "vcpu_count",
	    SNAPSHOT_VCPUS_MAX, &count, error);
	if (rc == 0)
		rc =
		    array(manifest, "vcpus", SNAPSHOT_VCPUS_MAX, &vcpus, error);
	if (rc < 0)
		return rc;
	if (json_array_size(vcpus) != 0 && json_array_size(vcpus) != count)
		return error_set(error, EBADMSG,
		    "manifest: %" PRIu64 " vCPUs, but the states of %zu", count,
		    json_array_size(vcpus));
	for (i = 0; i < json_array_size(vcpus); i++) {
		struct cpu_state *state = NULL;

		rc = vcpu_json_read(json_array_get(vcpus, i), &state, error);
		if (rc < 0)
			return error_prefix(error, rc, "manifest: vCPU %zu", i);
		rc = snapshot_add_vcpu(snapshot, state, error);
		if (rc < 0) {
			cpu_state_free(state);
			return rc;
		}
	}
	snapshot->vcpu_count = (unsigned)count;
	snapshot->complete =
	    json_is_true(json_object_get(manifest, "complete"));
	return 0;
}

static int
devstate_read(const json_t *manifest, struct lf_snapshot *snapshot,
    struct files *files, struct lf_error *error)
{
	const json_t *length = json_object_get(manifest, "devstate");
	struct stat st;
	int fd, rc;

	if (length == NULL)
		return 0;
	rc = number(
	    length, "devstate", INT64_MAX, &snapshot->devstate_length, error);
	if (rc < 0)
		return rc;
	fd = next_file(files, "the device stream", error);
	if (fd < 0)
		return fd;
	if (sys.fstat(fd, &st) < 0 ||
	    (uint64_t)st.st_size < snapshot->devstate_length)
		return error_set(error, EBADMSG,
		    "manifest: the device stream is shorter than %" PRIu64,
		    snapshot->devstate_length);
	snapshot->devstate_fd = sys.fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (snapshot->devstate_fd < 0)
		return error_sys(error, errno, "cannot keep the device stream");
	return 0;
}

static int
irqchip_read(const json_t *manifest, enum lf_irqchip *ret_irqchip,
    struct lf_error *error)
{
	const char *name =
	    json_string_value(json_object_get(manifest, "irqchip"));
	size_t i;

	for (i = 0; i < IRQCHIP_COUNT; i++)
		if (name != NULL && strcmp(name, irqchip_names[i]) == 0) {
			*ret_irqchip = (enum lf_irqchip)i;
			return 0;
		}
	return error_set(error, EBADMSG, "manifest: unknown irqchip '%s'",
	    name != NULL ? name : "?");
}

static int
chips_read(const json_t *manifest, struct cpu_chips **ret_chips,
    struct lf_error *error)
{
	const json_t *object = json_object_get(manifest, "chips");
	int rc;

	if (object == NULL)
		return 0;
	rc = chips_json_read(object, ret_chips, error);
	return rc < 0 ? error_prefix(error, rc, "manifest") : 0;
}

int
manifest_read(const json_t *manifest, const int *fds, size_t fd_count,
    struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	cleanup(lf_snapshot_unref_p) struct lf_snapshot *snapshot = NULL;
	struct files files = {.fds = fds, .count = fd_count};
	uint64_t format;
	int rc;

	rc = number(json_object_get(manifest, "format"), "format", FORMAT,
	    &format, error);
	if (rc == 0)
		rc = snapshot_new(&snapshot, error);
	if (rc == 0)
		rc = ram_image_new(&snapshot->image, error);
	if (rc == 0)
		rc = map_read(manifest, &snapshot->map, error);
	if (rc == 0)
		rc = files_read(manifest, snapshot->image, &files, error);
	if (rc == 0)
		rc = blocks_read(manifest, snapshot->image, error);
	if (rc == 0)
		rc = delta_read(manifest, snapshot->image, &files, error);
	if (rc == 0)
		rc = irqchip_read(manifest, &snapshot->irqchip, error);
	if (rc == 0)
		rc = chips_read(manifest, &snapshot->chips, error);
	if (rc == 0)
		rc = vcpus_read(manifest, snapshot, error);
	if (rc == 0)
		rc = devstate_read(manifest, snapshot, &files, error);
	if (rc == 0)
		rc = snapshot_check(snapshot, error);
	if (rc < 0)
		return rc;
	if (files.next != files.count)
		return error_set(error, EBADMSG,
		    "manifest: %zu files were sent, %zu belong to it",
		    files.count, files.next);
	snapshot->configuration =
	    json_incref(json_object_get(manifest, "configuration"));
	snapshot->disk_files =
	    json_incref(json_object_get(manifest, "disk_files"));
	*ret_snapshot = take_ptr(snapshot);
	return 0;
}
