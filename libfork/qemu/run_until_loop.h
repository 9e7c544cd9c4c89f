/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A jump to itself in place of an instruction, in which a vCPU that arrives
 * stays: for a KVM that reports no breakpoint. All functions want the guest
 * stopped.
 */
#ifndef QEMU_RUN_UNTIL_LOOP_H
#define QEMU_RUN_UNTIL_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#include "qemu/gdb_client.h"
#include "qemu/qmp.h"

#define LOOP_BYTES 2

struct loop {
	uint64_t address; /* guest-virtual */
	bool match_cr3;   /* only where this page table shows it */
	uint64_t cr3;
	/* Where it lies in guest-physical memory, and what was there. Two
	 * bytes can lie in two pages. */
	uint64_t gpa[LOOP_BYTES];
	uint8_t saved[LOOP_BYTES];
	bool located;
};

/* Whether a vCPU with this CR3 is one that counts; the PCID does not. */
bool loop_cr3_matches(const struct loop *loop, uint64_t cr3);

/*
 * Writes the loop: 1; 0 when no vCPU that counts has the address mapped yet.
 * `*ret_touched` is set when bytes may have to be put back, also after an
 * error. vCPUs that stand within its bytes are stepped out of them first.
 */
int loop_place(struct loop *loop, struct qmp *qmp, struct gdb_client *gdb,
    bool *ret_touched, struct lf_error *error);

/* Puts back what was there. */
int loop_take_back(
    const struct loop *loop, struct gdb_client *gdb, struct lf_error *error);

#endif
