/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Translation of a vCPU's state. Each part has its two directions side by
 * side, so that they can be read against each other.
 */
#include "qemu/cpu_translate.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "qemu/apic_translate.h"
#include "qemu/cpu_msrs.h"
#include "qemu/xsave_layout.h"

/* QEMU's order of registers is the instruction encoding's. */
enum { R_RAX, R_RCX, R_RDX, R_RBX, R_RSP, R_RBP, R_RSI, R_RDI, R_R8 };
enum { S_ES, S_CS, S_SS, S_DS, S_FS, S_GS };

/* QEMU's hflags and hflags2 (target/i386/cpu.h). */
#define HF_CPL_MASK        0x3U
#define HF_INHIBIT_IRQ     (1U << 3)
#define HF_CS32            (1U << 4)
#define HF_SS32            (1U << 5)
#define HF_ADDSEG          (1U << 6)
#define HF_PE              (1U << 7)
#define HF_MP_EM_TS        (7U << 9)
#define HF_LMA             (1U << 14)
#define HF_CS64            (1U << 15)
#define HF_SMM             (1U << 19)
#define HF_GUEST           (1U << 21)
#define HF_OSFXSR          (1U << 22)
#define HF2_GIF            (1U << 0)
#define HF2_NMI            (1U << 2)
#define HF2_SMM_INSIDE_NMI (1U << 4)
/* cs->interrupt_request */
#define REQUEST_SMI       0x0040U
#define REQUEST_INIT      0x0400U

#define EFLAGS_TF_IOPL_VM 0x23100U
#define EFLAGS_VM         (1U << 17)
#define CR0_PE            1U
#define CR4_OSFXSR        (1U << 9)
#define EFER_LMA          (1U << 10)

/* A descriptor's second word (SDM volume 3, figure 3-8). */
#define DESC_TYPE_SHIFT   8
#define TSS_BUSY          2U
#define DESC_S            (1U << 12)
#define DESC_DPL_SHIFT    13
#define DESC_P            (1U << 15)
#define DESC_AVL          (1U << 20)
#define DESC_L            (1U << 21)
#define DESC_DB           (1U << 22)
#define DESC_G            (1U << 23)

#define NESTED_FORMAT_SVM 1
#define NESTED_GIF_SET    0x100

int
qemu_vcpu_load(const struct stream *stream, unsigned index, bool tcg,
    struct qemu_vcpu *ret_vcpu, struct lf_error *error)
{
	const struct stream_section *cpu = stream_find(stream, "cpu", index);
	const struct stream_section *apic = stream_find(stream, "apic", index);
	const struct stream_section *common =
	    stream_find(stream, "cpu_common", index);
	int rc;

	if (cpu == NULL || apic == NULL || common == NULL)
		return error_set(error, ENOENT,
		    "the device state has no section '%s' of vCPU %u",
		    cpu == NULL    ? "cpu"
		    : apic == NULL ? "apic"
				   : "cpu_common",
		    index);
	if (cpu->device == NULL || apic->device == NULL ||
	    common->device == NULL)
		return error_set(error, ENOTSUP,
		    "the device state has no description of its fields");
	ret_vcpu->tcg = tcg;
	ret_vcpu->phys_bits = 0;
	ret_vcpu->clock = 0;
	rc = qemu_cpu_load(stream, cpu, &ret_vcpu->cpu, error);
	if (rc == 0)
		rc = qemu_apic_load(stream, apic, &ret_vcpu->apic, error);
	if (rc == 0)
		rc = qemu_cpu_common_load(
		    stream, common, &ret_vcpu->common, error);
	if (rc < 0)
		return error_prefix(error, rc, "vCPU %u", index);
	return 0;
}

/* General registers. */

/* clang-format off */
#define REGISTERS(X)                                                          \
	X(R_RAX, rax) X(R_RCX, rcx) X(R_RDX, rdx) X(R_RBX, rbx) X(R_RSP, rsp) \
	X(R_RBP, rbp) X(R_RSI, rsi) X(R_RDI, rdi) X(R_R8, r8)                 \
	X(R_R8 + 1, r9) X(R_R8 + 2, r10) X(R_R8 + 3, r11) X(R_R8 + 4, r12)    \
	X(R_R8 + 5, r13) X(R_R8 + 6, r14) X(R_R8 + 7, r15)
/* clang-format on */

