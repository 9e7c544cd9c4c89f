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

DEFINE_CLEANUP(struct ram_image *, ram_image_unref);
DEFINE_CLEANUP(struct ram_file *, ram_file_unref);

/* Which chunks of one file belong into the delta, as a bitmap of bytes. */
struct chunks {
	uint64_t bytes;                 /* of a chunk */
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

		chunks->wanted[file] = sys.calloc(size / chunks->bytes + 1, 1);
		if (chunks->wanted[file] == NULL)
			return error_nomem(error);
	}
	for (at = offset / chunks->bytes;
	     at <= (offset + length - 1) / chunks->bytes; at++)
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

/* Counts the runs of a file, or fills them in when `runs` is given. */
static size_t
list_file(const struct chunks *chunks, uint32_t file, uint64_t size,
    struct ram_run *runs, uint64_t *at)
{
	const uint8_t *wanted = chunks->wanted[file];
	uint64_t total = (size + chunks->bytes - 1) / chunks->bytes, i = 0;
	size_t count = 0;

	while (i < total) {
		const uint8_t *first = memchr(wanted + i, 1, total - i);
		const uint8_t *behind;
		uint64_t offset, end = size;

		if (first == NULL)
			break;
		offset = (uint64_t)(first - wanted) * chunks->bytes;
		i = (uint64_t)(first - wanted);
		behind = memchr(first, 0, total - i);
		if (behind != NULL)
			end = (uint64_t)(behind - wanted) * chunks->bytes;
		if (runs != NULL)
			runs[count] = (struct ram_run){
			    .file = file,
			    .offset = offset,
			    .length = end - offset,
			    .at = *at,
			};
		count++;
		*at += end - offset;
		i = behind != NULL ? (uint64_t)(behind - wanted) : total;
	}
	return count;
}

static size_t
list_runs(const struct chunks *chunks, const struct ram_image *image,
    struct ram_run *runs, uint64_t *ret_bytes)
{
	size_t count = 0;
	uint32_t file;

	*ret_bytes = 0;
	for (file = 0; file < image->file_count; file++)
		if (chunks->wanted[file] != NULL)
			count += list_file(chunks, file,
			    ram_file_size(image->files[file]),
			    runs != NULL ? runs + count : NULL, ret_bytes);
	return count;
}

/*
 * Writes what the view shows of a file at offset .. offset+length-1 to `at`:
 * straight from its mapping where it may be seen as it is.
 */
static int
write_run(const struct memory_view *view, const struct ram_file *to,
    const struct ram_run *run, uint64_t at, struct lf_error *error)
{
	uint64_t offset = run->offset, end = run->offset + run->length;
	cleanup_free uint8_t *buf = NULL;
	const uint8_t *bytes;

	bytes = memory_view_file_bytes(view, run->file, offset, run->length);
	if (bytes != NULL)
		return ram_file_write(to, at, bytes, run->length, error);
	buf = sys.malloc(RAM_RUN_BYTES);
	if (buf == NULL)
		return error_nomem(error);
	while (offset < end) {
		size_t len = end - offset < RAM_RUN_BYTES
				 ? (size_t)(end - offset)
				 : RAM_RUN_BYTES;
		int rc = memory_view_read_file(
		    view, run->file, offset, buf, len, error);

		if (rc == 0)
			rc = ram_file_write(to, at, buf, len, error);
		if (rc < 0)
			return rc;
		at += len;
		offset += len;
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
	return rc == 0 ? ram_file_seal(delta, error) : rc;
}

static int
want_all(struct chunks *chunks, const struct memory_view *view,
    const struct dirty_set *set, struct lf_error *error)
{
	int rc = want_old(chunks, view->image, error);

	if (rc == 0)
		rc = want_dirty(chunks, view, set, error);
	return rc == 0 ? want_regions(chunks, view, error) : rc;
}

int
delta_find(const struct memory_view *view, const struct dirty_set *set,
    struct ram_run **ret_runs, size_t *ret_count, struct lf_error *error)
{
	cleanup(chunks_done) struct chunks chunks = {.bytes = PAGE_BYTES};
	int rc = want_all(&chunks, view, set, error);
	struct ram_run *runs;
	uint64_t ignored;
	size_t count;

	if (rc < 0)
		return rc;
	count = list_runs(&chunks, view->image, NULL, &ignored);
	runs = sys.calloc(count + 1, sizeof(*runs));
	if (runs == NULL)
		return error_nomem(error);
	*ret_count = list_runs(&chunks, view->image, runs, &ignored);
	*ret_runs = runs;
	return 0;
}

int
delta_freeze(const struct memory_view *view, const struct dirty_set *set,
    struct ram_image **ret, struct lf_error *error)
{
	cleanup(ram_image_unref_p) struct ram_image *image = NULL;
	cleanup(chunks_done) struct chunks chunks = {.bytes = RAM_RUN_BYTES};
	int rc;

	rc = want_all(&chunks, view, set, error);
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
