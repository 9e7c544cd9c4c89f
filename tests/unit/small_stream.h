/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small stream written out byte by byte, and a sink that counts the pages of
 * a stream. Everything here fails the test when it fails.
 */
#ifndef TESTS_UNIT_SMALL_STREAM_H
#define TESTS_UNIT_SMALL_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/writer.h"
#include "qemu/stream.h"

/* Blocks "ram" (2 pages, shared) and "rom" (2 pages: one full, one zero). */
void small_stream_put(struct writer *w);

/* What a sink with small_stream_count_page() has seen. */
struct small_stream_pages {
	unsigned full, zero, left_out;
	uint64_t last;
	size_t leave_out; /* block whose records are not kept */
};

int small_stream_count_page(void *opaque, size_t block, uint64_t offset,
    const uint8_t *page, struct lf_error *e);

#endif
