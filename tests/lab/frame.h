/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames by which the lab's first process sends what its command writes, and
 * last of all its exit status: one byte what it is, the length (32 bits,
 * little-endian), the bytes.
 */
#ifndef LAB_FRAME_H
#define LAB_FRAME_H

#include <stddef.h>

enum frame_kind {
	FRAME_OUTPUT = 1,
	FRAME_ERROR = 2,
	FRAME_STATUS = 3, /* one byte */
};

enum { FRAME_HEAD = 5, FRAME_MAX = 65536 };

static inline void
frame_set_head(unsigned char *head, enum frame_kind kind, size_t len)
{
	head[0] = (unsigned char)kind;
	for (int i = 0; i < 4; i++)
		head[1 + i] = (unsigned char)(len >> (8 * i));
}

static inline size_t
frame_len(const unsigned char *head)
{
	size_t len = 0;

	for (int i = 0; i < 4; i++)
		len |= (size_t)head[1 + i] << (8 * i);
	return len;
}

#endif
