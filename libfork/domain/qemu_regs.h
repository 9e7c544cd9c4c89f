/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registers of a domain on QEMU, for people to look at: CR8 and the APIC's base
 * are not told and stay 0.
 */
#ifndef DOMAIN_QEMU_REGS_H
#define DOMAIN_QEMU_REGS_H

#include <libfork/vcpu.h>

struct qemu_domain;

int qemu_read_regs(struct qemu_domain *domain, unsigned vcpu,
    struct lf_vcpu_regs *ret_regs, struct lf_error *error);

/* What "info registers" printed of one vCPU; -EBADMSG names what is missing. */
int qemu_regs_parse(
    const char *text, struct lf_vcpu_regs *ret_regs, struct lf_error *error);

#endif
