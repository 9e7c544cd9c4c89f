/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/: the vCPU sections of real streams (tests/data/streams). Expected
 * values are what `info registers` and `info lapic` of the same, paused QEMU
 * showed.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libfork/devstate.h>

#include "base/cleanup.h"
#include "cpu/state.h"
#include "lib/fault.h"
#include "qemu/chip_sections.h"
#include "qemu/cpu_translate.h"
#include "qemu/devstate_write.h"
#include "qemu/stream.h"
#include "qemu/timer_section.h"

struct sample {
	uint8_t *data;
	size_t len;
	struct stream *stream;
};

static struct sample
sample_open(const char *name)
{
	struct sample sample;
	struct lf_error error;
	struct stat st;
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/tests/data/streams/%s.stream",
	    getenv("top_srcdir"), name);
	file = fopen(path, "r");
	cr_assert_not_null(file, "%s", path);
	fstat(fileno(file), &st);
	sample.len = (size_t)st.st_size;
	sample.data = malloc(sample.len);
	cr_assert_eq(fread(sample.data, 1, sample.len, file), sample.len);
	fclose(file);
	cr_assert_eq(
	    stream_parse(sample.data, sample.len, NULL, &sample.stream, &error),
	    0, "%s", error.message);
	return sample;
}

static void
sample_close(struct sample *sample)
{
	stream_free(sample->stream);
	free(sample->data);
}

/* An AMD layout: AVX at 576, protection keys at 2432. */
static const struct cpu_cpuid cpuid = {
    .count = 2,
    .entry =
	{
	    {.function = 0xd,
		.index = 2,
		.flags = CPU_CPUID_INDEXED,
		.eax = 256,
		.ebx = 576},
	    {.function = 0xd,
		.index = 9,
		.flags = CPU_CPUID_INDEXED,
		.eax = 8,
		.ebx = 2432},
	},
};

/* What a fresh vCPU of an AMD host has. */
static struct cpu_state *
fresh_state(void)
{
	struct cpu_state *state = cpu_state_new(0);

	state->lapic.present = 1;
	state->nested.size = 128;
	state->nested.format = 1;
	return state;
}

static struct qemu_vcpu
load(const struct sample *sample, unsigned index, bool tcg)
{
	struct qemu_vcpu vcpu;
	struct lf_error error;

	cr_assert_eq(qemu_vcpu_load(sample->stream, index, tcg, &vcpu, &error),
	    0, "%s", error.message);
	return vcpu;
}

static struct cpu_state *
translate(const struct qemu_vcpu *vcpu)
{
	struct cpu_state *state = fresh_state();
	struct lf_error error;

	cr_assert_eq(qemu_vcpu_to_state(vcpu, &cpuid, state, &error), 0, "%s",
	    error.message);
	return state;
}

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
	struct qemu_vcpu vcpu = load(&sample, of->index, of->tcg);
	struct writer w;

	writer_init(&w);
	qemu_cpu_save(&vcpu.cpu, &w);
	assert_same_section(&sample, "cpu", of->index, &w);
	writer_reset(&w);
	qemu_apic_save(&vcpu.apic, &w);
	assert_same_section(&sample, "apic", of->index, &w);
	writer_done(&w);
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
	struct qemu_vcpu vcpu = load(&sample, of->index, of->tcg);
	struct cpu_state *state = translate(&vcpu);
	uint64_t bv = vcpu.cpu.xstate_bv;
	struct lf_error error;
	struct writer w;

	cr_assert_eq(qemu_vcpu_from_state(&vcpu, &cpuid, state, &error), 0,
	    "%s", error.message);
	/* A TCG does not keep XSTATE_BV up to date. */
	if (of->tcg)
		vcpu.cpu.xstate_bv = bv;
	writer_init(&w);
	qemu_cpu_save(&vcpu.cpu, &w);
	assert_same_section(&sample, "cpu", of->index, &w);
	writer_reset(&w);
	qemu_apic_save(&vcpu.apic, &w);
	assert_same_section(&sample, "apic", of->index, &w);
	writer_done(&w);
	cpu_state_free(state);
	sample_close(&sample);
}