static void
regs_to_state(const struct qemu_cpu *cpu, struct cpu_regs *regs)
{
#define X(index, name) regs->name = cpu->regs[index];
	REGISTERS(X)
#undef X
	regs->rip = cpu->eip;
	regs->rflags = cpu->eflags;
}

static void
regs_from_state(const struct cpu_regs *regs, struct qemu_cpu *cpu)
{
#define X(index, name) cpu->regs[index] = regs->name;
	REGISTERS(X)
#undef X
	cpu->eip = regs->rip;
	cpu->eflags = regs->rflags;
}

/* Segments and control registers. */

static void
segment_to_state(const struct qemu_segment *from, struct cpu_segment *to)
{
	*to = (struct cpu_segment){
	    .base = from->base,
	    .limit = from->limit,
	    .selector = (uint16_t)from->selector,
	    .type = from->flags >> DESC_TYPE_SHIFT & 15,
	    .present = (from->flags & DESC_P) != 0,
	    .dpl = from->flags >> DESC_DPL_SHIFT & 3,
	    .db = (from->flags & DESC_DB) != 0,
	    .s = (from->flags & DESC_S) != 0,
	    .l = (from->flags & DESC_L) != 0,
	    .g = (from->flags & DESC_G) != 0,
	    .avl = (from->flags & DESC_AVL) != 0,
	    .unusable = (from->flags & DESC_P) == 0,
	};
}

/* In virtual-8086 mode everything but base and selector is fixed. */
static void
segment_to_state_v8086(const struct qemu_segment *from, struct cpu_segment *to)
{
	*to = (struct cpu_segment){
	    .base = from->base,
	    .limit = from->limit,
	    .selector = (uint16_t)from->selector,
	    .type = 3,
	    .present = 1,
	    .dpl = 3,
	    .s = 1,
	};
}

/* Of the descriptor's word, what KVM knows; TCG has parts of limit and base. */
#define DESC_KNOWN                                                         \
	(15U << DESC_TYPE_SHIFT | DESC_S | 3U << DESC_DPL_SHIFT | DESC_P | \
	    DESC_AVL | DESC_L | DESC_DB | DESC_G)

static void
segment_from_state(const struct cpu_segment *from, struct qemu_segment *to)
{
	uint32_t flags = (uint32_t)from->type << DESC_TYPE_SHIFT |
			 (uint32_t)from->dpl << DESC_DPL_SHIFT;

	flags |= from->present && !from->unusable ? DESC_P : 0;
	flags |= from->s ? DESC_S : 0;
	flags |= from->db ? DESC_DB : 0;
	flags |= from->l ? DESC_L : 0;
	flags |= from->g ? DESC_G : 0;
	flags |= from->avl ? DESC_AVL : 0;
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->flags = (to->flags & ~DESC_KNOWN) | flags;
}

static void
sregs_to_state(const struct qemu_vcpu *vcpu, struct cpu_sregs *sregs)
{
	const struct qemu_cpu *cpu = &vcpu->cpu;
	void (*convert)(const struct qemu_segment *, struct cpu_segment *) =
	    (cpu->eflags & EFLAGS_VM) ? segment_to_state_v8086
				      : segment_to_state;

	convert(&cpu->segs[S_ES], &sregs->es);
	convert(&cpu->segs[S_CS], &sregs->cs);
	convert(&cpu->segs[S_SS], &sregs->ss);
	convert(&cpu->segs[S_DS], &sregs->ds);
	convert(&cpu->segs[S_FS], &sregs->fs);
	convert(&cpu->segs[S_GS], &sregs->gs);
	segment_to_state(&cpu->tr, &sregs->tr);
	/* A loaded TSS is busy; TCG does not say so, VMX insists on it. */
	sregs->tr.type |= TSS_BUSY;
	segment_to_state(&cpu->ldt, &sregs->ldt);
	sregs->gdt.base = cpu->gdt.base;
	sregs->gdt.limit = (uint16_t)cpu->gdt.limit;
	sregs->idt.base = cpu->idt.base;
	sregs->idt.limit = (uint16_t)cpu->idt.limit;
	sregs->cr0 = cpu->cr0;
	sregs->cr2 = cpu->cr2;
	sregs->cr3 = cpu->cr3;
	sregs->cr4 = cpu->cr4;
	sregs->cr8 = vcpu->apic.tpr >> 4;
	sregs->efer = cpu->efer;
	sregs->apic_base = vcpu->apic.apicbase;
	sregs->flags &= ~(uint64_t)CPU_SREGS_PDPTRS_VALID;
	if (qemu_cpu_has(cpu, "cpu/pdptrs")) {
		memcpy(sregs->pdptrs, cpu->pdptrs, sizeof(sregs->pdptrs));
		sregs->flags |= CPU_SREGS_PDPTRS_VALID;
	}
}

