/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/: the vCPU sections of real streams (tests/data/streams). Expected
 * values are what `info registers` and `info lapic` of the same, paused QEMU
 * showed.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cpu/state.h"
#include "lib/sample.h"
#include "qemu/cpu_translate.h"

/* The first byte that differs is named as the description names it. */
static void
assert_same_section(const struct sample *sample, const char *name,
    unsigned index, const struct writer *w)
{
	const struct stream_section *section =
	    stream_find(sample->stream, name, index);
	const uint8_t *wanted = sample->data + section->offset;
	char field[128];
	size_t i;

	for (i = 0; i < w->len && i < section->length; i++) {
		if (w->data[i] == wanted[i])
			continue;
		vmdesc_name_offset(
		    section->device, (uint32_t)i, field, sizeof(field));
		cr_assert_fail(
		    "section '%s' %u, field '%s': 0x%02x, not 0x%02x", name,
		    index, field, w->data[i], wanted[i]);
	}
	cr_assert_eq(w->len, section->length, "%zu bytes, not %zu", w->len,
	    section->length);
}

/* What is written of a vCPU is what the sample has of it. */
static void
assert_same_sections(
    const struct sample *sample, unsigned index, const struct qemu_vcpu *vcpu)
{
	struct writer w;

	writer_init(&w);
	qemu_cpu_save(&vcpu->cpu, &w);
	assert_same_section(sample, "cpu", index, &w);
	writer_reset(&w);
	qemu_apic_save(&vcpu->apic, &w);
	assert_same_section(sample, "apic", index, &w);
	writer_done(&w);
}

struct vcpu_of {
	char name[32];
	unsigned index;
	int tcg;
};

static struct vcpu_of all[] = {
    {"tcg-max", 0, 1},
    {"kvm-smp2", 0, 0},
    {"kvm-smp2", 1, 0},
    {"kvm-hyperv", 0, 0},
};

ParameterizedTestParameters(cpu_sections, come_out_byte_for_byte)
{
	return cr_make_param_array(
	    struct vcpu_of, all, sizeof(all) / sizeof(all[0]));
}

ParameterizedTest(struct vcpu_of *of, cpu_sections, come_out_byte_for_byte)
{
	struct sample sample = sample_open(of->name);
	struct qemu_vcpu vcpu = sample_vcpu(&sample, of->index, of->tcg);

	assert_same_sections(&sample, of->index, &vcpu);
	sample_close(&sample);
}

ParameterizedTestParameters(cpu_sections, survive_the_state_table)
{
	return cr_make_param_array(
	    struct vcpu_of, all, sizeof(all) / sizeof(all[0]));
}

ParameterizedTest(struct vcpu_of *of, cpu_sections, survive_the_state_table)
{
	struct sample sample = sample_open(of->name);
	struct qemu_vcpu vcpu = sample_vcpu(&sample, of->index, of->tcg);
	struct cpu_state *state = sample_translate(&vcpu);
	uint64_t bv = vcpu.cpu.xstate_bv;
	struct lf_error error;

	cr_assert_eq(qemu_vcpu_from_state(&vcpu, &sample_layout, state, &error),
	    0, "%s", error.message);
	/* A TCG does not keep XSTATE_BV up to date. */
	if (of->tcg)
		vcpu.cpu.xstate_bv = bv;
	assert_same_sections(&sample, of->index, &vcpu);
	cpu_state_free(state);
	sample_close(&sample);
}

Test(cpu_sections, state_is_what_info_registers_shows)
{
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = sample_vcpu(&sample, 0, false);
	struct cpu_state *state = sample_translate(&vcpu);
	uint64_t value;
	uint32_t mxcsr;

	cr_assert_eq(state->regs.rax, 0xffffffffa00178a0);
	cr_assert_eq(state->regs.rcx, 1);
	cr_assert_eq(state->regs.rdx, 0x4000000000000000);
	cr_assert_eq(state->regs.rip, 0xffffffffa0017a0b);
	cr_assert_eq(state->regs.rflags, 0x202);
	cr_assert_eq(state->mp_state, CPU_MP_HALTED);
	cr_assert_eq(state->sregs.cr0, 0x80050033);
	cr_assert_eq(state->sregs.cr2, 0x4bf7a1);
	cr_assert_eq(state->sregs.cr3, 0x2798000);
	cr_assert_eq(state->sregs.cr4, 0x3106b0);
	cr_assert_eq(state->sregs.efer, 0xd01);
	/* CS =0010 0000000000000000 ffffffff 00a09b00 DPL=0 CS64 [-RA] */
	cr_assert_eq(state->sregs.cs.selector, 0x10);
	cr_assert_eq(state->sregs.cs.limit, 0xffffffff);
	cr_assert_eq(state->sregs.cs.type, 0xb);
	cr_assert_eq(state->sregs.cs.l, 1);
	cr_assert_eq(state->sregs.cs.db, 0);
	cr_assert_eq(state->sregs.cs.g, 1);
	cr_assert_eq(state->sregs.gdt.base, 0xfffffe0000001000);
	cr_assert_eq(state->sregs.gdt.limit, 0x7f);
	cr_assert_eq(state->debugregs.dr6, 0xffff0ff0);
	cr_assert_eq(state->debugregs.dr7, 0x400);
	memcpy(&mxcsr, state->xsave.bytes + 24, 4);
	cr_assert_eq(mxcsr, 0x1fa0);
	memcpy(&value, state->xsave.bytes + 160, 8);
	cr_assert_eq(value, 0x000000000000ff00); /* XMM00, low half */
	/* info lapic */
	cr_assert_eq(cpu_lapic_read(&state->lapic, 0x320), 0x400ec);
	cr_assert_eq(cpu_lapic_read(&state->lapic, 0xf0), 0x1ff);
	cr_assert_eq(cpu_lapic_read(&state->lapic, 0x80), 0x10);
	cr_assert_eq(cpu_lapic_read(&state->lapic, 0x310), 1);
	cr_assert(cpu_state_msr(state, 0x6e0, &value));
	cr_assert_neq(value, 0);
	cpu_state_free(state);
	sample_close(&sample);
}