Test(cpu_sections, state_is_what_info_registers_shows)
{
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = load(&sample, 0, false);
	struct cpu_state *state = translate(&vcpu);
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
	struct qemu_vcpu vcpu = load(&sample, 1, false);
	struct cpu_state *state;

	vcpu.apic.apicbase |= 1 << 10;
	state = translate(&vcpu);
	cr_assert_eq(cpu_lapic_read(&state->lapic, 0x20), 1);
	cpu_state_free(state);
	vcpu.apic.apicbase &= ~(1U << 10);
	state = translate(&vcpu);
	cr_assert_eq(cpu_lapic_read(&state->lapic, 0x20), 1 << 24);
	cpu_state_free(state);
	sample_close(&sample);
}

/* What a fork did after the fork is in the section that is written. */
Test(cpu_sections, changes_of_a_fork_are_written)
{
	static const uint64_t ymm0[2] = {0x1111, 0x2222};
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = load(&sample, 1, false);
	struct cpu_state *state = translate(&vcpu);
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

	cr_assert_eq(qemu_vcpu_from_state(&vcpu, &cpuid, state, &error), 0,
	    "%s", error.message);
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
	struct qemu_vcpu vcpu = load(&sample, 0, false);
	struct cpu_state *state = translate(&vcpu);
	struct lf_error error;

	state->events.exception.injected = 1;
	state->events.exception.nr = 14;
	state->events.exception.has_error_code = 1;
	state->events.exception.error_code = 7;
	cr_assert_eq(qemu_vcpu_from_state(&vcpu, &cpuid, state, &error), 0);
	cr_assert_eq(vcpu.cpu.exception_nr, -1);
	cpu_state_free(state);
	sample_close(&sample);
}

/* Above the guest's address bits a mask is ones for QEMU, zeros for KVM. */
Test(cpu_sections, masks_of_mtrrs_are_cut_and_filled)
{
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = load(&sample, 0, false);
	uint64_t before = vcpu.cpu.mtrr_var[0].b, value;
	struct cpu_state *state = fresh_state();
	struct lf_error error;

	cr_assert_eq(before >> 40, 0xfff);
	vcpu.phys_bits = 40;
	cr_assert_eq(qemu_vcpu_to_state(&vcpu, &cpuid, state, &error), 0);
	cr_assert(cpu_state_msr(state, 0x201, &value));
	cr_assert_eq(value, before & 0xffffffffff);
	cr_assert_eq(qemu_vcpu_from_state(&vcpu, &cpuid, state, &error), 0);
	cr_assert_eq(vcpu.cpu.mtrr_var[0].b, before);
	cpu_state_free(state);
	sample_close(&sample);
}

Test(cpu_sections, the_hypervisor_msrs_of_an_enlightened_guest_are_there)
{
	static const uint32_t wanted[] = {
	    0x40000000, 0x40000001, 0x40000021, 0x40000073};
	struct sample sample = sample_open("kvm-hyperv");
	struct qemu_vcpu vcpu = load(&sample, 0, false);
	struct cpu_state *state = translate(&vcpu);
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
	struct qemu_vcpu vcpu = load(&sample, 0, false);
	struct cpu_state *state = fresh_state();
	int nested =
	    vmstate_subsection_index(&qemu_cpu_table, "cpu/nested_state");
	struct lf_error error;

	cr_assert_geq(nested, 0);
	vcpu.cpu.hflags |= 1 << 21;
	cr_assert_eq(
	    qemu_vcpu_to_state(&vcpu, &cpuid, state, &error), -ENOTSUP);
	cr_assert_not_null(
	    strstr(error.message, "nested guest"), "%s", error.message);
	vcpu.cpu.hflags &= ~(1U << 21);
	vcpu.cpu.found.present |= UINT64_C(1) << nested;
	cr_assert_eq(
	    qemu_vcpu_to_state(&vcpu, &cpuid, state, &error), -ENOTSUP);
	cpu_state_free(state);
	sample_close(&sample);
}

