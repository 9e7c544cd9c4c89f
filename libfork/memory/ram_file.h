/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file of guest memory: a memfd of our own, or one that was given and that
 * nobody writes any more. It lives as long as an image or a view needs it, and
 * knows nothing of either.
 */
#ifndef MEMORY_RAM_FILE_H
#define MEMORY_RAM_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

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

#endif
