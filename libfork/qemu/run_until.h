/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lets a guest under QEMU run until a vCPU arrives at an address, and stops
 * it there, before the instruction: what `freeze --at` stands on. It works
 * through QEMU's gdb stub over a socketpair.
 *
 * Afterwards QEMU is in run state "debug", nothing of the stub is left, the
 * guest's memory is as it was. When it fails, a guest that ran runs on, one
 * that stood stands again: a breakpoint or byte that was placed is taken back.
 * Knows nothing of domains or symbols.
 */
#ifndef QEMU_RUN_UNTIL_H
#define QEMU_RUN_UNTIL_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#include "base/cleanup.h"
#include "qemu/qmp.h"

enum run_until_method {
	/* A hardware breakpoint: TCG, and any KVM that reports them. */
	RUN_UNTIL_BREAKPOINT,
	/*
	 * A jump to itself written over the instruction, looked for every few
	 * milliseconds: for a KVM that reports no breakpoint. The vCPUs that
	 * arrive spin meanwhile.
	 */
	RUN_UNTIL_LOOP,
};

struct run_until_options {
	uint64_t address; /* guest-virtual */
	enum run_until_method method;
	bool match_cr3; /* only with this page table: */
	uint64_t cr3;   /* bits 12 to 51 count, the PCID does not */
	uint64_t count; /* the count-th arrival; 0 is 1 */
	int timeout_ms; /* for all of it; negative: none */
	/* It runs for this only: when it fails, it stands again. */
	bool stands;
};

struct run_until_result {
	unsigned vcpu;     /* that arrived */
	uint64_t arrivals; /* that were counted */
	uint64_t cr3;      /* of that vCPU */
};

struct run_until;

/*
 * Begins: attaches to a running or stopped guest, places the breakpoint, lets
 * the guest run. Blocks for milliseconds. `qmp` is borrowed until the end.
 */
int run_until_start(struct qmp *qmp, const struct run_until_options *options,
    struct run_until **ret_run, struct lf_error *error);

/* The descriptor to be watched for reading. */
int run_until_fd(const struct run_until *run);

/*
 * In how many milliseconds run_until_step() has to be called even though the
 * descriptor has nothing; -1: never.
 */
int run_until_wait_ms(const struct run_until *run);

/*
 * Looks what happened. 1: arrived, the guest stands there, `*ret_result` is
 * filled; 0: not yet; negative: it ended, the guest runs on (where there is
 * still one), -ETIMEDOUT when the time was over. After 1 or an error only
 * run_until_free() is left to be called.
 */
int run_until_step(struct run_until *run, struct run_until_result *ret_result,
    struct lf_error *error);

/* Ends it; one under way is given up and the guest runs on. NULL is allowed. */
void run_until_free(struct run_until *run);

DEFINE_CLEANUP(struct run_until *, run_until_free);

/* All of it, for a caller that may block. */
int run_until(struct qmp *qmp, const struct run_until_options *options,
    struct run_until_result *ret_result, struct lf_error *error);

#endif
