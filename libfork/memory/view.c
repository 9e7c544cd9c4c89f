/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mapping an image copy-on-write. MAP_NORESERVE, because a view of 8 GiB that
 * writes 64 pages needs 64 pages; the kernel charges what is really written.
 */
#include "memory/view.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/domain.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "memory/layer.h"

/* The kernel's default, when it cannot be asked. */
#define MAPPINGS_MAX_DEFAULT 65530

/* Mappings of all views of this process; atomic. */
static size_t mappings_now;

unsigned long
memory_view_mappings_max(void)
{
	static unsigned long limit; /* atomic; 0: not read yet */
	unsigned long value = __atomic_load_n(&limit, __ATOMIC_RELAXED);
	char text[32] = "";
	int fd;

	if (value != 0)
		return value;
	value = MAPPINGS_MAX_DEFAULT;
	fd = sys.open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		if (sys.read(fd, text, sizeof(text) - 1) > 0 &&
		    strtoul(text, NULL, 10) > 0)
			value = strtoul(text, NULL, 10);
		close_fd(fd);
	}
	__atomic_store_n(&limit, value, __ATOMIC_RELAXED);
	return value;
}

/* --- the list of ranges --- */

static int
append(struct memory_view *view, const struct view_range *range,
    struct lf_error *error)
{
	struct view_range *ranges = sys.realloc(
	    view->ranges, (view->range_count + 1) * sizeof(*ranges));

	if (ranges == NULL)
		return error_nomem(error);
	ranges[view->range_count++] = *range;
	view->ranges = ranges;
	return 0;
}

static int
compare_ranges(const void *a, const void *b)
{
	const struct view_range *x = a, *y = b;

	return (x->gpa > y->gpa) - (x->gpa < y->gpa);
}

/* The part of `range` that covers gpa .. end-1, which lies within it. */
static struct view_range
part_of(const struct view_range *range, uint64_t gpa, uint64_t end)
{
	uint64_t into = gpa - range->gpa;
	struct view_range part = *range;

	part.gpa = gpa;
	part.length = end - gpa;
	part.memory += into;
	part.offset += into;
	if (part.first_page != VIEW_NO_PAGE)
		part.first_page += into >> PAGE_SHIFT;
	return part;
}

/*
 * Puts `region` over the ranges: what it covers is cut out of them; what lies
 * in a hole is added. One piece per range covered, because each hides another
 * part of the image.
 */
static int
place_region(struct memory_view *view, const struct view_range *region,
    struct lf_error *error)
{
	cleanup_free struct view_range *old = take_ptr(view->ranges);
	uint64_t end = region->gpa + region->length, at = region->gpa;
	size_t count = view->range_count, i;
	int rc = 0;

	view->range_count = 0;
	for (i = 0; i < count && rc == 0; i++) {
		const struct view_range *range = &old[i];
		uint64_t range_end = range->gpa + range->length;
		uint64_t from, to;
		struct view_range piece;

		if (range_end <= region->gpa || range->gpa >= end) {
			rc = append(view, range, error);
			continue;
		}
		if (range->first_page == VIEW_NO_PAGE)
			return error_set(error, EINVAL,
			    "two regions overlap at 0x%" PRIx64, range->gpa);
		from = range->gpa > region->gpa ? range->gpa : region->gpa;
		to = range_end < end ? range_end : end;
		if (range->gpa < from) {
			piece = part_of(range, range->gpa, from);
			rc = append(view, &piece, error);
		}
		if (rc == 0 && at < from) {
			piece = part_of(region, at, from);
			rc = append(view, &piece, error);
		}
		if (rc == 0) {
			piece = part_of(region, from, to);
			piece.file = range->file;
			piece.offset = range->offset + (from - range->gpa);
			rc = append(view, &piece, error);
		}
		if (rc == 0 && to < range_end) {
			piece = part_of(range, to, range_end);
			rc = append(view, &piece, error);
		}
		at = to;
	}
	if (rc == 0 && at < end) {
		struct view_range piece = part_of(region, at, end);

		rc = append(view, &piece, error);
	}
	if (rc == 0)
		qsort(view->ranges, view->range_count, sizeof(*view->ranges),
		    compare_ranges);
	return rc;
}

/* Behind the end of a file there is no memory: touching it is a SIGBUS. */
static int
check_region_file(const struct lf_region *region, struct lf_error *error)
{
	struct stat st;

	if (sys.fstat(region->fd, &st) < 0)
		return error_sys(error, errno,
		    "region 0x%" PRIx64 ": its descriptor %d", region->gpa,
		    region->fd);
	if (S_ISREG(st.st_mode) &&
	    (region->offset > (uint64_t)st.st_size ||
		region->length > (uint64_t)st.st_size - region->offset))
		return error_set(error, EINVAL,
		    "region 0x%" PRIx64 "+0x%" PRIx64
		    " reaches beyond the end of its file (%jd bytes)",
		    region->gpa, region->length, (intmax_t)st.st_size);
	return 0;
}

