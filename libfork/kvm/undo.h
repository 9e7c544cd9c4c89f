/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that an instruction in a device access may change, as it was
 * before the instruction: registers (computed, where KVM shows them changed
 * already), system registers, events, vector registers, and the memory and
 * page-table entries that it may write when it is completed.
 */
#ifndef KVM_UNDO_H
#define KVM_UNDO_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#include "cpu/state.h"

struct vcpu;

/* A piece of guest memory as it was. */
struct undo_piece {
	uint64_t gpa;
	uint32_t len;
	uint8_t *bytes;
};

#define UNDO_PIECES_MAX 24

struct undo {
	struct cpu_regs regs;
	struct cpu_sregs sregs;
	struct cpu_events events;
	struct cpu_debugregs debugregs;
	uint8_t *xsave; /* NULL: cannot change */
	unsigned piece_count;
	struct undo_piece piece[UNDO_PIECES_MAX];
};

/*
 * Looks at the vCPU, which stands in an access. -ENOTSUP: what the instruction
 * is or was cannot be told; the message has its bytes.
 */
int undo_init(struct undo *undo, struct vcpu *vcpu, struct lf_error *error);
int undo_apply(
    const struct undo *undo, struct vcpu *vcpu, struct lf_error *error);
void undo_done(struct undo *undo);

#endif
