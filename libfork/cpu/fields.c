/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of fields. Paddings and reserved bytes are no fields.
 */
#include "cpu/fields.h"

#define ROW(index, kind_, path, label)                                     \
	{                                                                  \
		.group = CPU_INDEX_##index, .kind = CPU_FIELD_##kind_,     \
		.name = label, .offset = offsetof(struct cpu_state, path), \
		.size = sizeof(((struct cpu_state *)0)->path),             \
	}
#define REG(r)      ROW(REGS, EXACT, regs.r, #r)
#define SEGMENT(r)  ROW(SREGS, SEGMENT, sregs.r, #r)
#define SREG(r)     ROW(SREGS, EXACT, sregs.r, #r)
#define PDPTR(n)    ROW(SREGS, PDPTR, sregs.pdptrs[n], "pdptr" #n)
#define NESTED(f)   ROW(NESTED, EXACT, nested.f, #f)
#define DEBUGREG(f) ROW(DEBUGREGS, EXACT, debugregs.f, #f)
#define EVENT(f)    ROW(EVENTS, EXACT, events.f, #f)

const struct cpu_field cpu_fields[] = {
    ROW(MP_STATE, EXACT, mp_state, "mp_state"),
    REG(rax),
    REG(rbx),
    REG(rcx),
    REG(rdx),
    REG(rsi),
    REG(rdi),
    REG(rsp),
    REG(rbp),
    REG(r8),
    REG(r9),
    REG(r10),
    REG(r11),
    REG(r12),
    REG(r13),
    REG(r14),
    REG(r15),
    REG(rip),
    REG(rflags),
    SEGMENT(cs),
    SEGMENT(ds),
    SEGMENT(es),
    SEGMENT(fs),
    SEGMENT(gs),
    SEGMENT(ss),
    SEGMENT(tr),
    SEGMENT(ldt),
    SREG(gdt.base),
    SREG(gdt.limit),
    SREG(idt.base),
    SREG(idt.limit),
    SREG(cr0),
    SREG(cr2),
    SREG(cr3),
    SREG(cr4),
    SREG(cr8),
    SREG(efer),
    SREG(apic_base),
    PDPTR(0),
    PDPTR(1),
    PDPTR(2),
    PDPTR(3),
    NESTED(size),
    NESTED(format),
    NESTED(flags),
    ROW(XCRS, EXACT, xcrs.xcr0, "xcr0"),
    DEBUGREG(db[0]),
    DEBUGREG(db[1]),
    DEBUGREG(db[2]),
    DEBUGREG(db[3]),
    DEBUGREG(dr6),
    DEBUGREG(dr7),
    ROW(TSC, SHOWN, tsc.tsc, "tsc"),
    ROW(TSC, SHOWN, tsc.khz, "khz"),
    EVENT(exception.injected),
    EVENT(exception.pending),
    EVENT(exception.nr),
    EVENT(exception.has_error_code),
    EVENT(exception.error_code),
    EVENT(exception_has_payload),
    EVENT(exception_payload),
    EVENT(interrupt.injected),
    EVENT(interrupt.nr),
    EVENT(interrupt.soft),
    ROW(EVENTS, SHADOW, events.interrupt.shadow, "interrupt.shadow"),
    EVENT(nmi.injected),
    EVENT(nmi.pending),
    EVENT(nmi.masked),
    EVENT(sipi_vector),
    EVENT(smi.smm),
    EVENT(smi.pending),
    EVENT(smi.smm_inside_nmi),
    EVENT(smi.latched_init),
    EVENT(triple_fault.pending),
    ROW(EVENTS, SHOWN, events.flags, "flags"),
};

const size_t cpu_field_count = sizeof(cpu_fields) / sizeof(cpu_fields[0]);
