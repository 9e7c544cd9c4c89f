/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of the "cpu" section. The conditions under which QEMU writes a
 * subsection are its own (target/i386/machine.c): a section that was read and
 * is written unchanged comes out byte for byte the same.
 */
#include "qemu/cpu_section.h"

#include <string.h>

#define INT(qemu_name, member)  VMSTATE_INT(qemu_name, struct qemu_cpu, member)
#define INTS(qemu_name, member) VMSTATE_INTS(qemu_name, struct qemu_cpu, member)
#define ENV(member)             INT("env." #member, member)
#define ENVS(member)            INTS("env." #member, member)
#define PAIRS(qemu_name, member, nth) \
	VMSTATE_SUBS(qemu_name, struct qemu_cpu, member, pair_fields, nth)
#define SEGMENT(member) \
	VMSTATE_SUB("env." #member, struct qemu_cpu, member, segment_fields)
#define END                  \
	{                    \
		.name = NULL \
	}

static const struct vmstate_field pair_fields[] = {
    VMSTATE_INT("a", struct qemu_pair, a),
    VMSTATE_INT("b", struct qemu_pair, b),
    END,
};

static const struct vmstate_field segment_fields[] = {
    VMSTATE_INT("selector", struct qemu_segment, selector),
    VMSTATE_INT("base", struct qemu_segment, base),
    VMSTATE_INT("limit", struct qemu_segment, limit),
    VMSTATE_INT("flags", struct qemu_segment, flags),
    END,
};

static const struct vmstate_field fpreg_fields[] = {
    VMSTATE_INT("tmp_mant", struct qemu_fpreg, mantissa),
    VMSTATE_INT("tmp_exp", struct qemu_fpreg, exponent),
    END,
};

static const struct vmstate_field lbr_fields[] = {
    VMSTATE_INT("from", struct qemu_lbr, from),
    VMSTATE_INT("to", struct qemu_lbr, to),
    VMSTATE_INT("info", struct qemu_lbr, info),
    END,
};

/* Two and four pairs in a row, one element of a ZMM array. */
#define PAIR_AT(n)                                                        \
	{                                                                 \
		.name = "pair", .offset = (n) * sizeof(struct qemu_pair), \
		.count = 1, .fields = pair_fields                         \
	}
static const struct vmstate_field two_pairs[] = {PAIR_AT(0), PAIR_AT(1), END};
static const struct vmstate_field four_pairs[] = {
    PAIR_AT(0), PAIR_AT(1), PAIR_AT(2), PAIR_AT(3), END};

static const struct vmstate_field cpu_fields[] = {
    ENVS(regs),
    ENV(eip),
    ENV(eflags),
    ENV(hflags),
    ENV(fpuc),
    INT("env.fpus_vmstate", fpus),
    INT("env.fptag_vmstate", fptag),
    INT("env.fpregs_format_vmstate", fpregs_format),
    VMSTATE_SUBS("env.fpregs", struct qemu_cpu, fpregs, fpreg_fields, 0),
    VMSTATE_SUBS("env.segs", struct qemu_cpu, segs, segment_fields, 0),
    SEGMENT(ldt),
    SEGMENT(tr),
    SEGMENT(gdt),
    SEGMENT(idt),
    ENV(sysenter_cs),
    ENV(sysenter_esp),
    ENV(sysenter_eip),
    INT("env.cr[0]", cr0),
    INT("env.cr[2]", cr2),
    INT("env.cr[3]", cr3),
    INT("env.cr[4]", cr4),
    ENVS(dr),
    ENV(a20_mask),
    ENV(mxcsr),
    PAIRS("env.xmm_regs", xmm, 0),
    ENV(efer),
    ENV(star),
    ENV(lstar),
    ENV(cstar),
    ENV(fmask),
    ENV(kernelgsbase),
    ENV(smbase),
    ENV(pat),
    ENV(hflags2),
    ENV(vm_hsave),
    ENV(vm_vmcb),
    ENV(tsc_offset),
    ENV(intercept),
    ENV(intercept_cr_read),
    ENV(intercept_cr_write),
    ENV(intercept_dr_read),
    ENV(intercept_dr_write),
    ENV(intercept_exceptions),
    ENV(v_tpr),
    ENVS(mtrr_fixed),
    ENV(mtrr_deftype),
    PAIRS("env.mtrr_var", mtrr_var, 0),
    ENV(interrupt_injected),
    ENV(mp_state),
    ENV(tsc),
    ENV(exception_nr),
    ENV(soft_interrupt),
    ENV(nmi_injected),
    ENV(nmi_pending),
    ENV(has_error_code),
    ENV(sipi_vector),
    ENV(mcg_cap),
    ENV(mcg_status),
    ENV(mcg_ctl),
    ENVS(mce_banks),
    ENV(tsc_aux),
    ENV(system_time_msr),
    ENV(wall_clock_msr),
    ENV(xcr0),
    ENV(xstate_bv),
    PAIRS("env.xmm_regs", ymmh, 1),
    END,
};

/* MSR_IA32_MISC_ENABLE_DEFAULT: fast string instructions. */
#define MISC_ENABLE_DEFAULT 1

#define HFLAGS_GUEST        (1U << 21)
#define HFLAGS2_NPT         (1U << 6)

static bool
any(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0)
		if (p[--len] != 0)
			return true;
	return false;
}

