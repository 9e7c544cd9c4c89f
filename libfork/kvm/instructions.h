/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A limit to the instructions that a guest executes, counted by perf. A
 * counter counts what vCPUs do in the thread that opened it; another thread
 * may wait for it to pass the limit.
 */
#ifndef KVM_INSTRUCTIONS_H
#define KVM_INSTRUCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

struct instructions {
	int fd;     /* readable when the limit was passed; -1: none */
	void *ring; /* without it perf wakes nobody */
	size_t ring_bytes;
	uint64_t limit;
};

/*
 * Counts in this thread from now on. An error says why a guest's instructions
 * cannot be counted: perf has no counter (-ENOENT), this user may not have one
 * (-EACCES), or it counts something else (-ENOTSUP), which is measured with a
 * guest of known length.
 */
int instructions_open(
    struct instructions *instructions, uint64_t limit, struct lf_error *error);

/* From 0 again. */
int instructions_restart(
    struct instructions *instructions, struct lf_error *error);

/* Any thread. */
bool instructions_passed(const struct instructions *instructions);

/* A counter that was opened, or none; then it is none. */
void instructions_close(struct instructions *instructions);

#endif
