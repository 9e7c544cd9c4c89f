/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QMP's framing: JSON objects one after the other on a byte stream, white
 * space between them ignored. Bytes come from outside: an object larger than
 * the limit, or anything that is not an object, is an error after which the
 * stream cannot be used.
 */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>
#include <libfork/error.h>

struct frame_reader {
	char *buf; /* owned */
	size_t len, size;
	size_t limit;   /* bytes of one object at most */
	size_t scanned; /* bytes of buf that were looked at */
	unsigned depth; /* open braces and brackets at `scanned` */
	bool in_string, escaped;
};

void frame_reader_init(struct frame_reader *r, size_t limit);
void frame_reader_done(struct frame_reader *r);

/*
 * Makes room, so that adding up to `len` bytes cannot fail: for a caller who
 * would lose what was read. -ENOMEM is the only error.
 */
int frame_reserve(struct frame_reader *r, size_t len, struct lf_error *error);

/* Adds bytes that were read. -ENOMEM is the only error. */
int frame_append(struct frame_reader *r, const void *bytes, size_t len,
    struct lf_error *error);

/*
 * Takes the next object. Returns 1 with the caller's reference in
 * `*ret_object`, 0 when more bytes are needed, -EBADMSG or -EMSGSIZE.
 */
int frame_next(
    struct frame_reader *r, json_t **ret_object, struct lf_error *error);

/*
 * An object as one line with a line feed at its end: what a sender writes.
 * The caller frees it. NULL when out of memory.
 */
char *frame_format(const json_t *object, size_t *ret_len);

#endif
