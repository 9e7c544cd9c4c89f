/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pattern that the guest and its test both know.
 */
#ifndef GUEST_PATTERN_H
#define GUEST_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Fill len bytes (a multiple of 8) with the pattern of this seed: the
 * little-endian word number i is splitmix64(seed + i). */
static inline void
pattern_fill(void *buffer, size_t len, uint64_t seed)
{
	unsigned char *out = buffer;

	for (size_t i = 0; i < len / 8; i++) {
		uint64_t z = (seed + i) + 0x9e3779b97f4a7c15u;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		z ^= z >> 31;
		memcpy(out + 8 * i, &z, 8);
	}
}

#endif
