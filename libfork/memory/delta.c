/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deltas are made of whole, aligned runs of RAM_RUN_BYTES (the last one of a
 * file may be shorter): few large mappings instead of many small ones, and a
 * run that was once in a delta stays in it at any depth.
 */
#include "memory/delta.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "memory/layer.h"

DEFINE_CLEANUP(struct ram_image *, ram_image_unref);
DEFINE_CLEANUP(struct ram_file *, ram_file_unref);

/* Which chunks of one file belong into the delta, as a bitmap of bytes. */
struct chunks {
	uint8_t *wanted[RAM_FILES_MAX]; /* owned; NULL: none */
};

static void
chunks_done(struct chunks *chunks)
{
	size_t i;

	for (i = 0; i < RAM_FILES_MAX; i++)
		free(chunks->wanted[i]);
}

static int
want(struct chunks *chunks, const struct ram_image *image, uint32_t file,
    uint64_t offset, uint64_t length, struct lf_error *error)
{
	uint64_t at;

	if (chunks->wanted[file] == NULL) {
		uint64_t size = ram_file_size(image->files[file]);

		chunks->wanted[file] = sys.calloc(size / RAM_RUN_BYTES + 1, 1);
		if (chunks->wanted[file] == NULL)
			return error_nomem(error);
	}
	for (at = offset / RAM_RUN_BYTES;
	     at <= (offset + length - 1) / RAM_RUN_BYTES; at++)
		chunks->wanted[file][at] = 1;
	return 0;
}

/* The runs of the image's own delta. */
static int
want_old(struct chunks *chunks, const struct ram_image *image,
    struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < image->run_count && rc == 0; i++)
		rc = want(chunks, image, image->runs[i].file,
		    image->runs[i].offset, image->runs[i].length, error);
	return rc;
}

/* The pages of the dirty set that really differ. */
static int
want_dirty(struct chunks *chunks, const struct memory_view *view,
    const struct dirty_set *set, struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < set->count && rc == 0; i++) {
		const struct dirty_page *page = &set->pages[i];
		const struct view_file *file = view->files;
		uint32_t number = 0;

		if (memcmp(page->memory, page->source, PAGE_BYTES) == 0)
			continue;
		while (page->page - file[number].first_page >=
		       file[number].length >> PAGE_SHIFT)
			number++;
		file += number;
		rc = want(chunks, view->image, number,
		    file->offset +
			((page->page - file->first_page) << PAGE_SHIFT),
		    PAGE_BYTES, error);
	}
	return rc;
}

/* What regions hide: the guest sees the region's bytes instead. */
static int
want_regions(struct chunks *chunks, const struct memory_view *view,
    struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < view->range_count && rc == 0; i++) {
		const struct view_range *range = &view->ranges[i];

		if (range->first_page == VIEW_NO_PAGE &&
		    range->file != VIEW_NO_FILE)
			rc = want(chunks, view->image, range->file,
			    range->offset, range->length, error);
	}
	return rc;
}

/* Counts the runs, or fills them in when `runs` is given. */
static size_t
list_runs(const struct chunks *chunks, const struct ram_image *image,
    struct ram_run *runs, uint64_t *ret_bytes)
{
	uint64_t at = 0;
	size_t count = 0;
	uint32_t file;

	for (file = 0; file < image->file_count; file++) {
		uint64_t size = ram_file_size(image->files[file]), offset;
		bool open = false;

		if (chunks->wanted[file] == NULL)
			continue;
		for (offset = 0; offset < size; offset += RAM_RUN_BYTES) {
			uint64_t length = size - offset < RAM_RUN_BYTES
					      ? size - offset
					      : RAM_RUN_BYTES;

			if (!chunks->wanted[file][offset / RAM_RUN_BYTES]) {
				open = false;
				continue;
			}
			if (open && runs != NULL)
				runs[count - 1].length += length;
			if (!open) {
				if (runs != NULL)
					runs[count] = (struct ram_run){
					    .file = file,
					    .offset = offset,
					    .length = length,
					    .at = at,
					};
				count++;
			}
			open = true;
			at += length;
		}
	}
	*ret_bytes = at;
	return count;
}

/* Probes are never part of a snapshot. */
static void
copy_without_probes(const struct memory_view *view, uint32_t number,
    uint64_t offset, uint8_t *buf, size_t len)
{
	const struct view_file *file = &view->files[number];

	memcpy(buf, file->memory + (offset - file->offset), len);
	layer_hide(view->layer, number, offset, buf, len);
}

/*
 * Writes what the view shows of a file at offset .. offset+length-1 to `at`:
 * the part that the view maps, and the image's own bytes around it.
 */
static int
write_run(const struct memory_view *view, const struct ram_file *to,
    const struct ram_run *run, uint64_t at, struct lf_error *error)
{
	const struct view_file *file = &view->files[run->file];
	uint64_t offset = run->offset, end = run->offset + run->length;
	cleanup_free uint8_t *buf = NULL;

	while (offset < end) {
		uint64_t stop = end;
		bool shown = offset >= file->offset &&
			     offset < file->offset + file->length;
		int rc = 0;

		if (offset < file->offset && stop > file->offset)
			stop = file->offset;
		if (shown && stop > file->offset + file->length)
			stop = file->offset + file->length;
		if (shown && view->layer == NULL) {
			rc = ram_file_write(to, at,
			    file->memory + (offset - file->offset),
			    stop - offset, error);
		} else {
			if (stop - offset > RAM_RUN_BYTES)
				stop = offset + RAM_RUN_BYTES;
			if (buf == NULL)
				buf = sys.malloc(RAM_RUN_BYTES);
			if (buf == NULL)
				return error_nomem(error);
			if (shown)
				copy_without_probes(view, run->file, offset,
				    buf, stop - offset);
			else
				rc = ram_image_read(view->image, run->file,
				    offset, buf, stop - offset, error);
			if (rc == 0)
				rc = ram_file_write(
				    to, at, buf, stop - offset, error);
		}
		if (rc < 0)
			return rc;
		at += stop - offset;
		offset = stop;
	}
	return 0;
}

