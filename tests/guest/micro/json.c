/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A target with real control flow: a recursive JSON checker, and planted bugs
 * that single inputs reach (json.h). No calls out of this file, no system, no
 * data beyond input and stack.
 */
#include "guest/micro/json.h"
#include "guest/micro/layout.h"

#define DEPTH_MAX 32

struct text {
	const uint8_t *at, *end;
	unsigned depth;
};

static int value(struct text *text);

static void
out(uint16_t port, uint8_t byte)
{
	__asm__ volatile("outb %b0, %w1" : : "a"(byte), "d"(port));
}

static int
peek(const struct text *text)
{
	return text->at < text->end ? *text->at : -1;
}

static void
space(struct text *text)
{
	while (peek(text) == ' ' || peek(text) == '\n' || peek(text) == '\t' ||
	       peek(text) == '\r')
		text->at++;
}

static int
word(struct text *text, const char *rest)
{
	while (*rest != '\0') {
		if (peek(text) != *rest)
			return -1;
		text->at++;
		rest++;
	}
	return 0;
}

static int
digits(struct text *text)
{
	int count = 0;

	while (peek(text) >= '0' && peek(text) <= '9') {
		text->at++;
		count++;
	}
	return count;
}

static int
number(struct text *text)
{
	if (peek(text) == '-')
		text->at++;
	if (digits(text) == 0)
		return -1;
	if (peek(text) == '.') {
		text->at++;
		if (digits(text) == 0)
			return -1;
	}
	if ((peek(text) | 0x20) == 'e') {
		text->at++;
		if (peek(text) == '+' || peek(text) == '-')
			text->at++;
		if (digits(text) == 0)
			return -1;
	}
	return 0;
}

static int
string(struct text *text)
{
	text->at++;
	for (;;) {
		int byte = peek(text);

		if (byte < 0x20)
			return -1;
		text->at++;
		if (byte == '"')
			return 0;
		if (byte != '\\')
			continue;
		/* A jump table: found by no look at the code alone. */
		switch (peek(text)) {
		case 'b':
		case 'f':
		case 'n':
		case 'r':
		case 't':
		case '"':
		case '/':
		case '\\':
			text->at++;
			break;
		case 'u':
			text->at++;
			if (text->end - text->at < 4)
				return -1;
			text->at += 4;
			break;
		default:
			return -1;
		}
	}
}

static int
list(struct text *text, int close, int pairs)
{
	text->at++;
	space(text);
	if (peek(text) == close) {
		text->at++;
		return 0;
	}
	for (;;) {
		space(text);
		if (pairs) {
			if (peek(text) != '"' || string(text) < 0)
				return -1;
			space(text);
			if (peek(text) != ':')
				return -1;
			text->at++;
		}
		if (value(text) < 0)
			return -1;
		space(text);
		if (peek(text) == close) {
			text->at++;
			return 0;
		}
		if (peek(text) != ',')
			return -1;
		text->at++;
	}
}

static int
value(struct text *text)
{
	int rc;

	if (++text->depth > DEPTH_MAX)
		return -1;
	space(text);
	switch (peek(text)) {
	case '{':
		rc = list(text, '}', 1);
		break;
	case '[':
		rc = list(text, ']', 0);
		break;
	case '"':
		rc = string(text);
		break;
	case 't':
		rc = word(text, "true");
		break;
	case 'f':
		rc = word(text, "false");
		break;
	case 'n':
		rc = word(text, "null");
		break;
	default:
		rc = number(text);
		break;
	}
	text->depth--;
	return rc;
}

__attribute__((noinline)) int
json_check(const uint8_t *bytes, uint64_t len)
{
	struct text text = {bytes, bytes + len, 0};

	if (value(&text) < 0)
		return -1;
	space(&text);
	return text.at == text.end ? 0 : -1;
}

/* --- planted bugs --- */

__attribute__((noinline)) void
json_assert_failed(void)
{
	out(JSON_ASSERT_PORT, 1);
	for (;;)
		;
}

__attribute__((noinline)) static uint64_t
overflow_stack(uint64_t depth)
{
	volatile uint8_t room[256];

	room[depth & 0xff] = 1;
	if (depth == UINT64_MAX)
		return 0;
	return overflow_stack(depth + 1) + room[(depth + 1) & 0xff];
}

/* A block of a heap with a guard behind it, as an allocator for debugging. */
__attribute__((noinline)) static void
overflow_heap(const uint8_t *bytes, uint64_t len)
{
	static struct {
		volatile uint8_t block[16];
		volatile uint64_t guard;
	} heap;
	uint64_t i;

	heap.guard = JSON_GUARD;
	for (i = 0; i < len; i++)
		heap.block[i] = bytes[i];
	if (heap.guard != JSON_GUARD)
		json_assert_failed();
}

static const int *volatile nothing;

__attribute__((noinline)) static int
dereference(const volatile int *pointer)
{
	return *pointer;
}

__attribute__((noinline)) static void
loop(void)
{
	for (;;)
		__asm__ volatile("");
}

__attribute__((noinline)) void
json_crash(void)
{
	out(JSON_CRASH_PORT, 1);
}

static void
bug(const uint8_t *bytes, uint64_t len)
{
	if (len < 2 || bytes[0] != '!')
		return;
	switch (bytes[1]) {
	case 's':
		overflow_stack(0);
		break;
	case 'h':
		overflow_heap(bytes + 2, len - 2);
		break;
	case 'n':
		dereference(nothing);
		break;
	case 'l':
		loop();
		break;
	case 'c':
		json_crash();
		break;
	default:
		break;
	}
}

void guest_main(void);

/* The start point is here: every run of a fork begins at this call. */
void
guest_main(void)
{
	volatile struct json_shared *shared =
	    (struct json_shared *)MICRO_SHARED;
	const uint8_t *bytes = (const uint8_t *)shared->bytes;

	bug(bytes, shared->len);
	shared->result = (uint64_t)json_check(bytes, shared->len);
	/* The guest's own OUT to the port that probes use has no meaning. */
	if (shared->own_out)
		out(0xf6, 7);
	out(MICRO_DONE_PORT, 0);
}
