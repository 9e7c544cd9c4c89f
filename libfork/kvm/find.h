/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which instruction made the access that a vCPU stands in, and what registers
 * were before it. Where RIP is past the instruction already, the bytes before
 * RIP are tried in every length; one is the instruction if what it does is
 * what the exit says: kind, port or address, size, data. Should several
 * lengths do (a prefix that changes nothing), all do the same.
 */
#ifndef KVM_FIND_H
#define KVM_FIND_H

#include <stdint.h>

#include <libfork/error.h>

#include "cpu/state.h"
#include "insn/insn.h"

struct vcpu;

struct find {
	struct insn insn;
	struct cpu_regs before;
};

/* -ENOTSUP: it cannot be told; the message has the bytes around RIP. */
int find_access(struct vcpu *vcpu, const struct cpu_sregs *sregs,
    struct find *ret, struct lf_error *error);

/* An address register as the instruction uses it: its low bytes. */
uint64_t find_address(const struct insn *insn, uint64_t reg);

#endif
