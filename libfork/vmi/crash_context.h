/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a sink's arguments tell of a crash.
 */
#ifndef VMI_CRASH_CONTEXT_H
#define VMI_CRASH_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/crash.h>

#include "vmi/space.h"

/*
 * "panic: Fatal exception", "force_sig_fault: SIGSEGV": the sink's name and
 * what its arguments add, into `buf`.
 */
void crash_context_describe(struct lf_domain *domain, unsigned vcpu,
    unsigned context, const char *name, char *buf, size_t size);

/*
 * The registers of what went wrong, from where the sink has them; false when
 * it has none: `regs`, which are the vCPU's, are as they were then.
 */
bool crash_context_regs(
    const struct vmi_space *space, unsigned context, struct lf_vcpu_regs *regs);

#endif
