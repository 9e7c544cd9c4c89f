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

/* A delta is made of whole runs of this many bytes, at aligned offsets. */
#define RAM_RUN_BYTES (64UL << 10)

/* A delta with more runs becomes a new base. */
#define RAM_RUNS_MAX 2048

/* With a delta and a device stream they still fit into one message. */
#define RAM_FILES_MAX  60
#define RAM_BLOCKS_MAX 256

/* One file of guest memory, shared by reference. */
struct ram_file;

/*
 * A new, empty memfd of `size` bytes, sealed against shrinking and growing.
 * `name` is what /proc shows.
 */
int ram_file_new(const char *name, uint64_t size, struct ram_file **ret,
    struct lf_error *error);

/*
 * Takes memory from `fd` (borrowed, duplicated). A file that is sealed against
 * writing is used as it is; so is any other when `trusted`: the caller knows
 * that nobody writes it any more. Else somebody may still write it: its bytes
 * are copied, and the log says so. -EINVAL when it is no regular file, is
 * smaller than `size`, or when size is not whole pages.
 */
int ram_file_adopt(const char *name, int fd, uint64_t size, bool trusted,
    struct ram_file **ret, struct lf_error *error);

struct ram_file *ram_file_ref(struct ram_file *file);
void ram_file_unref(struct ram_file *file);
unsigned ram_file_refs(const struct ram_file *file);
int ram_file_fd(const struct ram_file *file);
uint64_t ram_file_size(const struct ram_file *file);

/*
 * Maps the file read-only into this process, once for all who ask, until the
 * file is freed. Afterwards ram_file_bytes() is where.
 */
int ram_file_map(struct ram_file *file, struct lf_error *error);
const uint8_t *ram_file_bytes(const struct ram_file *file);

/* Writes all of `bytes`; for files that are not sealed yet. */
int ram_file_write(const struct ram_file *file, uint64_t offset,
    const void *bytes, uint64_t len, struct lf_error *error);

/* Copies what is not a hole in `from`'s first `size` bytes. */
int ram_file_copy_data(const struct ram_file *to, int from, uint64_t size,
    const char *name, struct lf_error *error);

/* Nobody writes the file from now on; mappings that exist go on. */
int ram_file_seal(const struct ram_file *file, struct lf_error *error);

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
