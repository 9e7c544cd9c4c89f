/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Growing byte buffer; doubles when full.
 */
#include "base/writer.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

void
writer_done(struct writer *w)
{
	free(w->data);
	writer_init(w);
}

void
writer_reset(struct writer *w)
{
	w->len = 0;
	w->failed = false;
}

/* Room for `len` more bytes; NULL when there is none. */
static uint8_t *
writer_room(struct writer *w, size_t len)
{
	uint8_t *room;

	if (w->failed)
		return NULL;
	if (len > w->size - w->len) {
		size_t size = w->size > 0 ? w->size : 256;
		uint8_t *data;

		while (size - w->len < len && size <= SIZE_MAX / 2)
			size *= 2;
		data = size - w->len >= len ? sys.realloc(w->data, size) : NULL;
		if (data == NULL) {
			w->failed = true;
			return NULL;
		}
		w->data = data;
		w->size = size;
	}
	room = w->data + w->len;
	w->len += len;
	return room;
}

void
writer_bytes(struct writer *w, const void *bytes, size_t len)
{
	uint8_t *room;

	if (len == 0)
		return;
	room = writer_room(w, len);
	if (room != NULL)
		memcpy(room, bytes, len);
}

void
writer_u8(struct writer *w, uint8_t value)
{
	writer_bytes(w, &value, 1);
}

void
writer_be32(struct writer *w, uint32_t value)
{
	value = htobe32(value);
	writer_bytes(w, &value, sizeof(value));
}

void
writer_be64(struct writer *w, uint64_t value)
{
	value = htobe64(value);
	writer_bytes(w, &value, sizeof(value));
}

void
writer_counted_string(struct writer *w, const char *s)
{
	size_t len = strlen(s);

	if (len > UINT8_MAX) {
		w->failed = true;
		return;
	}
	writer_u8(w, (uint8_t)len);
	writer_bytes(w, s, len);
}

int
writer_status(const struct writer *w, struct lf_error *error)
{
	return w->failed ? error_nomem(error) : 0;
}
