/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The collector. A delta is built in a sparse file as long as guest memory,
 * each run at its own offset: no second pass, and runs that are neighbours in
 * guest memory are neighbours in the file.
 *
 * QEMU reads all of its private guest memory for the stream, and reading a
 * hole of a shared file through a private mapping fills it with a page of
 * zeros: after the first freeze of a fork, the base file is no longer sparse.
 * The kernel offers no way around it, and all forks share those pages.
 */
#include "domain/qemu_collect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/qemu.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "memory/map.h"
#include "qemu/guest_map.h"

struct qemu_collect {
	struct ram_file *ram;
	bool private_ram;
	const struct ramblocks *list;
	struct ram_image *image;
	struct ram_file *blocks; /* file 1; NULL: no such blocks */
	uint8_t *block_bytes;    /* mapped */
	uint64_t block_length;
	size_t ram_block; /* its number in the stream */

	/* Private guest memory. */
	struct ram_file *delta;
	uint8_t *delta_bytes; /* mapped, sparse */
	uint8_t *in_delta;    /* one byte for each run */
	uint8_t *seen;        /* one bit for each page */
	uint64_t pages_seen;
};

static const uint8_t zero_page[STREAM_PAGE_BYTES];

int
qemu_collect_new(struct ram_file *ram, bool private_ram,
    const struct ramblocks *list, struct qemu_collect **ret_collect,
    struct lf_error *error)
{
	struct qemu_collect *collect = sys.calloc(1, sizeof(*collect));

	if (collect == NULL)
		return error_nomem(error);
	collect->ram = ram;
	collect->private_ram = private_ram;
	collect->list = list;
	*ret_collect = collect;
	return 0;
}

void
qemu_collect_free(struct qemu_collect *collect)
{
	if (collect == NULL)
		return;
	if (collect->block_bytes != NULL)
		munmap(collect->block_bytes, collect->block_length);
	if (collect->delta_bytes != NULL)
		munmap(collect->delta_bytes, ram_file_size(collect->ram));
	ram_file_unref(collect->blocks);
	ram_file_unref(collect->delta);
	ram_image_unref(collect->image);
	free(collect->in_delta);
	free(collect->seen);
	free(collect);
}

/* A new file and its bytes, writable. */
static int
make_file(const char *name, uint64_t size, struct ram_file **ret_file,
    uint8_t **ret_bytes, struct lf_error *error)
{
	void *bytes;
	int rc = ram_file_new(name, size, ret_file, error);

	if (rc < 0)
		return rc;
	bytes = sys.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    ram_file_fd(*ret_file), 0);
	if (bytes == MAP_FAILED)
		return error_sys(
		    error, errno, "memory '%s': cannot map it", name);
	*ret_bytes = bytes;
	return 0;
}

static int
prepare_private(struct qemu_collect *collect, struct lf_error *error)
{
	uint64_t size = ram_file_size(collect->ram);
	int rc;

	/* Mapped once for all who compare with it. */
	rc = ram_file_map(collect->ram, error);
	if (rc == 0)
		rc = make_file("guest memory delta", size, &collect->delta,
		    &collect->delta_bytes, error);
	if (rc < 0)
		return rc;
	collect->in_delta = sys.calloc(size / RAM_RUN_BYTES + 1, 1);
	collect->seen = sys.calloc(size / STREAM_PAGE_BYTES / 8 + 1, 1);
	if (collect->in_delta == NULL || collect->seen == NULL)
		return error_nomem(error);
	return 0;
}