/* KVM takes no other id (kvm_apic_state_fixup, arch/x86/kvm/lapic.c). */
Test(cpu_sections, an_x2apic_has_the_id_of_its_vcpu)
{
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = sample_vcpu(&sample, 1, false);
	struct cpu_state *state;

	vcpu.apic.apicbase |= 1 << 10;
	state = sample_translate(&vcpu);
	cr_assert_eq(cpu_lapic_read(&state->lapic, 0x20), 1);
	cpu_state_free(state);
	vcpu.apic.apicbase &= ~(1U << 10);
	state = sample_translate(&vcpu);
	cr_assert_eq(cpu_lapic_read(&state->lapic, 0x20), 1 << 24);
	cpu_state_free(state);
	sample_close(&sample);
}

/* What a fork did after the fork is in the section that is written. */
Test(cpu_sections, changes_of_a_fork_are_written)
{
	static const uint64_t ymm0[2] = {0x1111, 0x2222};
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = sample_vcpu(&sample, 1, false);
	struct cpu_state *state = sample_translate(&vcpu);
	struct qemu_cpu *cpu = &vcpu.cpu;
	struct lf_error error;
	uint64_t bv;

	memcpy(&bv, state->xsave.bytes + 512, 8);
	bv |= 4;
	memcpy(state->xsave.bytes + 512, &bv, 8);
	memcpy(state->xsave.bytes + 576, ymm0, sizeof(ymm0));
	cpu_state_set_msr(state, 0x6e0, 0x123456789, &error);
	cpu_state_set_msr(state, 0x277, 0x0606060606060606, &error);
	cpu_state_set_msr(state, 0xc0000102, 0xffff888000000000, &error);
	state->debugregs.dr7 = 0x401;
	state->events.exception.injected = 1;
	state->events.exception.nr = 6;
	state->events.exception.has_error_code = 0;
	state->sregs.ss.dpl = 3;
	state->regs.rflags |= 1 << 8;

	cr_assert_eq(qemu_vcpu_from_state(&vcpu, &sample_layout, state, &error),
	    0, "%s", error.message);
	cr_assert_eq(cpu->ymmh[0].a, 0x1111);
	cr_assert_eq(cpu->ymmh[0].b, 0x2222);
	cr_assert_eq(cpu->xstate_bv & 4, 4);
	cr_assert_eq(cpu->tsc_deadline, 0x123456789);
	cr_assert_eq(cpu->pat, 0x0606060606060606);
	cr_assert_eq(cpu->kernelgsbase, 0xffff888000000000);
	cr_assert_eq(cpu->dr[7], 0x401);
	cr_assert_eq(cpu->exception_nr, 6);
	cr_assert_eq(cpu->hflags & 0x103, 0x103); /* TF and CPL 3 */
	cpu_state_free(state);
	sample_close(&sample);
}

Test(cpu_sections, a_fault_whose_code_the_stream_loses_is_raised_again)
{
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = sample_vcpu(&sample, 0, false);
	struct cpu_state *state = sample_translate(&vcpu);
	struct lf_error error;

	state->events.exception.injected = 1;
	state->events.exception.nr = 14;
	state->events.exception.has_error_code = 1;
	state->events.exception.error_code = 7;
	cr_assert_eq(
	    qemu_vcpu_from_state(&vcpu, &sample_layout, state, &error), 0);
	cr_assert_eq(vcpu.cpu.exception_nr, -1);
	cpu_state_free(state);
	sample_close(&sample);
}

