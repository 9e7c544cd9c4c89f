/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two spellings of the same registers. Segment attributes are one word for
 * users (as in a descriptor) and single fields in the state table.
 */
#include "snapshot/regs.h"

/* Bits of lf_segment.access. */
#define ACCESS_TYPE      0x000f
#define ACCESS_S         4
#define ACCESS_DPL_SHIFT 5
#define ACCESS_P         7
#define ACCESS_AVL       12
#define ACCESS_L         13
#define ACCESS_DB        14
#define ACCESS_G         15

static void
segment_from_state(const struct cpu_segment *from, struct lf_segment *to)
{
	*to = (struct lf_segment){
	    .base = from->base,
	    .limit = from->limit,
	    .selector = from->selector,
	    .access = (uint16_t)((from->type & ACCESS_TYPE) |
				 (from->s & 1) << ACCESS_S |
				 (from->dpl & 3) << ACCESS_DPL_SHIFT |
				 (from->present & 1) << ACCESS_P |
				 (from->avl & 1) << ACCESS_AVL |
				 (from->l & 1) << ACCESS_L |
				 (from->db & 1) << ACCESS_DB |
				 (from->g & 1) << ACCESS_G),
	};
}

static void
segment_to_state(const struct lf_segment *from, struct cpu_segment *to)
{
	uint16_t access = from->access;

	*to = (struct cpu_segment){
	    .base = from->base,
	    .limit = from->limit,
	    .selector = from->selector,
	    .type = access & ACCESS_TYPE,
	    .s = access >> ACCESS_S & 1,
	    .dpl = access >> ACCESS_DPL_SHIFT & 3,
	    .present = access >> ACCESS_P & 1,
	    .avl = access >> ACCESS_AVL & 1,
	    .l = access >> ACCESS_L & 1,
	    .db = access >> ACCESS_DB & 1,
	    .g = access >> ACCESS_G & 1,
	    .unusable = !(access >> ACCESS_P & 1),
	};
}

/* Registers with the same name on both sides. */
#define EACH_REGISTER(do)                                                        \
	do                                                                       \
	(rax) do(rbx) do(rcx) do(rdx) do(rsi) do(rdi) do(rsp) do(rbp) do(r8) do( \
	    r9) do(r10) do(r11) do(r12) do(r13) do(r14) do(r15) do(rip) do(rflags)
#define EACH_SYSTEM_REGISTER(do) \
	do                       \
	(cr0) do(cr2) do(cr3) do(cr4) do(cr8) do(efer) do(apic_base)
#define EACH_SEGMENT(do) \
	do               \
	(cs) do(ds) do(es) do(fs) do(gs) do(ss) do(tr) do(ldt)

void
regs_from_state(const struct cpu_regs *regs, const struct cpu_sregs *sregs,
    struct lf_vcpu_regs *ret)
{
#define DO(name) ret->name = regs->name;
	EACH_REGISTER(DO)
#undef DO
#define DO(name) ret->name = sregs->name;
	EACH_SYSTEM_REGISTER(DO)
#undef DO
#define DO(name) segment_from_state(&sregs->name, &ret->name);
	EACH_SEGMENT(DO)
#undef DO
	ret->gdt.base = sregs->gdt.base;
	ret->gdt.limit = sregs->gdt.limit;
	ret->idt.base = sregs->idt.base;
	ret->idt.limit = sregs->idt.limit;
}

void
regs_to_state(const struct lf_vcpu_regs *from, struct cpu_regs *regs,
    struct cpu_sregs *sregs)
{
	*sregs = (struct cpu_sregs){0};
#define DO(name) regs->name = from->name;
	EACH_REGISTER(DO)
#undef DO
#define DO(name) sregs->name = from->name;
	EACH_SYSTEM_REGISTER(DO)
#undef DO
#define DO(name) segment_to_state(&from->name, &sregs->name);
	EACH_SEGMENT(DO)
#undef DO
	sregs->gdt.base = from->gdt.base;
	sregs->gdt.limit = from->gdt.limit;
	sregs->idt.base = from->idt.base;
	sregs->idt.limit = from->idt.limit;
}