/* What of hflags follows from other state (x86_update_hflags). */
static uint32_t
derived_hflags(const struct qemu_cpu *cpu)
{
	uint32_t cs = cpu->segs[S_CS].flags, ss = cpu->segs[S_SS].flags;
	uint32_t hflags = ss >> DESC_DPL_SHIFT & HF_CPL_MASK;

	hflags |= (cpu->cr0 & CR0_PE) ? HF_PE : 0;
	hflags |= (uint32_t)(cpu->cr0 << 8) & HF_MP_EM_TS;
	hflags |= (uint32_t)cpu->eflags & EFLAGS_TF_IOPL_VM;
	hflags |= (cpu->cr4 & CR4_OSFXSR) ? HF_OSFXSR : 0;
	hflags |= (cpu->efer & EFER_LMA) ? HF_LMA : 0;
	if ((hflags & HF_LMA) && (cs & DESC_L))
		return hflags | HF_CS32 | HF_SS32 | HF_CS64;
	hflags |= (cs & DESC_DB) ? HF_CS32 : 0;
	hflags |= (ss & DESC_DB) ? HF_SS32 : 0;
	if (!(cpu->cr0 & CR0_PE) || (cpu->eflags & EFLAGS_VM) ||
	    !(hflags & HF_CS32) ||
	    (cpu->segs[S_DS].base | cpu->segs[S_ES].base |
		cpu->segs[S_SS].base) != 0)
		hflags |= HF_ADDSEG;
	return hflags;
}

static const uint32_t derived_hflags_mask =
    HF_CPL_MASK | HF_PE | HF_MP_EM_TS | EFLAGS_TF_IOPL_VM | HF_OSFXSR | HF_LMA |
    HF_CS32 | HF_SS32 | HF_CS64 | HF_ADDSEG;

static void
sregs_from_state(const struct cpu_sregs *sregs, struct qemu_vcpu *vcpu)
{
	struct qemu_cpu *cpu = &vcpu->cpu;
	int pdptrs = vmstate_subsection_index(&qemu_cpu_table, "cpu/pdptrs");
	uint32_t busy;

	segment_from_state(&sregs->es, &cpu->segs[S_ES]);
	segment_from_state(&sregs->cs, &cpu->segs[S_CS]);
	segment_from_state(&sregs->ss, &cpu->segs[S_SS]);
	segment_from_state(&sregs->ds, &cpu->segs[S_DS]);
	segment_from_state(&sregs->fs, &cpu->segs[S_FS]);
	segment_from_state(&sregs->gs, &cpu->segs[S_GS]);
	busy = vcpu->tcg ? cpu->tr.flags & TSS_BUSY << DESC_TYPE_SHIFT
			 : TSS_BUSY << DESC_TYPE_SHIFT;
	segment_from_state(&sregs->tr, &cpu->tr);
	cpu->tr.flags = (cpu->tr.flags & ~(TSS_BUSY << DESC_TYPE_SHIFT)) | busy;
	segment_from_state(&sregs->ldt, &cpu->ldt);
	cpu->gdt.base = sregs->gdt.base;
	cpu->gdt.limit = sregs->gdt.limit;
	cpu->idt.base = sregs->idt.base;
	cpu->idt.limit = sregs->idt.limit;
	cpu->cr0 = sregs->cr0;
	cpu->cr2 = sregs->cr2;
	cpu->cr3 = sregs->cr3;
	cpu->cr4 = sregs->cr4;
	cpu->efer = sregs->efer;
	vcpu->apic.tpr = (uint8_t)(sregs->cr8 << 4 | (vcpu->apic.tpr & 0xf));
	vcpu->apic.apicbase = (uint32_t)sregs->apic_base;
	memcpy(cpu->pdptrs, sregs->pdptrs, sizeof(cpu->pdptrs));
	cpu->found.present &= ~(UINT64_C(1) << pdptrs);
	if (sregs->flags & CPU_SREGS_PDPTRS_VALID)
		cpu->found.present |= UINT64_C(1) << pdptrs;
	cpu->hflags =
	    (cpu->hflags & ~derived_hflags_mask) | derived_hflags(cpu);
}