/* Subsections that are written when one of their values is not 0. */
#define NEEDED_UNLESS_ZERO(function, condition)     \
	static bool function(const void *state)     \
	{                                           \
		const struct qemu_cpu *cpu = state; \
                                                    \
		return (condition);                 \
	}

NEEDED_UNLESS_ZERO(exception_info_needed,
    cpu->exception_pending && (cpu->hflags & HFLAGS_GUEST))
NEEDED_UNLESS_ZERO(async_pf_needed, cpu->async_pf_en_msr)
NEEDED_UNLESS_ZERO(async_pf_int_needed, cpu->async_pf_int_msr)
NEEDED_UNLESS_ZERO(pv_eoi_needed, cpu->pv_eoi_en_msr)
NEEDED_UNLESS_ZERO(steal_time_needed, cpu->steal_time_msr)
NEEDED_UNLESS_ZERO(poll_control_needed, cpu->poll_control_msr != 1)
NEEDED_UNLESS_ZERO(fpop_needed, cpu->fpop || cpu->fpip || cpu->fpdp)
NEEDED_UNLESS_ZERO(tsc_adjust_needed, cpu->tsc_adjust)
NEEDED_UNLESS_ZERO(tsc_deadline_needed, cpu->tsc_deadline)
NEEDED_UNLESS_ZERO(
    misc_enable_needed, cpu->msr_ia32_misc_enable != MISC_ENABLE_DEFAULT)
NEEDED_UNLESS_ZERO(feature_control_needed, cpu->msr_ia32_feature_control)
NEEDED_UNLESS_ZERO(
    pmu_needed, cpu->fixed_ctr_ctrl || cpu->global_ctrl || cpu->global_status ||
		    cpu->global_ovf_ctrl ||
		    any(cpu->fixed_counters, sizeof(cpu->fixed_counters)) ||
		    any(cpu->gp_counters, sizeof(cpu->gp_counters)) ||
		    any(cpu->gp_evtsel, sizeof(cpu->gp_evtsel)))
NEEDED_UNLESS_ZERO(mpx_needed, any(cpu->bnd_regs, sizeof(cpu->bnd_regs)) ||
				   cpu->bnd_cfgu || cpu->bnd_sts ||
				   cpu->bnd_cfgs)
NEEDED_UNLESS_ZERO(
    hv_hypercall_needed, cpu->hv_hypercall || cpu->hv_guest_os_id)
NEEDED_UNLESS_ZERO(hv_vapic_needed, cpu->hv_vapic)
NEEDED_UNLESS_ZERO(hv_tsc_needed, cpu->hv_tsc)
NEEDED_UNLESS_ZERO(hv_crash_needed, any(cpu->hv_crash, sizeof(cpu->hv_crash)))
NEEDED_UNLESS_ZERO(hv_synic_needed,
    cpu->hv_synic_control || cpu->hv_synic_evt_page || cpu->hv_synic_msg_page ||
	any(cpu->hv_synic_sint, sizeof(cpu->hv_synic_sint)))
NEEDED_UNLESS_ZERO(hv_stimer_needed,
    any(cpu->hv_stimer_config, sizeof(cpu->hv_stimer_config)) ||
	any(cpu->hv_stimer_count, sizeof(cpu->hv_stimer_count)))
NEEDED_UNLESS_ZERO(hv_reenlightenment_needed, cpu->hv_reenlightenment ||
						  cpu->hv_tsc_emulation ||
						  cpu->hv_tsc_emulation_status)
NEEDED_UNLESS_ZERO(avx512_needed, any(cpu->opmask, sizeof(cpu->opmask)) ||
				      any(cpu->zmmh, sizeof(cpu->zmmh)) ||
				      any(cpu->zmm16, sizeof(cpu->zmm16)))
