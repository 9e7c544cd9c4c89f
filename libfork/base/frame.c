/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QMP's framing. A scan that knows only strings, braces and brackets finds
 * where an object ends; jansson does the rest.
 */
#include "base/frame.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/sys.h"

void
frame_reader_init(struct frame_reader *r, size_t limit)
{
	*r = (struct frame_reader){.limit = limit};
}

void
frame_reader_done(struct frame_reader *r)
{
	free(r->buf);
	frame_reader_init(r, r->limit);
}

int
frame_reserve(struct frame_reader *r, size_t len, struct lf_error *error)
{
	if (len > r->size - r->len) {
		size_t size = r->size > 0 ? r->size : 512;
		char *buf;

		while (size - r->len < len)
			size *= 2;
		buf = sys.realloc(r->buf, size);
		if (buf == NULL)
			return error_nomem(error);
		r->buf = buf;
		r->size = size;
	}
	return 0;
}

int
frame_append(struct frame_reader *r, const void *bytes, size_t len,
    struct lf_error *error)
{
	int rc = frame_reserve(r, len, error);

	if (rc < 0)
		return rc;
	memcpy(r->buf + r->len, bytes, len);
	r->len += len;
	return 0;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Moves on by one byte; true when that byte ends the object. */
static bool
scan(struct frame_reader *r, char c)
{
	if (r->in_string) {
		if (r->escaped)
			r->escaped = false;
		else if (c == '\\')
			r->escaped = true;
		else if (c == '"')
			r->in_string = false;
		return false;
	}
	switch (c) {
	case '"':
		r->in_string = true;
		return false;
	case '{':
	case '[':
		r->depth++;
		return false;
	case '}':
	case ']':
		return r->depth == 0 || --r->depth == 0;
	default:
		return false;
	}
}

/* Drops the first `len` bytes, which are dealt with. */
static void
drop(struct frame_reader *r, size_t len)
{
	memmove(r->buf, r->buf + len, r->len - len);
	r->len -= len;
	r->scanned = 0;
	r->depth = 0;
	r->in_string = r->escaped = false;
}

static int
parse(struct frame_reader *r, size_t len, json_t **ret_object,
    struct lf_error *error)
{
	json_error_t why;
	json_t *object = json_loadb(r->buf, len, JSON_REJECT_DUPLICATES, &why);

	if (object == NULL)
		return error_set(
		    error, EBADMSG, "not a JSON object: %s", why.text);
	drop(r, len);
	*ret_object = object;
	return 1;
}

int
frame_next(struct frame_reader *r, json_t **ret_object, struct lf_error *error)
{
	size_t space = 0;

	if (r->scanned == 0) {
		while (space < r->len && is_space(r->buf[space]))
			space++;
		if (space > 0)
			drop(r, space);
		if (r->len > 0 && r->buf[0] != '{')
			return error_set(error, EBADMSG,
			    "not a JSON object: it begins with 0x%02x",
			    (unsigned char)r->buf[0]);
	}
	while (r->scanned < r->len) {
		if (r->scanned >= r->limit)
			return error_set(error, EMSGSIZE,
			    "a message of more than %zu bytes", r->limit);
		if (scan(r, r->buf[r->scanned++]))
			return parse(r, r->scanned, ret_object, error);
	}
	return 0;
}

char *
frame_format(const json_t *object, size_t *ret_len)
{
	size_t len;
	char *line = json_text(object, JSON_COMPACT, &len);

	if (line == NULL)
		return NULL;
	line[len] = '\n';
	*ret_len = len + 1;
	return line;
}
