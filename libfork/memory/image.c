/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RAM images: files, blocks in them, and a sorted list of delta runs.
 */
#include "memory/image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "memory/map.h"

int
ram_image_new(struct ram_image **ret, struct lf_error *error)
{
	struct ram_image *image = sys.calloc(1, sizeof(*image));

	if (image == NULL)
		return error_nomem(error);
	image->refs = 1;
	*ret = image;
	return 0;
}

struct ram_image *
ram_image_ref(struct ram_image *image)
{
	__atomic_add_fetch(&image->refs, 1, __ATOMIC_RELAXED);
	return image;
}

void
ram_image_unref(struct ram_image *image)
{
	uint32_t i;

	if (image == NULL ||
	    __atomic_sub_fetch(&image->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (i = 0; i < image->file_count; i++)
		ram_file_unref(image->files[i]);
	ram_file_unref(image->delta);
	free(image->blocks);
	free(image->runs);
	free(image);
}

int
ram_image_add_file(
    struct ram_image *image, struct ram_file *file, struct lf_error *error)
{
	if (image->file_count >= RAM_FILES_MAX)
		return error_set(error, EINVAL,
		    "a RAM image of more than %d files", RAM_FILES_MAX);
	image->files[image->file_count] = ram_file_ref(file);
	return (int)image->file_count++;
}

static bool
inside_file(const struct ram_image *image, uint32_t file, uint64_t offset,
    uint64_t length)
{
	uint64_t size;

	if (file >= image->file_count)
		return false;
	size = ram_file_size(image->files[file]);
	return offset <= size && length <= size - offset;
}

int
ram_image_add_block(struct ram_image *image, const struct ram_block *block,
    struct lf_error *error)
{
	struct ram_block *blocks;

	if (!inside_file(image, block->file, block->offset, block->length))
		return error_set(error, EINVAL,
		    "RAM block '%s' (0x%" PRIx64 "+0x%" PRIx64
		    ") lies outside of file %" PRIu32,
		    block->idstr, block->offset, block->length, block->file);
	if (ram_image_find_block(image, block->idstr) != NULL)
		return error_set(
		    error, EINVAL, "two RAM blocks '%s'", block->idstr);
	if (image->block_count >= RAM_BLOCKS_MAX)
		return error_set(error, EINVAL,
		    "a RAM image of more than %d blocks", RAM_BLOCKS_MAX);
	blocks = sys.realloc(
	    image->blocks, (image->block_count + 1) * sizeof(*blocks));
	if (blocks == NULL)
		return error_nomem(error);
	blocks[image->block_count++] = *block;
	image->blocks = blocks;
	return 0;
}

const struct ram_block *
ram_image_find_block(const struct ram_image *image, const char *idstr)
{
	uint32_t i;

	for (i = 0; i < image->block_count; i++)
		if (strcmp(image->blocks[i].idstr, idstr) == 0)
			return &image->blocks[i];
	return NULL;
}

static int
compare_runs(const void *a, const void *b)
{
	const struct ram_run *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int
check_run(const struct ram_image *image, const struct ram_file *delta,
    const struct ram_run *run, const struct ram_run *before,
    struct lf_error *error)
{
	bool bad = run->length == 0 ||
		   ((run->offset | run->length | run->at) % PAGE_BYTES) != 0 ||
		   !inside_file(image, run->file, run->offset, run->length) ||
		   run->at > ram_file_size(delta) ||
		   run->length > ram_file_size(delta) - run->at;

	if (!bad && before != NULL && before->file == run->file)
		bad = run->offset - before->offset < before->length;
	if (bad)
		return error_set(error, EINVAL,
		    "delta run 0x%" PRIx64 "+0x%" PRIx64 " of file %" PRIu32
		    " is empty, out of bounds or overlaps another",
		    run->offset, run->length, run->file);
	return 0;
}

int
ram_image_set_delta(struct ram_image *image, struct ram_file *delta,
    const struct ram_run *runs, size_t count, struct lf_error *error)
{
	cleanup_free struct ram_run *copy = NULL;
	size_t i;

	if (image->delta != NULL)
		return error_set(error, EINVAL, "a RAM image has one delta");
	if (count == 0)
		return 0;
	copy = sys.malloc(count * sizeof(*copy));
	if (copy == NULL)
		return error_nomem(error);
	memcpy(copy, runs, count * sizeof(*copy));
	qsort(copy, count, sizeof(*copy), compare_runs);
	for (i = 0; i < count; i++) {
		int rc = check_run(
		    image, delta, &copy[i], i > 0 ? &copy[i - 1] : NULL, error);

		if (rc < 0)
			return rc;
	}
	image->delta = ram_file_ref(delta);
	image->runs = take_ptr(copy);
	image->run_count = count;
	return 0;
}

size_t
ram_image_find_run(
    const struct ram_image *image, uint32_t file, uint64_t offset)
{
	size_t low = 0, high = image->run_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ram_run *run = &image->runs[middle];

		if (run->file < file ||
		    (run->file == file && run->offset + run->length <= offset))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int
read_all(int fd, uint64_t offset, char *buf, size_t len, struct lf_error *error)
{
	while (len > 0) {
		ssize_t n = sys.pread(fd, buf, len, (off_t)offset);

		if (n <= 0)
			return error_sys(error, n < 0 ? errno : EIO,
			    "memory: cannot read at 0x%" PRIx64, offset);
		buf += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int
ram_image_read(const struct ram_image *image, uint32_t file, uint64_t offset,
    void *buf, size_t len, struct lf_error *error)
{
	size_t next;
	char *p = buf;

	if (!inside_file(image, file, offset, len))
		return error_set(error, EINVAL,
		    "0x%zx bytes at 0x%" PRIx64 " are not all in file %" PRIu32
		    " of the RAM image",
		    len, offset, file);
	next = ram_image_find_run(image, file, offset);
	while (len > 0) {
		const struct ram_run *run =
		    next < image->run_count && image->runs[next].file == file
			? &image->runs[next]
			: NULL;
		uint64_t at = offset;
		int fd = ram_file_fd(image->files[file]);
		size_t here = len;
		int rc;

		if (run != NULL && offset >= run->offset) {
			uint64_t into = offset - run->offset;

			fd = ram_file_fd(image->delta);
			at = run->at + into;
			if (here > run->length - into)
				here = (size_t)(run->length - into);
			next++;
		} else if (run != NULL && here > run->offset - offset) {
			here = (size_t)(run->offset - offset);
		}
		rc = read_all(fd, at, p, here, error);
		if (rc < 0)
			return rc;
		p += here;
		len -= here;
		offset += here;
	}
	return 0;
}
