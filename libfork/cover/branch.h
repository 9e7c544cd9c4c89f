/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking a branch for the vCPU: where an instruction that ends a block goes,
 * by registers and memory as they are now, and what else it changes. 64-bit
 * code only.
 */
#ifndef COVER_BRANCH_H
#define COVER_BRANCH_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/vcpu.h>

#include "insn/insn.h"

struct vmi_space;

/*
 * Changes `regs`, and the stack for a call, as the instruction at regs->rip
 * would. 1: done; 0: it is none of near jumps, branches, calls and returns, or
 * it would fault, or page tables would be changed: the vCPU has to execute it
 * itself.
 */
int branch_take(const struct insn *insn, const struct vmi_space *space,
    struct lf_vcpu_regs *regs);

#endif
