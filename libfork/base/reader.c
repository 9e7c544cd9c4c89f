/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bounded reader. All reads go through reader_bytes(), which makes the one
 * bounds check there is.
 */
#include "base/reader.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"

int
reader_bytes(struct reader *r, const char *field, size_t len,
    const uint8_t **ret_bytes, struct lf_error *error)
{
	if (len > reader_left(r))
		return error_set(error, EBADMSG,
		    "%s: field '%s': %zu bytes wanted, %zu left at 0x%zx",
		    r->name, field, len, reader_left(r), r->pos);
	*ret_bytes = r->data + r->pos;
	r->pos += len;
	return 0;
}

int
reader_skip(
    struct reader *r, const char *field, size_t len, struct lf_error *error)
{
	const uint8_t *ignored;

	return reader_bytes(r, field, len, &ignored, error);
}

int
reader_u8(struct reader *r, const char *field, uint8_t *ret_value,
    struct lf_error *error)
{
	const uint8_t *bytes = NULL;
	int rc = reader_bytes(r, field, 1, &bytes, error);

	if (rc == 0)
		*ret_value = bytes[0];
	return rc;
}

#define DEFINE_READER(order, bits)                                           \
	int reader_##order##bits(struct reader *r, const char *field,        \
	    uint##bits##_t *ret_value, struct lf_error *error)               \
	{                                                                    \
		const uint8_t *bytes;                                        \
		uint##bits##_t raw;                                          \
		int rc = reader_bytes(r, field, sizeof(raw), &bytes, error); \
                                                                             \
		if (rc == 0) {                                               \
			memcpy(&raw, bytes, sizeof(raw));                    \
			*ret_value = order##bits##toh(raw);                  \
		}                                                            \
		return rc;                                                   \
	}

DEFINE_READER(be, 16)
DEFINE_READER(be, 32)
DEFINE_READER(be, 64)
DEFINE_READER(le, 16)
DEFINE_READER(le, 32)
DEFINE_READER(le, 64)

int
reader_seek(
    struct reader *r, const char *field, uint64_t pos, struct lf_error *error)
{
	if (pos > r->len)
		return error_set(error, EBADMSG,
		    "%s: field '%s': points to 0x%llx, past the end at 0x%zx",
		    r->name, field, (unsigned long long)pos, r->len);
	r->pos = pos;
	return 0;
}

int
reader_counted_string(struct reader *r, const char *field, char *buf,
    size_t size, struct lf_error *error)
{
	struct reader ahead = *r;
	const uint8_t *bytes = NULL;
	uint8_t len;
	int rc;

	rc = reader_u8(&ahead, field, &len, error);
	if (rc == 0)
		rc = reader_bytes(&ahead, field, len, &bytes, error);
	if (rc < 0)
		return rc;
	if (len >= size)
		return error_set(error, EBADMSG,
		    "%s: field '%s': a string of %u bytes at 0x%zx, at most "
		    "%zu allowed",
		    r->name, field, len, r->pos, size - 1);
	if (memchr(bytes, '\0', len) != NULL)
		return error_set(error, EBADMSG,
		    "%s: field '%s': a NUL byte in the string at 0x%zx",
		    r->name, field, r->pos);
	memcpy(buf, bytes, len);
	buf[len] = '\0';
	*r = ahead;
	return 0;
}