/* Above the guest's address bits a mask is ones for QEMU, zeros for KVM. */
Test(cpu_sections, masks_of_mtrrs_are_cut_and_filled)
{
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = sample_vcpu(&sample, 0, false);
	uint64_t before = vcpu.cpu.mtrr_var[0].b, value;
	struct cpu_state *state = sample_fresh_state();
	struct lf_error error;

	cr_assert_eq(before >> 40, 0xfff);
	vcpu.phys_bits = 40;
	cr_assert_eq(
	    qemu_vcpu_to_state(&vcpu, &sample_layout, state, &error), 0);
	cr_assert(cpu_state_msr(state, 0x201, &value));
	cr_assert_eq(value, before & 0xffffffffff);
	cr_assert_eq(
	    qemu_vcpu_from_state(&vcpu, &sample_layout, state, &error), 0);
	cr_assert_eq(vcpu.cpu.mtrr_var[0].b, before);
	cpu_state_free(state);
	sample_close(&sample);
}

Test(cpu_sections, the_hypervisor_msrs_of_an_enlightened_guest_are_there)
{
	static const uint32_t wanted[] = {
	    0x40000000, 0x40000001, 0x40000021, 0x40000073};
	struct sample sample = sample_open("kvm-hyperv");
	struct qemu_vcpu vcpu = sample_vcpu(&sample, 0, false);
	struct cpu_state *state = sample_translate(&vcpu);
	uint64_t value;
	size_t i;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		cr_assert(
		    cpu_state_msr(state, wanted[i], &value), "0x%x", wanted[i]);
		cr_assert_neq(value, 0, "0x%x", wanted[i]);
	}
	cpu_state_free(state);
	sample_close(&sample);
}

Test(cpu_sections, what_libfork_does_not_know_is_named)
{
	struct sample sample = sample_open("kvm-smp2");
	const struct stream_section *section =
	    stream_find(sample.stream, "cpu", 0);
	struct vmdesc_device device = *section->device;
	struct vmdesc_node *nodes =
	    malloc(device.node_count * sizeof(*device.nodes));
	struct lf_error error;
	struct qemu_cpu cpu;
	struct stream_section changed = *section;
	uint32_t i;

	memcpy(nodes, device.nodes, device.node_count * sizeof(*nodes));
	device.nodes = nodes;
	changed.device = &device;
	for (i = 0; nodes[i].kind != VMDESC_SUBSECTION; i++)
		;
	nodes[i].name = "cpu/from_the_future";
	cr_assert_eq(
	    qemu_cpu_load(sample.stream, &changed, &cpu, &error), -ENOTSUP);
	cr_assert_str_eq(error.message,
	    "section 'cpu': subsection 'cpu/from_the_future' is state that "
	    "libfork does not know");

	nodes[i].name = section->device->nodes[i].name;
	nodes[1].name = "env.rip";
	cr_assert_eq(
	    qemu_cpu_load(sample.stream, &changed, &cpu, &error), -EBADMSG);
	cr_assert_str_eq(
	    error.message, "section 'cpu': it has no field 'env.eip'");

	nodes[1].name = "env.eip";
	nodes[1].size = 4;
	cr_assert_eq(
	    qemu_cpu_load(sample.stream, &changed, &cpu, &error), -EBADMSG);
	cr_assert_str_eq(
	    error.message, "section 'cpu', field 'env.eip': 4 bytes, 8 wanted");
	free(nodes);
	sample_close(&sample);
}

/* Where a freeze let it through, no fork without device model gets it. */
Test(cpu_sections, a_nested_guest_is_refused)
{
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = sample_vcpu(&sample, 0, false);
	struct cpu_state *state = sample_fresh_state();
	int nested =
	    vmstate_subsection_index(&qemu_cpu_table, "cpu/nested_state");
	struct lf_error error;

	cr_assert_geq(nested, 0);
	vcpu.cpu.hflags |= 1 << 21;
	cr_assert_eq(
	    qemu_vcpu_to_state(&vcpu, &sample_layout, state, &error), -ENOTSUP);
	cr_assert_not_null(
	    strstr(error.message, "nested guest"), "%s", error.message);
	vcpu.cpu.hflags &= ~(1U << 21);
	vcpu.cpu.found.present |= UINT64_C(1) << nested;
	cr_assert_eq(
	    qemu_vcpu_to_state(&vcpu, &sample_layout, state, &error), -ENOTSUP);
	cpu_state_free(state);
	sample_close(&sample);
}

Test(cpu_sections, a_component_without_a_place_is_refused)
{
	static const struct cpu_cpuid none = {0};
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = sample_vcpu(&sample, 0, false);
	struct cpu_state *state = sample_fresh_state();
	struct lf_error error;

	vcpu.cpu.ymmh[3].a = 1;
	cr_assert_eq(qemu_vcpu_to_state(&vcpu, &none, state, &error), -ENOTSUP);
	cr_assert_str_eq(
	    error.message, "the guest uses AVX, which this CPU does not have");
	cpu_state_free(state);
	sample_close(&sample);
}