static int
add_region(struct memory_view *view, const struct lf_region *region,
    struct lf_error *error)
{
	struct view_range range = {
	    .gpa = region->gpa,
	    .length = region->length,
	    .memory = region->address,
	    .first_page = VIEW_NO_PAGE,
	    .file = VIEW_NO_FILE,
	};
	uint64_t place =
	    region->fd >= 0 ? region->offset : (uintptr_t)region->address;

	if (region->length == 0 ||
	    (region->gpa | region->length | place) % PAGE_BYTES != 0 ||
	    region->gpa >= MEMORY_GPA_END ||
	    region->length > MEMORY_GPA_END - region->gpa ||
	    (region->fd < 0 && region->address == NULL))
		return error_set(error, EINVAL,
		    "region 0x%" PRIx64 "+0x%" PRIx64
		    " is empty, out of bounds or not made of whole pages",
		    region->gpa, region->length);
	if (region->fd >= 0) {
		int rc = check_region_file(region, error);

		if (rc < 0)
			return rc;
		range.memory =
		    sys.mmap(NULL, region->length, PROT_READ | PROT_WRITE,
			MAP_SHARED, region->fd, (off_t)region->offset);
		if (range.memory == MAP_FAILED)
			return error_sys(error, errno,
			    "region 0x%" PRIx64
			    ": cannot map its descriptor %d",
			    region->gpa, region->fd);
		view->mapped[view->mapped_count].memory = range.memory;
		view->mapped[view->mapped_count++].length = region->length;
	}
	return place_region(view, &range, error);
}

/* --- mapping --- */

static int
map_failed(const struct memory_view *view, int code, struct lf_error *error)
{
	size_t now = __atomic_load_n(&mappings_now, __ATOMIC_RELAXED);
	unsigned long limit = memory_view_mappings_max();

	if (code == ENOMEM && now + view->mappings + 1024 > limit)
		return error_set(error, ENOMEM,
		    "this fork needs %zu memory mappings and %zu are in use; "
		    "the kernel allows %lu (sysctl vm.max_map_count)",
		    view->mappings, now, limit);
	return error_sys(error, code, "cannot map the memory of a fork");
}

/*
 * Refuses what would pass the limit before it is half done. The process has
 * mappings of its own, and each vCPU two: half a thousand are left for them.
 */
static int
claim_mappings(struct memory_view *view, struct lf_error *error)
{
	unsigned long limit = memory_view_mappings_max();
	size_t now =
	    __atomic_add_fetch(&mappings_now, view->mappings, __ATOMIC_RELAXED);

	if (now + 512 <= limit)
		return 0;
	__atomic_sub_fetch(&mappings_now, view->mappings, __ATOMIC_RELAXED);
	now -= view->mappings;
	error_set(error, ENOMEM,
	    "this fork needs %zu memory mappings and %zu are in use; the "
	    "kernel allows %lu (sysctl vm.max_map_count)",
	    view->mappings, now, limit);
	view->mappings = 0;
	return -ENOMEM;
}

/* The run's part inside of the window of the file that is mapped. */
static bool
clip_run(const struct ram_run *run, const struct view_file *file,
    struct ram_run *ret)
{
	uint64_t end = file->offset + file->length;

	*ret = *run;
	if (run->offset >= end || run->offset + run->length <= file->offset)
		return false;
	if (ret->offset < file->offset) {
		uint64_t skip = file->offset - ret->offset;

		ret->offset += skip;
		ret->at += skip;
		ret->length -= skip;
	}
	if (ret->offset + ret->length > end)
		ret->length = end - ret->offset;
	return true;
}

static int
map_file(struct memory_view *view, uint32_t number, struct lf_error *error)
{
	const struct ram_image *image = view->image;
	struct view_file *file = &view->files[number];
	size_t next;
	uint8_t *memory;
	int rc;

	rc = ram_file_map(image->files[number], error);
	if (rc < 0)
		return rc;
	memory = sys.mmap(NULL, file->length, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_NORESERVE, ram_file_fd(image->files[number]),
	    (off_t)file->offset);
	if (memory == MAP_FAILED)
		return map_failed(view, errno, error);
	file->memory = memory;

	for (next = ram_image_find_run(image, number, file->offset);
	     next < image->run_count && image->runs[next].file == number;
	     next++) {
		struct ram_run run;

		if (!clip_run(&image->runs[next], file, &run))
			break;
		if (sys.mmap(memory + (run.offset - file->offset), run.length,
			PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED,
			ram_file_fd(image->delta), (off_t)run.at) == MAP_FAILED)
			return map_failed(view, errno, error);
	}
	return 0;
}

/* Finds out which part of each file is shown at all, and numbers the pages. */
static void
lay_out(
    struct memory_view *view, const struct memory_map *map, size_t region_count)
{
	size_t i;