/* Files and blocks of the image, in the stream's order of blocks. */
static int
lay_out(struct qemu_collect *collect, const struct stream_block *blocks,
    size_t count, struct lf_error *error)
{
	struct ram_image *image = collect->image;
	uint64_t at = 0;
	size_t i;
	int rc = ram_image_add_file(image, collect->ram, error);

	if (rc >= 0 && collect->blocks != NULL)
		rc = ram_image_add_file(image, collect->blocks, error);
	for (i = 0; rc >= 0 && i < count; i++) {
		bool is_ram = i == collect->ram_block;
		struct ram_block block = {
		    .file = is_ram ? 0 : 1,
		    .page_size = STREAM_PAGE_BYTES,
		    .offset = is_ram ? 0 : at,
		    .length = blocks[i].length,
		};

		memcpy(block.idstr, blocks[i].idstr, sizeof(block.idstr));
		rc = ram_image_add_block(image, &block, error);
		if (!is_ram)
			at += block.length;
	}
	return rc < 0 ? rc : 0;
}

static int
collect_blocks(void *opaque, const struct stream_block *blocks, size_t count,
    struct lf_error *error)
{
	struct qemu_collect *collect = opaque;
	size_t i;
	int rc;

	rc = guest_map_check_blocks(collect->list, blocks, count,
	    LF_QEMU_RAM_ID, ram_file_size(collect->ram), error);
	if (rc < 0)
		return rc;
	for (i = 0; i < count; i++) {
		if (strcmp(blocks[i].idstr, LF_QEMU_RAM_ID) == 0)
			collect->ram_block = i;
		else
			collect->block_length += blocks[i].length;
	}
	rc = ram_image_new(&collect->image, error);
	if (rc == 0 && collect->block_length > 0)
		rc = make_file("guest device memory", collect->block_length,
		    &collect->blocks, &collect->block_bytes, error);
	if (rc == 0 && collect->private_ram)
		rc = prepare_private(collect, error);
	return rc < 0 ? rc : lay_out(collect, blocks, count, error);
}

/* A page of private guest memory: nothing, or one more page of the delta. */
static void
collect_ram(struct qemu_collect *collect, uint64_t offset, const uint8_t *page)
{
	const uint8_t *base = ram_file_bytes(collect->ram);
	uint64_t size = ram_file_size(collect->ram), run = offset;
	uint64_t number = offset / STREAM_PAGE_BYTES;

	if (!(collect->seen[number / 8] & (1U << number % 8))) {
		collect->seen[number / 8] |= (uint8_t)(1U << number % 8);
		collect->pages_seen++;
	}
	if (!collect->in_delta[offset / RAM_RUN_BYTES]) {
		uint64_t length = RAM_RUN_BYTES;

		if (memcmp(base + offset, page, STREAM_PAGE_BYTES) == 0)
			return;
		run -= run % RAM_RUN_BYTES;
		if (length > size - run)
			length = size - run;
		memcpy(collect->delta_bytes + run, base + run, length);
		collect->in_delta[offset / RAM_RUN_BYTES] = 1;
	}
	memcpy(collect->delta_bytes + offset, page, STREAM_PAGE_BYTES);
}

static int
collect_page(void *opaque, size_t number, uint64_t offset, const uint8_t *page,
    struct lf_error *error)
{
	struct qemu_collect *collect = opaque;
	const struct ram_block *block = &collect->image->blocks[number];
	uint8_t *to;

	if (number == collect->ram_block) {
		if (!collect->private_ram)
			return error_set(error, EBADMSG,
			    "QEMU sends pages of shared guest memory");
		collect_ram(collect, offset, page != NULL ? page : zero_page);
		return 1;
	}
	to = collect->block_bytes + block->offset + offset;
	/* A zero page of a new file is there already, and no memory yet. */
	if (page != NULL)
		memcpy(to, page, STREAM_PAGE_BYTES);
	return 0;
}

struct stream_sink
qemu_collect_sink(struct qemu_collect *collect)
{
	return (struct stream_sink){
	    .opaque = collect,
	    .blocks = collect_blocks,
	    .page = collect_page,
	};
}

