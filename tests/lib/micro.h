/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small guest for any KVM: flat, 64-bit, at CPL 3 with IOPL 3, its own page
 * tables, no interrupts. It does what a list in its memory says. Used by tests
 * and benchmarks of the engine.
 */
#ifndef TESTS_LIB_MICRO_H
#define TESTS_LIB_MICRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/domain.h>
#include <libfork/snapshot.h>

/* Guest-physical and -virtual addresses are the same. */
#define MICRO_CODE  0x20000UL
#define MICRO_LIST  0x30000UL  /* of struct micro_write, 64 KiB */
#define MICRO_DATA  0x200000UL /* from here on memory is free */
#define MICRO_STACK 0x28000UL

/* The port that the guest writes when it is done. */
#define MICRO_PORT 0x80

/* Where the guest begins. */
enum micro_entry {
	/* Does the writes of the list at rbx, then exits, for ever. */
	MICRO_WRITES,
	/*
	 * Writes rax to the first word of rcx pages from rdi on, `rsi` bytes
	 * apart, exits, and begins anew with rax increased, for ever.
	 */
	MICRO_TOUCH,
	/* Counts in the word at rdi for ever. */
	MICRO_COUNT,
	/* Reads a byte from MICRO_PORT into the word at rdi, then exits. */
	MICRO_IN,
	/* Halts; faults at CPL 3, so this ends in LF_EXIT_SHUTDOWN. */
	MICRO_CRASH,
	/* Changes FPU, vector registers and flags, then exits. */
	MICRO_FPU,
	/* As MICRO_TOUCH, with rdi from the word at rbx; only once. */
	MICRO_TOUCH_AT,
};

struct micro_write {
	uint64_t gpa, len, byte; /* len 0 ends the list */
};

/* True when this process can use KVM; says why not otherwise. */
bool micro_usable(const char **ret_why);

/* Registers of a vCPU that begins at `entry`. */
void micro_regs(enum micro_entry entry, struct lf_vcpu_regs *ret_regs);

/*
 * A builder with `ram_bytes` of memory at 0 (holes: none), page tables and
 * code; vCPUs are still to be added. Ends the test when it fails.
 */
struct lf_snapshot_builder *micro_builder(uint64_t ram_bytes);

/* A snapshot with `vcpus` vCPUs that all begin with `regs`. */
struct lf_snapshot *micro_snapshot(
    uint64_t ram_bytes, const struct lf_vcpu_regs *regs, unsigned vcpus);

#endif