NEEDED_UNLESS_ZERO(xss_needed, cpu->xss)
NEEDED_UNLESS_ZERO(umwait_needed, cpu->umwait)
NEEDED_UNLESS_ZERO(pkru_needed, cpu->pkru)
NEEDED_UNLESS_ZERO(pkrs_needed, cpu->pkrs)
NEEDED_UNLESS_ZERO(spec_ctrl_needed, cpu->spec_ctrl)
NEEDED_UNLESS_ZERO(virt_ssbd_needed, cpu->virt_ssbd)
NEEDED_UNLESS_ZERO(svm_npt_needed, cpu->hflags2 &HFLAGS2_NPT)
NEEDED_UNLESS_ZERO(triple_fault_needed, cpu->triple_fault_pending)

#define FIELDS(...)                    \
	(const struct vmstate_field[]) \
	{                              \
		__VA_ARGS__, END       \
	}

/*
 * In QEMU's order. Without a condition: written when the parent's section had
 * it, because it depends on the CPU model.
 */
static const struct vmstate_subsection cpu_subsections[] = {
    {"cpu/exception_info", 1,
	FIELDS(ENV(exception_pending), ENV(exception_injected),
	    ENV(exception_has_payload), ENV(exception_payload)),
	exception_info_needed},
    {"cpu/async_pf_msr", 1, FIELDS(ENV(async_pf_en_msr)), async_pf_needed},
    {"cpu/async_pf_int_msr", 1, FIELDS(ENV(async_pf_int_msr)),
	async_pf_int_needed},
    {"cpu/async_pv_eoi_msr", 1, FIELDS(ENV(pv_eoi_en_msr)), pv_eoi_needed},
    {"cpu/steal_time_msr", 1, FIELDS(ENV(steal_time_msr)), steal_time_needed},
    {"cpu/poll_control_msr", 1, FIELDS(ENV(poll_control_msr)),
	poll_control_needed},
    {"cpu/fpop_ip_dp", 1, FIELDS(ENV(fpop), ENV(fpip), ENV(fpdp)), fpop_needed},
    {"cpu/msr_tsc_adjust", 1, FIELDS(ENV(tsc_adjust)), tsc_adjust_needed},
    {"cpu/msr_tscdeadline", 1, FIELDS(ENV(tsc_deadline)), tsc_deadline_needed},
    {"cpu/msr_ia32_misc_enable", 1, FIELDS(ENV(msr_ia32_misc_enable)),
	misc_enable_needed},
    {"cpu/msr_ia32_feature_control", 1, FIELDS(ENV(msr_ia32_feature_control)),
	feature_control_needed},
    {"cpu/msr_architectural_pmu", 1,
	FIELDS(INT("env.msr_fixed_ctr_ctrl", fixed_ctr_ctrl),
	    INT("env.msr_global_ctrl", global_ctrl),
	    INT("env.msr_global_status", global_status),
	    INT("env.msr_global_ovf_ctrl", global_ovf_ctrl),
	    INTS("env.msr_fixed_counters", fixed_counters),
	    INTS("env.msr_gp_counters", gp_counters),
	    INTS("env.msr_gp_evtsel", gp_evtsel)),
	pmu_needed},
    {"cpu/mpx", 1,
	FIELDS(PAIRS("env.bnd_regs", bnd_regs, 0),
	    INT("env.bndcs_regs.cfgu", bnd_cfgu),
	    INT("env.bndcs_regs.sts", bnd_sts),
	    INT("env.msr_bndcfgs", bnd_cfgs)),
	mpx_needed},
    {"cpu/msr_hyperv_hypercall", 1,
	FIELDS(INT("env.msr_hv_guest_os_id", hv_guest_os_id),
	    INT("env.msr_hv_hypercall", hv_hypercall)),
	hv_hypercall_needed},
    {"cpu/msr_hyperv_vapic", 1, FIELDS(INT("env.msr_hv_vapic", hv_vapic)),
	hv_vapic_needed},
    {"cpu/msr_hyperv_time", 1, FIELDS(INT("env.msr_hv_tsc", hv_tsc)),
	hv_tsc_needed},
    {"cpu/msr_hyperv_crash", 1,
	FIELDS(INTS("env.msr_hv_crash_params", hv_crash)), hv_crash_needed},
    {"cpu/msr_hyperv_runtime", 1, FIELDS(INT("env.msr_hv_runtime", hv_runtime)),
	NULL},
    {"cpu/msr_hyperv_synic", 1,
	FIELDS(INT("env.msr_hv_synic_control", hv_synic_control),
	    INT("env.msr_hv_synic_evt_page", hv_synic_evt_page),
	    INT("env.msr_hv_synic_msg_page", hv_synic_msg_page),
	    INTS("env.msr_hv_synic_sint", hv_synic_sint)),
	hv_synic_needed},
    {"cpu/msr_hyperv_stimer", 1,
	FIELDS(INTS("env.msr_hv_stimer_config", hv_stimer_config),
	    INTS("env.msr_hv_stimer_count", hv_stimer_count)),
	hv_stimer_needed},
    {"cpu/msr_hyperv_reenlightenment", 1,
	FIELDS(INT("env.msr_hv_reenlightenment_control", hv_reenlightenment),
	    INT("env.msr_hv_tsc_emulation_control", hv_tsc_emulation),
	    INT("env.msr_hv_tsc_emulation_status", hv_tsc_emulation_status)),
	hv_reenlightenment_needed},
    {"cpu/avx512", 1,
	FIELDS(INTS("env.opmask_regs", opmask),
	    VMSTATE_SUBS("env.xmm_regs", struct qemu_cpu, zmmh, two_pairs, 0),
	    VMSTATE_SUBS(
		"env.xmm_regs", struct qemu_cpu, zmm16, four_pairs, 1)),
	avx512_needed},
    {"cpu/xss", 1, FIELDS(ENV(xss)), xss_needed},
    {"cpu/umwait", 1, FIELDS(ENV(umwait)), umwait_needed},
    {"cpu/tsc_khz", 1, FIELDS(ENV(tsc_khz)), NULL},
    {"cpu/msr_smi_count", 1, FIELDS(INT("env.msr_smi_count", smi_count)), NULL},
    {"cpu/pkru", 1, FIELDS(ENV(pkru)), pkru_needed},
    {"cpu/pkrs", 1, FIELDS(ENV(pkrs)), pkrs_needed},
    {"cpu/spec_ctrl", 1, FIELDS(ENV(spec_ctrl)), spec_ctrl_needed},
    {"cpu/amd_tsc_scale_msr", 1,
	FIELDS(INT("env.amd_tsc_scale_msr", amd_tsc_scale)), NULL},
    {"cpu/mcg_ext_ctl", 1, FIELDS(ENV(mcg_ext_ctl)), NULL},
    {"cpu/intel_pt", 1, NULL, NULL},
    {"cpu/virt_ssbd", 1, FIELDS(ENV(virt_ssbd)), virt_ssbd_needed},
    {"cpu/svn_npt", 1, FIELDS(ENV(nested_cr3), ENV(nested_pg_mode)),
	svm_npt_needed},
    {"cpu/svm_guest", 1, FIELDS(ENV(int_ctl)), NULL},
    {"cpu/nested_state", 1, NULL, NULL},
    {"cpu/msr_tsx_ctrl", 1, FIELDS(ENV(tsx_ctrl)), NULL},
    {"cpu/intel_sgx", 1, FIELDS(INTS("env.msr_ia32_sgxlepubkeyhash", sgx_hash)),
	NULL},
    {"cpu/pdptrs", 1, FIELDS(ENVS(pdptrs)), NULL},
    {"cpu/msr_xfd", 1,
	FIELDS(INT("env.msr_xfd", xfd), INT("env.msr_xfd_err", xfd_err)), NULL},
    {"cpu/intel_amx_xtile", 1, NULL, NULL},
    {"cpu/arch_lbr", 1,
	FIELDS(INT("env.msr_lbr_ctl", lbr_ctl),
	    INT("env.msr_lbr_depth", lbr_depth),
	    VMSTATE_SUBS(
		"env.lbr_records", struct qemu_cpu, lbr, lbr_fields, 0)),
	NULL},
    {"cpu/triple_fault", 1, FIELDS(ENV(triple_fault_pending)),
	triple_fault_needed},
    {.name = NULL},
};

const struct vmstate_table qemu_cpu_table = {
    .name = "cpu",
    .version = 12,
    .fields = cpu_fields,
    .subsections = cpu_subsections,
};

int
qemu_cpu_load(const struct stream *stream, const struct stream_section *section,
    struct qemu_cpu *ret_cpu, struct lf_error *error)
{
	*ret_cpu = (struct qemu_cpu){
	    .poll_control_msr = 1,
	    .msr_ia32_misc_enable = MISC_ENABLE_DEFAULT,
	};
	return vmstate_load(&qemu_cpu_table, section->device,
	    stream->data + section->offset, ret_cpu, &ret_cpu->found, error);
}

void
qemu_cpu_save(const struct qemu_cpu *cpu, struct writer *w)
{
	vmstate_save(&qemu_cpu_table, &cpu->found, cpu, w);
}

bool
qemu_cpu_has(const struct qemu_cpu *cpu, const char *subsection)
{
	int index = vmstate_subsection_index(&qemu_cpu_table, subsection);

	return index >= 0 && (cpu->found.present >> index & 1) != 0;
}
