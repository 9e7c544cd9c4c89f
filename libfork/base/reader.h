/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bounded reader: the only way outside bytes are taken apart. Every read
 * checks what is left; a failure says which field, how much was wanted, what
 * was left and where, and does not move the position.
 */
#ifndef BASE_READER_H
#define BASE_READER_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

struct reader {
	const uint8_t *data; /* borrowed */
	size_t len;
	size_t pos;       /* pos <= len always */
	const char *name; /* what is being read, for messages */
};

static inline void
reader_init(struct reader *r, const void *data, size_t len, const char *name)
{
	*r = (struct reader){.data = data, .len = len, .name = name};
}

static inline size_t
reader_left(const struct reader *r)
{
	return r->len - r->pos;
}

/* Big-endian integers, as QEMU's streams have them. */
int reader_u8(struct reader *r, const char *field, uint8_t *ret_value,
    struct lf_error *error);
int reader_be16(struct reader *r, const char *field, uint16_t *ret_value,
    struct lf_error *error);
int reader_be32(struct reader *r, const char *field, uint32_t *ret_value,
    struct lf_error *error);
int reader_be64(struct reader *r, const char *field, uint64_t *ret_value,
    struct lf_error *error);

/* Little-endian integers, as guest memory and ELF files have them. */
int reader_le16(struct reader *r, const char *field, uint16_t *ret_value,
    struct lf_error *error);
int reader_le32(struct reader *r, const char *field, uint32_t *ret_value,
    struct lf_error *error);
int reader_le64(struct reader *r, const char *field, uint64_t *ret_value,
    struct lf_error *error);

/* Goes to offset `pos` of the data; past its end is an error. */
int reader_seek(
    struct reader *r, const char *field, uint64_t pos, struct lf_error *error);

/* `len` bytes in place; the pointer is into the reader's data. */
int reader_bytes(struct reader *r, const char *field, size_t len,
    const uint8_t **ret_bytes, struct lf_error *error);
int reader_skip(
    struct reader *r, const char *field, size_t len, struct lf_error *error);

/*
 * A string with its length in one byte before it, copied and terminated. Fails
 * on an embedded NUL and on more than size - 1 bytes.
 */
int reader_counted_string(struct reader *r, const char *field, char *buf,
    size_t size, struct lf_error *error);

#endif
