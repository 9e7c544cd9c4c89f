/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a C library would give a parser: memory that is only taken (each run
 * begins anew), and copying. Compiled without coverage.
 */
#include "guest/fuzz/support.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define XLFORK_FREESTANDING
#define XLFORK_COVERAGE 65536
#include "xlfork-harness.h"

struct xlfork_harness guest_harness =
    XLFORK_HARNESS(guest_input, sizeof(guest_input));
unsigned char guest_input[GUEST_INPUT_MAX] __attribute__((aligned(4096)));

static uint8_t *heap, *heap_end;

void
guest_support(uint64_t from, uint64_t to)
{
	heap = (uint8_t *)from;
	heap_end = (uint8_t *)to;
	xlfork_coverage(&guest_harness);
}

/* The size is kept before the block, for realloc(). */
void *
malloc(size_t size)
{
	uint8_t *block = heap + 16;

	if (size > (size_t)(heap_end - heap) - 32)
		return NULL;
	*(size_t *)heap = size;
	heap = block + ((size + 15) & ~(size_t)15);
	return block;
}

void
free(void *block)
{
	(void)block;
}

void *
calloc(size_t count, size_t size)
{
	size_t bytes;
	void *block;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	block = malloc(bytes);
	return block != NULL ? memset(block, 0, bytes) : NULL;
}

void *
realloc(void *old, size_t size)
{
	void *block = malloc(size);
	size_t had = old != NULL ? *(size_t *)((uint8_t *)old - 16) : 0;

	if (block == NULL)
		return NULL;
	return memcpy(block, old, had < size ? had : size);
}

int
abs(int value)
{
	return value < 0 ? -value : value;
}

void *
memcpy(void *to, const void *from, size_t len)
{
	void *at = to;

	__asm__ volatile("rep movsb"
			 : "+D"(at), "+S"(from), "+c"(len)
			 :
			 : "memory");
	return to;
}

void *
memset(void *to, int byte, size_t len)
{
	void *at = to;

	__asm__ volatile("rep stosb"
			 : "+D"(at), "+c"(len)
			 : "a"(byte)
			 : "memory");
	return to;
}

void *
memmove(void *to, const void *from, size_t len)
{
	uint8_t *d = to;
	const uint8_t *s = from;

	if (d <= s || d >= s + len)
		return memcpy(to, from, len);
	while (len-- > 0)
		d[len] = s[len];
	return to;
}

int
memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *x = a, *y = b;

	for (; len > 0; x++, y++, len--)
		if (*x != *y)
			return *x - *y;
	return 0;
}

int
strcmp(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b)
		a++, b++;
	return (unsigned char)*a - (unsigned char)*b;
}

int
strncmp(const char *a, const char *b, size_t len)
{
	for (; len > 0 && *a != '\0' && *a == *b; len--)
		a++, b++;
	return len > 0 ? (unsigned char)*a - (unsigned char)*b : 0;
}

size_t
strlen(const char *text)
{
	size_t len = 0;

	while (text[len] != '\0')
		len++;
	return len;
}