Test(cpu_sections, a_component_without_a_place_is_refused)
{
	static const struct cpu_cpuid none = {0};
	struct sample sample = sample_open("kvm-smp2");
	struct qemu_vcpu vcpu = load(&sample, 0, false);
	struct cpu_state *state = fresh_state();
	struct lf_error error;

	vcpu.cpu.ymmh[3].a = 1;
	cr_assert_eq(qemu_vcpu_to_state(&vcpu, &none, state, &error), -ENOTSUP);
	cr_assert_str_eq(
	    error.message, "the guest uses AVX, which this CPU does not have");
	cpu_state_free(state);
	sample_close(&sample);
}

/* --- whole streams --- */

struct forked {
	struct sample sample;
	struct cpu_state *states[2];
	struct devstate_parts parts;
};

static struct forked
forked_open(const char *name, unsigned vcpus, bool tcg)
{
	struct forked forked = {.sample = sample_open(name)};
	unsigned i;

	for (i = 0; i < vcpus; i++) {
		struct qemu_vcpu vcpu = load(&forked.sample, i, tcg);

		forked.states[i] = translate(&vcpu);
	}
	/* A TCG's is with its timers. */
	if (tcg) {
		struct qemu_timer timer;
		struct lf_error error;

		cr_assert_eq(
		    qemu_timer_load(forked.sample.stream, &timer, &error), 0);
		forked.states[0]->tsc.tsc = timer.ticks;
	}
	forked.parts = (struct devstate_parts){
	    .base = forked.sample.stream,
	    .tcg = tcg,
	    .vcpu_count = vcpus,
	    .cpuid = &cpuid,
	};
	return forked;
}

static void
forked_close(struct forked *forked)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		cpu_state_free(forked->states[i]);
	sample_close(&forked->sample);
}

static int
note(void *opaque, const char *path, const struct lf_devstate_item *a,
    const struct lf_devstate_item *b)
{
	char *text = opaque;

	snprintf(text + strlen(text), 1024 - strlen(text), "%s%s%s ",
	    a == NULL ? "+" : "", b == NULL ? "-" : "", path);
	return 0;
}

