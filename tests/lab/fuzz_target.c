/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A user-mode target for the Linux guest: libyaml's parser from Debian's
 * static archive, and planted bugs behind words that an input begins with.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <yaml.h>

#include "xlfork-harness.h"

#define GUARD 0x6775617264UL
#define STACK 262144 /* bytes: its end comes soon */

static unsigned char input[65536];
static volatile size_t size; /* written by xlfork */

struct block {
	volatile unsigned char bytes[16];
	volatile unsigned long guard;
};

/* The counterpart of an allocator's check of what it gets back. */
__attribute__((noinline)) static void
overflow_heap(const unsigned char *bytes, size_t len)
{
	struct block *block = malloc(sizeof(*block));
	size_t i;

	if (block == NULL)
		return;
	block->guard = GUARD;
	for (i = 0; i < len && i < sizeof(*block); i++)
		block->bytes[i] = bytes[i];
	if (block->guard != GUARD)
		abort();
	free(block);
}

__attribute__((noinline)) static unsigned long
overflow_stack(unsigned long depth)
{
	volatile unsigned char room[4096];

	room[depth % sizeof(room)] = 1;
	if (depth == ~0UL)
		return 0;
	return overflow_stack(depth + 1) + room[0];
}

static void
panic_kernel(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY);

	if (write(fd, "c", 1) < 0)
		_exit(1);
}

static int
begins(size_t len, const char *word)
{
	return len >= strlen(word) && memcmp(input, word, strlen(word)) == 0;
}

static void
bug(size_t len)
{
	if (begins(len, "STACK"))
		overflow_stack(0);
	if (begins(len, "HEAP"))
		overflow_heap(input, len);
	if (begins(len, "NULL"))
		*(volatile int *)NULL = 1;
	if (begins(len, "LOOP"))
		for (;;)
			__asm__ volatile("pause");
	if (begins(len, "PANIC"))
		panic_kernel();
	if (begins(len, "MARK"))
		xlfork_crash("the target says so");
}

static void
parse(size_t len)
{
	yaml_parser_t parser;
	yaml_event_t event;
	int done = 0;

	if (!yaml_parser_initialize(&parser))
		return;
	yaml_parser_set_input_string(&parser, input, len);
	while (!done && yaml_parser_parse(&parser, &event)) {
		done = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
}

int
main(void)
{
	const struct rlimit stack = {STACK, STACK};
	size_t len;

	memset(input, 1, sizeof(input));
	if (setrlimit(RLIMIT_STACK, &stack) < 0 ||
	    mlockall(MCL_CURRENT | MCL_FUTURE) < 0 || xlfork_init() < 0)
		return 1;
	puts("fuzz target ready");
	fflush(stdout);
	/*
	 * Here it is frozen. Not in xlfork_start(): TCG's inner guests may not
	 * read ports at CPL 3 once their TSS is marked busy.
	 */
	while (size == 0)
		__asm__ volatile("waits_here: pause");
	len = size;
	bug(len);
	parse(len);
	xlfork_stop();
	return 0;
}
