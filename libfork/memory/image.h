/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The RAM image of a snapshot: files that nobody writes any more (the base)
 * and at most one delta, whose runs lie over them. Files are shared between
 * images by reference: memory lives as long as an image or a view needs it.
 * An image does not change once it belongs to a snapshot.
 *
 * It knows files and offsets, not guest-physical addresses (memory/map.h).
 */
#ifndef MEMORY_IMAGE_H
#define MEMORY_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "memory/ram_file.h"

/* A delta is made of whole runs of this many bytes, at aligned offsets. */
#define RAM_RUN_BYTES (64UL << 10)

/* A delta with more runs becomes a new base. */
#define RAM_RUNS_MAX 2048

/* With a delta and a device stream they still fit into one message. */
#define RAM_FILES_MAX  60
#define RAM_BLOCKS_MAX 256

/* A RAM block as QEMU knows it: where its bytes lie. */
struct ram_block {
	char idstr[256];
	uint32_t file;
	uint32_t page_size; /* of the block in QEMU; 4096 unless hugetlb */
	uint64_t offset;
	uint64_t length;
};

/* Bytes of a file that lie in the delta, at `at` of the delta's file. */
struct ram_run {
	uint32_t file;
	uint64_t offset;
	uint64_t length;
	uint64_t at;
};

struct ram_image {
	unsigned refs; /* atomic */
	struct ram_file *files[RAM_FILES_MAX];
	uint32_t file_count;
	struct ram_block *blocks; /* owned */
	uint32_t block_count;
	struct ram_file *delta; /* NULL: none */
	struct ram_run *runs;   /* owned, sorted by file and offset */
	size_t run_count;
};

int ram_image_new(struct ram_image **ret, struct lf_error *error);
struct ram_image *ram_image_ref(struct ram_image *image);
void ram_image_unref(struct ram_image *image);

/* Adds a file (the image takes a reference); returns its number. */
int ram_image_add_file(
    struct ram_image *image, struct ram_file *file, struct lf_error *error);

/* Adds a block; -EINVAL names it when it lies outside of its file. */
int ram_image_add_block(struct ram_image *image, const struct ram_block *block,
    struct lf_error *error);
const struct ram_block *ram_image_find_block(
    const struct ram_image *image, const char *idstr);

/*
 * Sets the delta: its file (the image takes a reference) and its runs, copied,
 * sorted and checked. Only once, and before the image is shared.
 */
int ram_image_set_delta(struct ram_image *image, struct ram_file *delta,
    const struct ram_run *runs, size_t count, struct lf_error *error);

/* The number of the first run that ends behind `offset` of `file`. */
size_t ram_image_find_run(
    const struct ram_image *image, uint32_t file, uint64_t offset);

/* Reads what the image shows at an offset of one of its files. */
int ram_image_read(const struct ram_image *image, uint32_t file,
    uint64_t offset, void *buf, size_t len, struct lf_error *error);

#endif