	for (i = 0; i < map->count; i++) {
		const struct memory_range *range = &map->ranges[i];
		struct view_file *file = &view->files[range->file];
		uint64_t end = range->offset + range->length;

		if (file->length == 0) {
			file->offset = range->offset;
			file->length = range->length;
			continue;
		}
		if (end < file->offset + file->length)
			end = file->offset + file->length;
		if (range->offset < file->offset)
			file->offset = range->offset;
		file->length = end - file->offset;
	}
	for (i = 0; i < view->image->file_count; i++) {
		view->files[i].first_page = view->page_count;
		view->page_count += view->files[i].length >> PAGE_SHIFT;
		if (view->files[i].length > 0)
			view->mappings++;
	}
	/* A run splits the mapping that it lies in. */
	view->mappings += 2 * view->image->run_count + region_count;
}

static int
add_ranges(struct memory_view *view, const struct memory_map *map,
    struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < map->count && rc == 0; i++) {
		const struct memory_range *from = &map->ranges[i];
		const struct view_file *file = &view->files[from->file];
		uint64_t into = from->offset - file->offset;
		struct view_range range = {
		    .gpa = from->gpa,
		    .length = from->length,
		    .memory = file->memory + into,
		    .first_page = file->first_page + (into >> PAGE_SHIFT),
		    .flags = from->flags,
		    .file = from->file,
		    .offset = from->offset,
		};

		rc = append(view, &range, error);
	}
	return rc;
}

static int
view_fill(struct memory_view *view, const struct memory_map *map,
    const struct lf_region *regions, size_t region_count,
    struct lf_error *error)
{
	size_t i;
	int rc;

	lay_out(view, map, region_count);
	rc = claim_mappings(view, error);
	if (rc == 0 && view->image->delta != NULL)
		rc = ram_file_map(view->image->delta, error);
	for (i = 0; i < view->image->file_count && rc == 0; i++)
		if (view->files[i].length > 0)
			rc = map_file(view, (uint32_t)i, error);
	if (rc == 0)
		rc = add_ranges(view, map, error);
	if (rc == 0 && region_count > 0) {
		view->mapped = sys.calloc(region_count, sizeof(*view->mapped));
		if (view->mapped == NULL)
			return error_nomem(error);
	}
	for (i = 0; i < region_count && rc == 0; i++)
		rc = add_region(view, &regions[i], error);
	return rc;
}

int
memory_view_new(const struct memory_map *map, struct ram_image *image,
    const struct lf_region *regions, size_t region_count,
    struct memory_view **ret, struct lf_error *error)
{
	struct memory_view *view = sys.calloc(
	    1, sizeof(*view) + image->file_count * sizeof(view->files[0]));
	int rc;

	if (view == NULL)
		return error_nomem(error);
	view->image = ram_image_ref(image);
	rc = view_fill(view, map, regions, region_count, error);
	if (rc < 0) {
		memory_view_free(view);
		return rc;
	}
	*ret = view;
	return 0;
}

void
memory_view_free(struct memory_view *view)
{
	size_t i;

	if (view == NULL)
		return;
	for (i = 0; i < view->image->file_count; i++)
		if (view->files[i].memory != NULL)
			munmap(view->files[i].memory, view->files[i].length);
	for (i = 0; i < view->mapped_count; i++)
		munmap(view->mapped[i].memory, view->mapped[i].length);
	__atomic_sub_fetch(&mappings_now, view->mappings, __ATOMIC_RELAXED);
	layer_unref(view->layer);
	ram_image_unref(view->image);
	free(view->mapped);
	free(view->ranges);
	free(view);
}

static int
map_layer_page(struct memory_view *view, const struct layer_place *place,
    struct lf_error *error)
{
	const struct view_file *file = &view->files[place->file];

	if (file->memory == NULL || place->offset < file->offset ||
	    place->offset - file->offset >= file->length)
		return 0;
	if (sys.mmap(file->memory + (place->offset - file->offset), PAGE_BYTES,
		PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED,
		place->fd, (off_t)place->at) == MAP_FAILED)
		return map_failed(view, errno, error);
	view->mappings += 2;
	__atomic_add_fetch(&mappings_now, 2, __ATOMIC_RELAXED);
	return 0;
}

int
memory_view_map_layer(
    struct memory_view *view, struct layer *layer, struct lf_error *error)
{
	size_t count = layer_page_count(layer);

	if (view->layer != NULL && view->layer != layer)
		return error_set(error, EBUSY,
		    "the fork has other probes: all of a fork belong to one "
		    "set");
	if (!layer_is_over(layer, view->image))
		return error_set(
		    error, EINVAL, "these probes belong to another snapshot");
	if (view->layer == NULL)
		view->layer = layer_ref(layer);
	for (; view->layer_mapped < count; view->layer_mapped++) {
		struct layer_place place;
		int rc;

		layer_place(layer, view->layer_mapped, &place);
		rc = map_layer_page(view, &place, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}
