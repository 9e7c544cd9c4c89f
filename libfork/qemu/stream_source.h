/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a stream's bytes come from: memory, or a descriptor read through a
 * window. Either way they are taken apart with the bounded reader `r` after
 * stream_source_want() was asked for as many as the next piece can have. What
 * was read and not left out goes to a second descriptor, if there is one.
 */
#ifndef QEMU_STREAM_SOURCE_H
#define QEMU_STREAM_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "base/reader.h"

struct stream_source {
	struct reader r;
	uint8_t *window; /* owned; NULL: all bytes are in memory */
	size_t size;
	int fd;
	int keep_fd;
	int timeout_ms;
	bool ended;
	size_t keep_from; /* bytes of the window before it are dealt with */
	uint64_t before;  /* bytes of the stream before the window */
};

void stream_source_init_memory(
    struct stream_source *source, const void *data, size_t len);
int stream_source_init_fd(struct stream_source *source, int fd, int keep_fd,
    int timeout_ms, struct lf_error *error);
void stream_source_done(struct stream_source *source);

/*
 * Reads until `len` bytes (at most half a window) can be read, or the stream
 * ended before: then fewer are there and the reader will say so.
 */
int stream_source_want(
    struct stream_source *source, size_t len, struct lf_error *error);

/* Leaves out what was read since `from`, a position of the reader. */
int stream_source_drop(
    struct stream_source *source, size_t from, struct lf_error *error);

/* Keeps all that is still to come. */
int stream_source_copy_rest(
    struct stream_source *source, struct lf_error *error);

/* Position in the stream. */
static inline uint64_t
stream_source_at(const struct stream_source *source)
{
	return source->before + source->r.pos;
}

#endif
