/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registers as users of libfork see them, and as the state table holds them.
 */
#ifndef SNAPSHOT_REGS_H
#define SNAPSHOT_REGS_H

#include <libfork/vcpu.h>

#include "cpu/state.h"

void regs_from_state(const struct cpu_regs *regs, const struct cpu_sregs *sregs,
    struct lf_vcpu_regs *ret);

/* Fields of `sregs` that struct lf_vcpu_regs does not have become 0. */
void regs_to_state(const struct lf_vcpu_regs *from, struct cpu_regs *regs,
    struct cpu_sregs *sregs);

#endif