/* Writes the fork's stream and says in which items it differs. */
static void
write_and_compare(struct forked *forked, const char *name, char *text)
{
	struct lf_devstate *before = NULL, *after = NULL;
	struct lf_error error;
	cleanup_close int file = -1, fd = -1;
	char path[4096];
	uint64_t len;

	forked->parts.vcpus = forked->states;
	cr_assert_eq(devstate_write(&forked->parts, &fd, &len, &error), 0, "%s",
	    error.message);
	snprintf(path, sizeof(path), "%s/tests/data/streams/%s.stream",
	    getenv("top_srcdir"), name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(lf_devstate_open(file, &before, &error), 0);
	cr_assert_eq(
	    lf_devstate_open(fd, &after, &error), 0, "%s", error.message);
	text[0] = '\0';
	lf_devstate_compare(before, after, note, text, &error);
	lf_devstate_free(before);
	lf_devstate_free(after);
}

Test(fork_stream, of_a_fork_that_did_not_run_differs_in_the_clock_only)
{
	struct forked forked = forked_open("kvm-smp2", 2, false);
	char text[1024];

	write_and_compare(&forked, "kvm-smp2", text);
	cr_assert_str_eq(
	    text, "-kvmclock[0].kvmclock/clock_is_reliable.clock_is_reliable ");
	forked_close(&forked);
}

Test(fork_stream, of_a_tcg_parent_is_the_parents)
{
	struct forked forked = forked_open("tcg-max", 1, true);
	char text[1024];

	write_and_compare(&forked, "tcg-max", text);
	cr_assert_str_eq(text, "cpu[0].env.xstate_bv ");
	forked_close(&forked);
}

/* Whether a vCPU is halted is not only in "cpu", under TCG not even there. */
Test(fork_stream, says_of_each_vcpu_whether_it_is_halted)
{
	struct forked kvm = forked_open("kvm-smp2", 2, false);
	struct forked tcg = forked_open("tcg-max", 1, true);
	bool halted = tcg.states[0]->mp_state == CPU_MP_HALTED;
	char text[1024];

	kvm.states[0]->mp_state = CPU_MP_RUNNABLE;
	write_and_compare(&kvm, "kvm-smp2", text);
	cr_assert_not_null(
	    strstr(text, "cpu_common[0].halted cpu[0].env.mp_state "), "%s",
	    text);
	tcg.states[0]->mp_state = halted ? CPU_MP_RUNNABLE : CPU_MP_HALTED;
	write_and_compare(&tcg, "tcg-max", text);
	cr_assert_str_eq(text, "cpu_common[0].halted cpu[0].env.xstate_bv ");
	forked_close(&kvm);
	forked_close(&tcg);
}

/* Subsections that the parent had no need of are described as well. */
Test(fork_stream, has_new_subsections_and_a_clock_that_went_on)
{
	struct forked forked = forked_open("kvm-smp2", 2, false);
	struct lf_error error;
	char text[1024];

	cpu_state_set_msr(forked.states[1], 0x3b, 12345, &error);
	cpu_state_set_msr(forked.states[1], 0x6e0, 0, &error);
	forked.states[0]->tsc.tsc += 1000000;
	forked.states[0]->tsc.khz = 2000000;
	forked.states[0]->events.triple_fault.pending = 1;
	write_and_compare(&forked, "kvm-smp2", text);
	cr_assert_str_eq(text,
	    "timer[0].cpu_clock_offset "
	    "cpu[0].env.tsc "
	    "-cpu[1].cpu/msr_tscdeadline.env.tsc_deadline "
	    "kvmclock[0].clock "
	    "-kvmclock[0].kvmclock/clock_is_reliable.clock_is_reliable "
	    "+cpu[0].cpu/triple_fault.env.triple_fault_pending "
	    "+cpu[1].cpu/msr_tsc_adjust.env.tsc_adjust ",
	    "%s", text);
	forked_close(&forked);
}

/*
 * Under a TCG all clocks are QEMU's own, and so is the timer of an APIC: one
 * that the fork set begins when the fork ended.
 */
Test(fork_stream, of_a_tcg_parent_has_clocks_that_went_on)
{
	struct forked forked = forked_open("tcg-max", 1, true);
	struct cpu_state *state = forked.states[0];
	struct qemu_vcpu vcpu = load(&forked.sample, 0, true);
	struct qemu_timer timer;
	struct lf_error error;
	char text[1024];

	state->tsc.tsc += 1000000;
	state->tsc.khz = 2000000;
	write_and_compare(&forked, "tcg-max", text);
	cr_assert_str_eq(text,
	    "timer[0].cpu_ticks_offset timer[0].cpu_clock_offset "
	    "cpu[0].env.xstate_bv ");
	cr_assert_eq(qemu_timer_load(forked.sample.stream, &timer, &error), 0);
	qemu_timer_go_on(&timer, 1000000, 2000000, true);
	cr_assert_eq(timer.ticks, state->tsc.tsc);
	vcpu.clock = timer.clock;

	cpu_lapic_write(&state->lapic, 0x320, 0xec);
	cpu_lapic_write(&state->lapic, 0x380, 999);
	cpu_lapic_write(&state->lapic, 0x3e0, 3); /* divided by 16 */
	cr_assert_eq(qemu_vcpu_from_state(&vcpu, &cpuid, state, &error), 0);
	cr_assert_eq(vcpu.apic.initial_count_load_time, timer.clock);
	cr_assert_eq(vcpu.apic.timer_expiry, timer.clock + 1000 * 16);
	cpu_lapic_write(&state->lapic, 0x320, 0x100ec);
	cr_assert_eq(qemu_vcpu_from_state(&vcpu, &cpuid, state, &error), 0);
	cr_assert_eq(vcpu.apic.timer_expiry, UINT64_MAX);
	forked_close(&forked);
}

Test(fork_stream, every_failed_call_is_an_error_and_leaks_nothing)
{
	struct forked forked = forked_open("kvm-smp2", 2, false);

	forked.parts.vcpus = forked.states;
	FAULT_LOOP(fault)
	{
		struct lf_error error;
		uint64_t len;
		int fd = -1, rc;

		rc = devstate_write(&forked.parts, &fd, &len, &error);
		fault_end(&fault);
		if (fault.hit) {
			cr_assert_lt(
			    rc, 0, "call %lu (%s)", fault.round, fault.name);
			cr_assert_eq(fd, -1);
		} else {
			cr_assert_eq(rc, 0);
			close(fd);
		}
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	forked_close(&forked);
}

/* --- changed streams --- */

/*
 * What a stream with a changed byte becomes: refused with a reason, or a fork
 * whose own stream can be read.
 */
static void
import_changed(const uint8_t *data, size_t len, unsigned vcpus, bool tcg)
{
	struct cpu_state *states[2] = {fresh_state(), fresh_state()};
	struct qemu_vcpu *vcpu = malloc(sizeof(*vcpu));
	struct cpu_chips chips = {0};
	struct qemu_chips sections;
	struct stream *stream = NULL;
	struct lf_error error = {0};
	struct devstate_parts parts = {
	    .tcg = tcg,
	    .vcpu_count = vcpus,
	    .vcpus = states,
	    .chips = &chips,
	    .cpuid = &cpuid,
	};
	int rc = stream_parse(data, len, NULL, &stream, &error), fd;
	uint64_t written;

	for (unsigned i = 0; i < vcpus && rc == 0; i++) {
		rc = qemu_vcpu_load(stream, i, tcg, vcpu, &error);
		if (rc == 0)
			rc =
			    qemu_vcpu_to_state(vcpu, &cpuid, states[i], &error);
	}
	if (rc == 0)
		rc = qemu_chips_load(stream, &sections, &error);
	if (rc == 0) {
		qemu_chips_to_state(&sections, tcg, &chips);
		parts.base = stream;
		rc = devstate_write(&parts, &fd, &written, &error);
		if (rc == 0)
			close(fd);
	}
	cr_assert(rc == 0 || error.message[0] != '\0', "no reason for %d", rc);
	stream_free(stream);
	cpu_state_free(states[0]);
	cpu_state_free(states[1]);
	free(vcpu);
}

static void
change_bytes(const char *name, unsigned vcpus, bool tcg, size_t stride)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	struct sample sample = sample_open(name);
	int descriptors = fault_open_descriptors();

	for (size_t at = 0; at < sample.len; at += stride) {
		uint8_t mask = masks[at % 3];

		sample.data[at] ^= mask;
		import_changed(sample.data, sample.len, vcpus, tcg);
		sample.data[at] ^= mask;
	}
	cr_assert_eq(fault_open_descriptors(), descriptors);
	sample_close(&sample);
}

/* Some bytes in check, every one in soak. */
Test(fork_stream, any_changed_byte_is_survived, .timeout = 3000)
{
	size_t stride = getenv("LF_SOAK") != NULL ? 1 : 911;

	change_bytes("kvm-smp2", 2, false, stride);
	change_bytes("kvm-hyperv", 1, false, stride);
	change_bytes("tcg-max", 1, true, stride);
}
