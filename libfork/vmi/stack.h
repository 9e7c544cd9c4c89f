/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a stopped vCPU came to where it stands: return addresses on its stack.
 * Without unwinding tables of the guest's code there are two ways: the chain
 * of saved frame pointers, where code keeps one, and every word of the stack
 * that is an address behind a call instruction. What the second finds may be
 * left from calls that have returned.
 */
#ifndef VMI_STACK_H
#define VMI_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/vcpu.h>

struct vmi_space;

/*
 * Fills at most `max` return addresses, innermost first. `*ret_chained`: they
 * are from frame pointers. Returns how many, or -ENOMEM.
 */
int vmi_stack(const struct vmi_space *space, const struct lf_vcpu_regs *regs,
    uint64_t *frames, size_t max, bool *ret_chained, struct lf_error *error);

#endif
