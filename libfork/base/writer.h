/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Growing byte buffer. A failed allocation is remembered: the caller writes
 * everything and asks once at the end, with writer_status().
 */
#ifndef BASE_WRITER_H
#define BASE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

struct writer {
	uint8_t *data; /* owned */
	size_t len;
	size_t size;
	bool failed; /* out of memory at some point; later writes do nothing */
};

static inline void
writer_init(struct writer *w)
{
	*w = (struct writer){0};
}

/* Frees the buffer; `w` is empty and usable afterwards. */
void writer_done(struct writer *w);

/* Forgets the content, keeps the memory. */
void writer_reset(struct writer *w);

void writer_bytes(struct writer *w, const void *bytes, size_t len);
void writer_u8(struct writer *w, uint8_t value);
void writer_be32(struct writer *w, uint32_t value);
void writer_be64(struct writer *w, uint64_t value);

/* One length byte, then the string; over 255 bytes the writer fails. */
void writer_counted_string(struct writer *w, const char *s);

/* 0, or -ENOMEM when anything written so far was lost. */
int writer_status(const struct writer *w, struct lf_error *error);

#endif
