/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two targets for the Linux guest. In user mode: libyaml's parser from Debian's
 * static archive, and planted bugs behind words that an input begins with. In
 * kernel mode: the kernel's parser of X.509 certificates. Which one is told by
 * where the input's size is written. With WAIT_IN_HARNESS there is only the
 * first, and the harness says where input and size are.
 */
#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/keyctl.h>

#include <yaml.h>

#include "xlfork-harness.h"

#define GUARD 0x6775617264UL
#define STACK 262144    /* bytes: its end comes soon */
#define HEAP  (8 << 20) /* bytes: more than a parser needs */

static unsigned char input[65536];
static volatile size_t size; /* written by xlfork */
static volatile size_t certificate_size;

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

static ssize_t
write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n = write(fd, text, strlen(text));

	close(fd);
	return n;
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
		write_to("/proc/sysrq-trigger", "c");
	if (begins(len, "OOPS"))
		write_to("/sys/module/fuzz_oops/parameters/oops", "1");
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

static void
add_certificate(size_t len)
{
	syscall(SYS_add_key, "asymmetric", "fuzz", input, len,
	    KEY_SPEC_PROCESS_KEYRING);
}

/*
 * Runs have no time for the kernel to make up its mind: a certificate goes
 * through, so that it knows its algorithms, and it is to start no modprobe for
 * those that it does not know. The module with the bug need not be there.
 */
static void
prepare_kernel(void)
{
	int fd = open("/xf/certificate", O_RDONLY);
	ssize_t len = read(fd, input, sizeof(input));

	close(fd);
	if (len > 0)
		add_certificate((size_t)len);
	write_to("/proc/sys/kernel/modprobe", "\n");
	fd = open("/xf/fuzz_oops.ko", O_RDONLY);
	syscall(SYS_finit_module, fd, "", 0);
	close(fd);
}

/*
 * Where KVM is software a process may run, but not make system calls: there is
 * memory for all that a parser asks for, and it was used once.
 */
static void
prepare_memory(void)
{
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, -1);
	mallopt(M_TOP_PAD, HEAP);
	memcpy(input, "a: [b]", 6);
	parse(6);
	memset(input, 1, sizeof(input));
}

/* Returns the size of an input for the user-mode parser, or 0. */
static size_t
wait_for_input(void)
{
#ifdef WAIT_IN_HARNESS
	static struct xlfork_harness harness =
	    XLFORK_HARNESS(input, sizeof(input));

	return xlfork_start(&harness);
#else
	/*
	 * Here it is frozen. Not in xlfork_start(): TCG's inner guests may not
	 * read ports at CPL 3 once their TSS is marked busy.
	 */
	while (size == 0 && certificate_size == 0)
		__asm__ volatile("waits_here: pause");
	return size;
#endif
}

int
main(void)
{
	const struct rlimit stack = {STACK, STACK};
	size_t len;

	prepare_kernel();
	prepare_memory();
	if (setrlimit(RLIMIT_STACK, &stack) < 0 ||
	    mlockall(MCL_CURRENT | MCL_FUTURE) < 0 || xlfork_init() < 0)
		return 1;
	puts("fuzz target ready");
	fflush(stdout);
	len = wait_for_input();
	if (certificate_size != 0) {
		add_certificate(certificate_size);
	} else {
		bug(len);
		parse(len);
	}
	xlfork_stop();
	return 0;
}