/* The bytes of regions go where the image would show them. */
static int
write_regions(const struct memory_view *view, const struct ram_image *image,
    struct lf_error *error)
{
	size_t i;

	for (i = 0; i < view->range_count; i++) {
		const struct view_range *range = &view->ranges[i];
		const struct ram_run *run;
		size_t at;
		int rc;

		if (range->first_page != VIEW_NO_PAGE ||
		    range->file == VIEW_NO_FILE)
			continue;
		/* One run holds all of it: chunks side by side are joined. */
		at = ram_image_find_run(image, range->file, range->offset);
		run = &image->runs[at];
		rc = ram_file_write(image->delta,
		    run->at + (range->offset - run->offset), range->memory,
		    range->length, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The same files and blocks, no delta. */
static int
image_like(const struct ram_image *from, struct ram_image **ret,
    struct lf_error *error)
{
	cleanup(ram_image_unref_p) struct ram_image *image = NULL;
	uint32_t i;
	int rc;

	rc = ram_image_new(&image, error);
	for (i = 0; i < from->file_count && rc >= 0; i++)
		rc = ram_image_add_file(image, from->files[i], error);
	for (i = 0; i < from->block_count && rc >= 0; i++)
		rc = ram_image_add_block(image, &from->blocks[i], error);
	if (rc < 0)
		return rc;
	*ret = take_ptr(image);
	return 0;
}

static int
make_delta(const struct memory_view *view, const struct chunks *chunks,
    struct ram_image *image, struct lf_error *error)
{
	cleanup(ram_file_unref_p) struct ram_file *delta = NULL;
	cleanup_free struct ram_run *runs = NULL;
	uint64_t bytes;
	size_t count = list_runs(chunks, image, NULL, &bytes), i;
	int rc;

	if (count == 0)
		return 0;
	runs = sys.malloc(count * sizeof(*runs));
	if (runs == NULL)
		return error_nomem(error);
	list_runs(chunks, image, runs, &bytes);
	rc = ram_file_new("delta", bytes, &delta, error);
	for (i = 0; i < count && rc == 0; i++)
		rc = write_run(view, delta, &runs[i], runs[i].at, error);
	if (rc == 0)
		rc = ram_image_set_delta(image, delta, runs, count, error);
	if (rc == 0)
		rc = write_regions(view, image, error);
	return rc == 0 ? ram_file_seal(delta, error) : rc;
}

int
delta_freeze(const struct memory_view *view, const struct dirty_set *set,
    struct ram_image **ret, struct lf_error *error)
{
	cleanup(ram_image_unref_p) struct ram_image *image = NULL;
	cleanup(chunks_done) struct chunks chunks = {0};
	int rc;

	rc = want_old(&chunks, view->image, error);
	if (rc == 0)
		rc = want_dirty(&chunks, view, set, error);
	if (rc == 0)
		rc = want_regions(&chunks, view, error);
	if (rc == 0)
		rc = image_like(view->image, &image, error);
	if (rc == 0)
		rc = make_delta(view, &chunks, image, error);
	if (rc < 0)
		return rc;
	if (image->run_count > RAM_RUNS_MAX)
		return delta_flatten(image, ret, error);
	*ret = take_ptr(image);
	return 0;
}

/* A new file with what the image shows of its file `number`. */
static int
flatten_file(const struct ram_image *image, uint32_t number,
    struct ram_file **ret, struct lf_error *error)
{
	struct ram_file *old = image->files[number];
	cleanup(ram_file_unref_p) struct ram_file *file = NULL;
	size_t i;
	int rc;

	rc = ram_file_new("base", ram_file_size(old), &file, error);
	if (rc == 0)
		rc = ram_file_copy_data(
		    file, ram_file_fd(old), ram_file_size(old), "base", error);
	if (rc == 0)
		rc = ram_file_map(image->delta, error);
	for (i = ram_image_find_run(image, number, 0);
	     rc == 0 && i < image->run_count && image->runs[i].file == number;
	     i++)
		rc = ram_file_write(file, image->runs[i].offset,
		    ram_file_bytes(image->delta) + image->runs[i].at,
		    image->runs[i].length, error);
	if (rc == 0)
		rc = ram_file_seal(file, error);
	if (rc == 0)
		*ret = take_ptr(file);
	return rc;
}

int
delta_flatten(const struct ram_image *from, struct ram_image **ret,
    struct lf_error *error)
{
	cleanup(ram_image_unref_p) struct ram_image *image = NULL;
	uint32_t i;
	int rc;

	rc = image_like(from, &image, error);
	for (i = 0; rc == 0 && i < from->file_count; i++) {
		size_t run = ram_image_find_run(from, i, 0);
		struct ram_file *file;

		/* A file without runs goes on being shared. */
		if (run >= from->run_count || from->runs[run].file != i)
			continue;
		rc = flatten_file(from, i, &file, error);
		if (rc == 0) {
			ram_file_unref(image->files[i]);
			image->files[i] = file;
		}
	}
	if (rc < 0)
		return rc;
	*ret = take_ptr(image);
	return 0;
}
