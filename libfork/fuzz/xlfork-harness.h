/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a target of `xlfork fuzz` includes to say where its input goes, where a
 * run begins and ends, and that something is wrong. It stands alone: it is for
 * user programs, Linux kernel modules and programs without operating system.
 *
 *	static unsigned char input[65536];
 *	static struct xlfork_harness harness =
 *	    XLFORK_HARNESS(input, sizeof(input));
 *
 *	xlfork_init();                      // user programs under Linux only
 *	size_t len = xlfork_start(&harness);
 *	parse(input, len);
 *	xlfork_stop();
 *
 * All of it is one instruction, a read of a port that no PC has a device on.
 * Under QEMU it reads all ones, and xlfork_start() goes on asking: that is when
 * the domain is to be frozen. In a fork without device model the same
 * instruction comes to xlfork, which answers.
 */
#ifndef XLFORK_HARNESS_H
#define XLFORK_HARNESS_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stddef.h>
#include <stdint.h>
#endif

#define XLFORK_MAGIC  0x5353454e52414858ULL /* "XHARNESS" */
#define XLFORK_NOBODY 0xffffffffU           /* what QEMU answers */

/*
 * The ports, each a mark; its argument is in RDI. They are aligned: QEMU's TCG
 * reads nought from four bytes across two words, not all ones.
 */
#define XLFORK_MARK_START    0x5844 /* struct xlfork_harness */
#define XLFORK_MARK_STOP     0x5848
#define XLFORK_MARK_CRASH    0x584c /* a string that says what */
#define XLFORK_MARK_CONSUMED 0x5850 /* how many bytes of input */

struct xlfork_harness {
	uint64_t magic;     /* XLFORK_MAGIC */
	uint64_t buffer;    /* where the input goes */
	uint64_t capacity;  /* bytes of it */
	uint64_t size;      /* written by xlfork: the input's size */
	uint64_t map;       /* page-aligned coverage map; 0: none */
	uint64_t map_bytes; /* whole pages */
};

#define XLFORK_HARNESS(buffer_, capacity_)                                    \
	{                                                                     \
		XLFORK_MAGIC, (uint64_t)(uintptr_t)(buffer_), (capacity_), 0, \
		    0, 0                                                      \
	}

static inline uint32_t
xlfork_mark(uint16_t mark, uint64_t argument)
{
	uint32_t answer;

	__asm__ volatile("inl %%dx, %%eax"
			 : "=a"(answer)
			 : "d"(mark), "D"(argument)
			 : "memory");
	return answer;
}

/*
 * Here every run begins, with a new input in the buffer. Returns its size. The
 * buffer's pages must be present: a user program under Linux writes to them,
 * or locks them, before.
 */
static inline size_t
xlfork_start(volatile struct xlfork_harness *harness)
{
	while (xlfork_mark(XLFORK_MARK_START, (uint64_t)(uintptr_t)harness) ==
	       XLFORK_NOBODY)
		__asm__ volatile("pause");
	return (size_t)harness->size;
}

/* Here a run ends, in order. A write: it has no answer to wait for. */
static inline void
xlfork_stop(void)
{
	__asm__ volatile("outl %%eax, %%dx"
			 :
			 : "a"(0), "d"((uint16_t)XLFORK_MARK_STOP)
			 : "memory");
}

/* Here a run ends as a crash; `what` says which, in a line. */
static inline void
xlfork_crash(const char *what)
{
	xlfork_mark(XLFORK_MARK_CRASH, (uint64_t)(uintptr_t)what);
}

/*
 * The first `bytes` bytes of input were read, and will not be read again.
 * Returns the input's size, which is another one when runs begin here
 * (xlfork fuzz --prefix).
 */
static inline size_t
xlfork_consumed(volatile struct xlfork_harness *harness, size_t bytes)
{
	xlfork_mark(XLFORK_MARK_CONSUMED, bytes);
	return (size_t)harness->size;
}

#if defined(__linux__) && !defined(__KERNEL__) && __STDC_HOSTED__ && \
    !defined(XLFORK_FREESTANDING)
#include <sys/io.h>
/* User programs may not read ports before this; it needs root. 0 or -1. */
static inline int
xlfork_init(void)
{
	return iopl(3);
}
#endif

/*
 * Coverage that the compiler counts. In one file of the target, define
 * XLFORK_COVERAGE (the map's bytes, a multiple of 4096) before including this
 * header, and call xlfork_coverage(&harness) before xlfork_start(). The others
 * are compiled with clang -fsanitize-coverage=trace-pc-guard, or with
 * afl-clang-fast -c; this one without.
 */
#ifdef XLFORK_COVERAGE
#ifdef __cplusplus
extern "C" {
#endif
static uint8_t xlfork_map[XLFORK_COVERAGE] __attribute__((aligned(4096)));
extern uint32_t __start___sancov_guards[] __attribute__((weak));
extern uint32_t __stop___sancov_guards[] __attribute__((weak));

/* What afl-clang-fast's code counts in. */
uint8_t *__afl_area_ptr = xlfork_map;

void __sanitizer_cov_trace_pc_guard(uint32_t *guard);
void
__sanitizer_cov_trace_pc_guard(uint32_t *guard)
{
	xlfork_map[*guard]++;
}

void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop);
void
__sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop)
{
	uint32_t next = 1;

	if (start == stop || *start != 0)
		return;
	while (start < stop)
		*start++ = next++ % sizeof(xlfork_map);
}

static inline void
xlfork_coverage(struct xlfork_harness *harness)
{
	size_t i;

	__sanitizer_cov_trace_pc_guard_init(
	    __start___sancov_guards, __stop___sancov_guards);
	/* Under an operating system, pages that are there. */
	for (i = 0; i < sizeof(xlfork_map); i += 4096)
		*(volatile uint8_t *)&xlfork_map[i] = 0;
	harness->map = (uint64_t)(uintptr_t)xlfork_map;
	harness->map_bytes = sizeof(xlfork_map);
}
#ifdef __cplusplus
}
#endif
#endif

#endif
