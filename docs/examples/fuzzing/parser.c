/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is to be fuzzed: reads records of a type, a length and as many bytes.
 * It has a bug.
 */
#include "parser.h"

static unsigned
sum(const unsigned char *bytes, size_t len)
{
	unsigned total = 0;

	while (len-- > 0)
		total += *bytes++;
	return total;
}

int
parse(const unsigned char *bytes, size_t len)
{
	static unsigned table[16];
	size_t at = 2;

	if (len < 2 || bytes[0] != 'R' || bytes[1] != '1')
		return -1;
	while (at + 2 <= len) {
		unsigned type = bytes[at], size = bytes[at + 1];

		at += 2;
		if (size > len - at)
			return -1;
		switch (type) {
		case 'S':
			table[0] = sum(bytes + at, size);
			break;
		case 'T': /* an index and a value, but is it checked? */
			if (size == 2)
				table[bytes[at] * 65536 * 16] = bytes[at + 1];
			break;
		default:
			return -1;
		}
		at += size;
	}
	return (int)table[0];
}
