/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registers of a stopped vCPU, x86-64. Names and bit positions are the
 * architecture's (Intel SDM volume 3, chapters 2 and 3).
 */
#ifndef LIBFORK_VCPU_H
#define LIBFORK_VCPU_H

#include <stdint.h>

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_domain;

/*
 * A segment register with its hidden part. `access` is the second word of the
 * descriptor without its limit bits: type in bits 0-3, S 4, DPL 5-6, P 7,
 * AVL 12, L 13, D/B 14, G 15. A segment that is not present is unusable.
 */
struct lf_segment {
	uint64_t base;
	uint32_t limit; /* in bytes, as after scaling by G */
	uint16_t selector;
	uint16_t access;
};

struct lf_table_register {
	uint64_t base;
	uint16_t limit;
};

struct lf_vcpu_regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct lf_segment cs, ds, es, fs, gs, ss, tr, ldt;
	struct lf_table_register gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
};

/*
 * Reads the registers of vCPU `vcpu` (from 0) of a domain that is not inside
 * lf_domain_run(). A device access that nobody answered is taken back first, so
 * that they are those before it; answer it first to read those behind it.
 * QEMU does not tell CR8 and the APIC's base: they are 0 on that backend.
 * -EINVAL: no such vCPU; -EBUSY: the domain runs.
 */
LF_API int lf_vcpu_read_regs(struct lf_domain *domain, unsigned vcpu,
    struct lf_vcpu_regs *ret_regs, struct lf_error *error);

/*
 * Sets them all. The next lf_domain_reset() brings the snapshot's back. An
 * access that the vCPU stopped at is forgotten: it goes on at `regs->rip`.
 * -EINVAL: no such vCPU, or registers that KVM does not take; -EBUSY: the
 * domain runs; -ENOTSUP on backend qemu.
 */
LF_API int lf_vcpu_write_regs(struct lf_domain *domain, unsigned vcpu,
    const struct lf_vcpu_regs *regs, struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
