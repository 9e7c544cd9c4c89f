/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stream's "cpu" section as a struct: QEMU's view of one x86 vCPU
 * (target/i386/machine.c, version 12), all subsections included. Reading and
 * writing only; what it means for KVM is in cpu_translate.h.
 */
#ifndef QEMU_CPU_SECTION_H
#define QEMU_CPU_SECTION_H

#include <stdint.h>

#include <libfork/error.h>

#include "base/writer.h"
#include "qemu/stream.h"
#include "qemu/vmstate.h"

struct qemu_segment {
	uint64_t base;
	uint32_t selector, limit;
	uint32_t flags; /* the descriptor's second word */
};

struct qemu_fpreg {
	uint64_t mantissa;
	uint16_t exponent; /* with the sign */
};

struct qemu_pair {
	uint64_t a, b;
};

struct qemu_lbr {
	uint64_t from, to, info;
};

#define QEMU_FIXED_COUNTERS 3
#define QEMU_GP_COUNTERS    18
#define QEMU_LBR_ENTRIES    32

/* Members bear QEMU's names. */
struct qemu_cpu {
	uint64_t regs[16]; /* RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 ... */
	uint64_t eip, eflags;
	uint32_t hflags;
	uint16_t fpuc, fpus, fptag, fpregs_format;
	struct qemu_fpreg fpregs[8];
	struct qemu_segment segs[6]; /* ES, CS, SS, DS, FS, GS */
	struct qemu_segment ldt, tr, gdt, idt;
	uint32_t sysenter_cs;
	uint64_t sysenter_esp, sysenter_eip;
	uint64_t cr0, cr2, cr3, cr4;
	uint64_t dr[8];
	uint32_t a20_mask;
	uint32_t mxcsr;
	struct qemu_pair xmm[16];
	uint64_t efer, star, lstar, cstar, fmask, kernelgsbase;
	uint32_t smbase;
	uint64_t pat;
	uint32_t hflags2;
	uint64_t vm_hsave, vm_vmcb, tsc_offset, intercept;
	uint16_t intercept_cr_read, intercept_cr_write;
	uint16_t intercept_dr_read, intercept_dr_write;
	uint32_t intercept_exceptions;
	uint8_t v_tpr;
	uint64_t mtrr_fixed[11];
	uint64_t mtrr_deftype;
	struct qemu_pair mtrr_var[8];
	int32_t interrupt_injected; /* -1: none */
	uint32_t mp_state;
	uint64_t tsc;
	int32_t exception_nr; /* -1: none */
	uint8_t soft_interrupt, nmi_injected, nmi_pending, has_error_code;
	uint32_t sipi_vector;
	uint64_t mcg_cap, mcg_status, mcg_ctl;
	uint64_t mce_banks[40];
	uint64_t tsc_aux;
	uint64_t system_time_msr, wall_clock_msr;
	uint64_t xcr0, xstate_bv;
	struct qemu_pair ymmh[16];

	/* Subsections; a member has QEMU's default when it is not there. */
	uint8_t exception_pending, exception_injected, exception_has_payload;
	uint64_t exception_payload;
	uint64_t async_pf_en_msr, async_pf_int_msr, pv_eoi_en_msr;
	uint64_t steal_time_msr, poll_control_msr;
	uint16_t fpop;
	uint64_t fpip, fpdp;
	uint64_t tsc_adjust, tsc_deadline;
	uint64_t msr_ia32_misc_enable, msr_ia32_feature_control;
	uint64_t fixed_ctr_ctrl, global_ctrl, global_status, global_ovf_ctrl;
	uint64_t fixed_counters[QEMU_FIXED_COUNTERS];
	uint64_t gp_counters[QEMU_GP_COUNTERS];
	uint64_t gp_evtsel[QEMU_GP_COUNTERS];
	struct qemu_pair bnd_regs[4];
	uint64_t bnd_cfgu, bnd_sts, bnd_cfgs;
	uint64_t hv_guest_os_id, hv_hypercall, hv_vapic, hv_tsc;
	uint64_t hv_crash[5];
	uint64_t hv_runtime;
	uint64_t hv_synic_control, hv_synic_evt_page, hv_synic_msg_page;
	uint64_t hv_synic_sint[16];
	uint64_t hv_stimer_config[4], hv_stimer_count[4];
	uint64_t hv_reenlightenment, hv_tsc_emulation, hv_tsc_emulation_status;
	uint64_t opmask[8];
	struct qemu_pair zmmh[16][2];  /* bits 256-511 of ZMM0-15 */
	struct qemu_pair zmm16[16][4]; /* ZMM16-31 */
	uint64_t xss;
	uint32_t umwait;
	uint64_t tsc_khz;
	uint64_t smi_count;
	uint32_t pkru, pkrs;
	uint64_t spec_ctrl, amd_tsc_scale, mcg_ext_ctl, virt_ssbd;
	uint64_t nested_cr3;
	uint32_t nested_pg_mode;
	uint32_t int_ctl;
	uint32_t tsx_ctrl;
	uint64_t sgx_hash[4];
	uint64_t pdptrs[4];
	uint64_t xfd, xfd_err;
	uint64_t lbr_ctl, lbr_depth;
	struct qemu_lbr lbr[QEMU_LBR_ENTRIES];
	uint8_t triple_fault_pending;

	struct vmstate_found found;
};

extern const struct vmstate_table qemu_cpu_table;

/*
 * Reads a vCPU's section. `data` is the stream's; opaque subsections go on
 * pointing into it.
 */
int qemu_cpu_load(const struct stream *stream,
    const struct stream_section *section, struct qemu_cpu *ret_cpu,
    struct lf_error *error);

/* Writes the section's body. */
void qemu_cpu_save(const struct qemu_cpu *cpu, struct writer *w);

/* Whether the section had, or now has, a subsection. */
bool qemu_cpu_has(const struct qemu_cpu *cpu, const char *subsection);

#endif