/* Debug registers: 4 and 5 are names of 6 and 7. */

static void
debugregs_to_state(const struct qemu_cpu *cpu, struct cpu_debugregs *debug)
{
	memcpy(debug->db, cpu->dr, sizeof(debug->db));
	debug->dr6 = cpu->dr[6];
	debug->dr7 = cpu->dr[7];
}

static void
debugregs_from_state(const struct cpu_debugregs *debug, struct qemu_cpu *cpu)
{
	memcpy(cpu->dr, debug->db, sizeof(debug->db));
	cpu->dr[6] = debug->dr6;
	cpu->dr[7] = debug->dr7;
}

/* Events. */

/*
 * A fault with an error code: the stream has no room for the code, but its
 * instruction will raise it again. #DF is none; its code is always 0.
 */
static bool
is_restartable_fault(unsigned nr, bool has_error_code)
{
	return has_error_code && nr != 8;
}

static void
events_to_state(const struct qemu_vcpu *vcpu, struct cpu_events *events)
{
	const struct qemu_cpu *cpu = &vcpu->cpu;
	bool exception = cpu->exception_nr >= 0 &&
			 !is_restartable_fault(
			     (unsigned)cpu->exception_nr, cpu->has_error_code);

	events->exception.nr = exception ? (uint8_t)cpu->exception_nr : 0;
	events->exception.injected = exception && !cpu->exception_pending;
	events->exception.pending = exception && cpu->exception_pending;
	events->exception.has_error_code = cpu->has_error_code;
	events->exception.error_code = 0;
	events->exception_has_payload = exception && cpu->exception_has_payload;
	events->exception_payload = exception ? cpu->exception_payload : 0;
	events->interrupt.injected = cpu->interrupt_injected >= 0;
	events->interrupt.nr =
	    cpu->interrupt_injected >= 0 ? (uint8_t)cpu->interrupt_injected : 0;
	events->interrupt.soft = cpu->soft_interrupt;
	events->interrupt.shadow =
	    vcpu->tcg && (cpu->hflags & HF_INHIBIT_IRQ) ? CPU_SHADOW_STI : 0;
	events->nmi.injected = cpu->nmi_injected;
	events->nmi.pending = cpu->nmi_pending;
	events->nmi.masked = (cpu->hflags2 & HF2_NMI) != 0;
	events->sipi_vector = cpu->sipi_vector;
	events->smi.smm = (cpu->hflags & HF_SMM) != 0;
	events->smi.smm_inside_nmi = (cpu->hflags2 & HF2_SMM_INSIDE_NMI) != 0;
	events->smi.pending =
	    (vcpu->common.interrupt_request & REQUEST_SMI) != 0;
	events->smi.latched_init =
	    (vcpu->common.interrupt_request & REQUEST_INIT) != 0;
	events->triple_fault.pending = cpu->triple_fault_pending;
}

static void
events_from_state(const struct cpu_events *events, struct qemu_vcpu *vcpu)
{
	struct qemu_cpu *cpu = &vcpu->cpu;
	bool exception =
	    (events->exception.injected || events->exception.pending) &&
	    !is_restartable_fault(
		events->exception.nr, events->exception.has_error_code);

	/* Outside of a nested guest a pending exception counts as injected. */
	cpu->exception_nr = exception ? events->exception.nr : -1;
	cpu->exception_injected = exception;
	cpu->exception_pending = 0;
	cpu->exception_has_payload = 0;
	cpu->exception_payload = 0;
	cpu->has_error_code = events->exception.has_error_code;
	if (exception && events->exception.pending &&
	    events->exception_has_payload && events->exception.nr == 1)
		cpu->dr[6] = events->exception_payload;
	cpu->interrupt_injected =
	    events->interrupt.injected ? events->interrupt.nr : -1;
	cpu->soft_interrupt = events->interrupt.soft;
	cpu->nmi_injected = events->nmi.injected;
	cpu->nmi_pending = events->nmi.pending;
	cpu->hflags2 = (cpu->hflags2 & ~(HF2_NMI | HF2_SMM_INSIDE_NMI)) |
		       (events->nmi.masked ? HF2_NMI : 0) |
		       (events->smi.smm_inside_nmi ? HF2_SMM_INSIDE_NMI : 0);
	cpu->hflags =
	    (cpu->hflags & ~(HF_SMM | HF_INHIBIT_IRQ)) |
	    (events->smi.smm ? HF_SMM : 0) |
	    (vcpu->tcg && events->interrupt.shadow ? HF_INHIBIT_IRQ : 0);
	cpu->sipi_vector = events->sipi_vector;
	cpu->triple_fault_pending = events->triple_fault.pending;
}

