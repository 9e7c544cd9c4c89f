/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Planted bugs, each behind a word that an input begins with; everything else
 * is counted bytes. Input that reads a length first is there for prefixes.
 */
#include <stddef.h>
#include <string.h>

#define XLFORK_FREESTANDING
#include "guest/fuzz/support.h"
#include "xlfork-harness.h"

static unsigned sum;

static void
overflow(const unsigned char *bytes, size_t len)
{
	volatile unsigned char small[8];
	size_t i;

	for (i = 0; i < len; i++)
		small[i] = bytes[i];
	sum += small[0];
}

static void
check(const unsigned char *bytes, size_t len)
{
	if (len > 8 && bytes[8] == '!')
		xlfork_crash("assertion failed: bytes[8] != '!'");
}

static void
parse(const unsigned char *bytes, size_t len)
{
	size_t i;

	if (len >= 4 && memcmp(bytes, "NULL", 4) == 0)
		*(volatile int *)NULL = 1;
	if (len >= 4 && memcmp(bytes, "CODE", 4) == 0)
		*(volatile unsigned char *)(uintptr_t)parse = 0xc3;
	if (len >= 4 && memcmp(bytes, "LOOP", 4) == 0)
		for (;;)
			__asm__ volatile("pause");
	if (len >= 4 && memcmp(bytes, "HALT", 4) == 0)
		__asm__ volatile("hlt");
	if (len >= 4 && memcmp(bytes, "PORT", 4) == 0)
		__asm__ volatile("outb %%al, $0x80" : : "a"(1));
	if (len >= 4 && memcmp(bytes, "OVER", 4) == 0)
		overflow(bytes, len);
	if (len >= 4 && memcmp(bytes, "TEST", 4) == 0)
		check(bytes, len);
	if (len >= 4 && memcmp(bytes, "MANY", 4) == 0)
		for (;;)
			xlfork_consumed(&guest_harness, 0);
	if (len >= 4 && memcmp(bytes, "HEAD", 4) == 0) {
		len = xlfork_consumed(&guest_harness, 4);
		if (len > 4 && bytes[4] == 'x')
			xlfork_crash("an x after the head");
	}
	for (i = 0; i < len; i++)
		sum += bytes[i];
}

void
guest_main(uint64_t from, uint64_t to)
{
	size_t len;

	guest_support(from, to);
	len = xlfork_start(&guest_harness);
	if (sum != 0)
		xlfork_crash("not reset");
	parse(guest_input, len);
	xlfork_stop();
}