/* The runs of the delta, neighbours joined. */
static int
list_runs(const struct qemu_collect *collect, struct ram_run **ret_runs,
    size_t *ret_count, struct lf_error *error)
{
	uint64_t size = ram_file_size(collect->ram), offset;
	struct ram_run *runs;
	size_t count = 0;

	for (offset = 0; offset < size; offset += RAM_RUN_BYTES)
		count += collect->in_delta[offset / RAM_RUN_BYTES];
	runs = sys.calloc(count + 1, sizeof(*runs));
	if (runs == NULL)
		return error_nomem(error);
	count = 0;
	for (offset = 0; offset < size; offset += RAM_RUN_BYTES) {
		uint64_t length = RAM_RUN_BYTES;
		struct ram_run *last = count > 0 ? &runs[count - 1] : NULL;

		if (!collect->in_delta[offset / RAM_RUN_BYTES])
			continue;
		if (length > size - offset)
			length = size - offset;
		if (last != NULL && last->offset + last->length == offset)
			last->length += length;
		else
			runs[count++] = (struct ram_run){
			    .file = 0,
			    .offset = offset,
			    .length = length,
			    .at = offset,
			};
	}
	*ret_runs = runs;
	*ret_count = count;
	return 0;
}

/*
 * Too many runs: guest memory gets a file of its own, with all of the fork's
 * pages in it.
 */
static int
rebase(struct qemu_collect *collect, const struct ram_run *runs, size_t count,
    struct lf_error *error)
{
	struct ram_image *old = collect->image, *image = NULL;
	uint64_t size = ram_file_size(collect->ram);
	struct ram_file *base = NULL;
	uint32_t b;
	size_t i;
	int rc;

	rc = ram_file_new("guest memory", size, &base, error);
	if (rc == 0)
		rc = ram_file_copy_data(base, ram_file_fd(collect->ram), size,
		    "guest memory", error);
	for (i = 0; rc == 0 && i < count; i++)
		rc = ram_file_write(base, runs[i].offset,
		    collect->delta_bytes + runs[i].at, runs[i].length, error);
	if (rc == 0)
		rc = ram_file_seal(base, error);
	if (rc == 0)
		rc = ram_image_new(&image, error);
	if (rc == 0)
		rc = ram_image_add_file(image, base, error);
	if (rc >= 0 && collect->blocks != NULL)
		rc = ram_image_add_file(image, collect->blocks, error);
	for (b = 0; rc >= 0 && b < old->block_count; b++)
		rc = ram_image_add_block(image, &old->blocks[b], error);
	ram_file_unref(base);
	if (rc < 0) {
		ram_image_unref(image);
		return rc;
	}
	ram_image_unref(old);
	collect->image = image;
	return 0;
}

static int
finish_delta(struct qemu_collect *collect, struct lf_error *error)
{
	uint64_t pages = ram_file_size(collect->ram) / STREAM_PAGE_BYTES;
	cleanup_free struct ram_run *runs = NULL;
	size_t count = 0;
	int rc;

	if (collect->pages_seen != pages)
		return error_set(error, EBADMSG,
		    "QEMU sent %" PRIu64 " of %" PRIu64
		    " pages of guest memory",
		    collect->pages_seen, pages);
	rc = list_runs(collect, &runs, &count, error);
	if (rc < 0 || count == 0)
		return rc;
	if (count > RAM_RUNS_MAX)
		return rebase(collect, runs, count, error);
	rc = ram_file_seal(collect->delta, error);
	return rc < 0 ? rc
		      : ram_image_set_delta(
			    collect->image, collect->delta, runs, count, error);
}

int
qemu_collect_finish(struct qemu_collect *collect, struct ram_image **ret_image,
    struct lf_error *error)
{
	int rc = 0;

	if (collect->image == NULL)
		return error_set(
		    error, EBADMSG, "QEMU's stream lists no RAM blocks");
	if (collect->private_ram)
		rc = finish_delta(collect, error);
	if (rc == 0 && collect->blocks != NULL)
		rc = ram_file_seal(collect->blocks, error);
	if (rc < 0)
		return rc;
	*ret_image = take_ptr(collect->image);
	return 0;
}