/* A parent that runs a guest of its own cannot be forked. */
static int
check_nested(const struct qemu_cpu *cpu, struct lf_error *error)
{
	if ((cpu->hflags & HF_GUEST) || qemu_cpu_has(cpu, "cpu/nested_state"))
		return error_set(error, ENOTSUP,
		    "the parent runs a nested guest (VMX or SVM is in use): "
		    "fork it with a device model, or stop the nested guest "
		    "before the freeze");
	return 0;
}

/* AMD's global interrupt flag is kept with the nested state. */
static void
nested_to_state(const struct qemu_cpu *cpu, struct cpu_nested *nested)
{
	if (nested->size == 0 || nested->format != NESTED_FORMAT_SVM)
		return;
	nested->flags &= (uint16_t)~NESTED_GIF_SET;
	if (cpu->hflags2 & HF2_GIF)
		nested->flags |= NESTED_GIF_SET;
}

static int
nested_from_state(const struct cpu_nested *nested, struct qemu_cpu *cpu,
    struct lf_error *error)
{
	if (nested->size > sizeof(*nested))
		return error_set(error, ENOTSUP,
		    "the fork runs a nested guest: it has no place in QEMU's "
		    "stream as libfork writes it");
	if (nested->size == 0 || nested->format != NESTED_FORMAT_SVM)
		return 0;
	cpu->hflags2 = (cpu->hflags2 & ~HF2_GIF) |
		       (nested->flags & NESTED_GIF_SET ? HF2_GIF : 0);
	return 0;
}

int
qemu_vcpu_to_state(const struct qemu_vcpu *vcpu, const struct cpu_cpuid *cpuid,
    struct cpu_state *state, struct lf_error *error)
{
	const struct qemu_cpu *cpu = &vcpu->cpu;
	int rc = check_nested(cpu, error);

	if (rc == 0)
		rc =
		    xsave_to_state(cpu, vcpu->tcg, cpuid, &state->xsave, error);
	if (rc == 0)
		rc = qemu_msrs_to_state(cpu, vcpu->phys_bits, state, error);
	if (rc < 0)
		return rc;
	state->mp_state =
	    vcpu->tcg && vcpu->common.halted ? CPU_MP_HALTED : cpu->mp_state;
	regs_to_state(cpu, &state->regs);
	sregs_to_state(vcpu, &state->sregs);
	nested_to_state(cpu, &state->nested);
	state->xcrs.xcr0 = cpu->xcr0 != 0 ? cpu->xcr0 : 1;
	debugregs_to_state(cpu, &state->debugregs);
	qemu_apic_to_state(&vcpu->apic, &state->lapic);
	state->tsc.tsc = cpu->tsc;
	if (qemu_cpu_has(cpu, "cpu/tsc_khz"))
		state->tsc.khz = (uint32_t)cpu->tsc_khz;
	events_to_state(vcpu, &state->events);
	state->groups = CPU_GROUP_ALL;
	return 0;
}

int
qemu_vcpu_from_state(struct qemu_vcpu *vcpu, const struct cpu_cpuid *cpuid,
    const struct cpu_state *state, struct lf_error *error)
{
	struct qemu_cpu *cpu = &vcpu->cpu;
	int rc = nested_from_state(&state->nested, cpu, error);

	if (rc == 0)
		rc = xsave_from_state(
		    &state->xsave, vcpu->tcg, cpuid, cpu, error);
	if (rc < 0)
		return rc;
	qemu_msrs_from_state(state, vcpu->phys_bits, cpu);
	vcpu->common.halted = state->mp_state == CPU_MP_HALTED;
	if (!vcpu->tcg)
		cpu->mp_state = state->mp_state;
	regs_from_state(&state->regs, cpu);
	sregs_from_state(&state->sregs, vcpu);
	cpu->xcr0 = state->xcrs.xcr0;
	debugregs_from_state(&state->debugregs, cpu);
	qemu_apic_from_state(
	    &state->lapic, vcpu->tcg, vcpu->clock, &vcpu->apic);
	if (!vcpu->tcg)
		cpu->tsc = state->tsc.tsc;
	events_from_state(&state->events, vcpu);
	return 0;
}
