/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/devstate_write: the streams of forks of real ones (tests/data/streams),
 * compared with their parents', item by item.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libfork/devstate.h>

#include "base/cleanup.h"
#include "cpu/state.h"
#include "lib/fault.h"
#include "lib/sample.h"
#include "qemu/chip_sections.h"
#include "qemu/devfile.h"
#include "qemu/devstate_write.h"
#include "qemu/timer_section.h"

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
		struct qemu_vcpu vcpu = sample_vcpu(&forked.sample, i, tcg);

		forked.states[i] = sample_translate(&vcpu);
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
	    .cpuid = &sample_layout,
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

/* The sections alone are those of the whole stream, in its order. */
static void
compare_sections(const struct devstate_parts *parts, int fd)
{
	struct devstate_sections sections;
	struct devfile *whole = NULL;
	struct lf_error error;
	size_t i;

	cr_assert_eq(devstate_sections_make(parts, &sections, &error), 0, "%s",
	    error.message);
	cr_assert_eq(devfile_read(fd, NULL, &whole, &error), 0);
	cr_assert_geq(sections.count, 3 * parts->vcpu_count);
	for (i = 0; i < sections.count; i++) {
		const struct stream_override *one = &sections.overrides[i];
		const struct stream_section *section =
		    stream_find(whole->stream, one->name, one->instance_id);

		cr_assert_eq(section->length, one->len, "%s", one->name);
		cr_assert_eq(memcmp(whole->stream->data + section->offset,
				 one->body, one->len),
		    0, "%s", one->name);
	}
	devfile_free(whole);
	devstate_sections_done(&sections);
}

/* Writes the fork's stream and says in which items it differs. */
static void
write_and_compare(struct forked *forked, const char *name, char *text)
{
	struct lf_devstate *before = NULL, *after = NULL;
	struct lf_error error;
	cleanup_close int file = -1, fd = -1;
	uint64_t len;

	forked->parts.vcpus = forked->states;
	cr_assert_eq(devstate_write(&forked->parts, &fd, &len, &error), 0, "%s",
	    error.message);
	compare_sections(&forked->parts, fd);
	file = sample_fd(name);
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
	struct qemu_vcpu vcpu = sample_vcpu(&forked.sample, 0, true);
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
	cr_assert_eq(
	    qemu_vcpu_from_state(&vcpu, &sample_layout, state, &error), 0);
	cr_assert_eq(vcpu.apic.initial_count_load_time, (uint64_t)timer.clock);
	cr_assert_eq(vcpu.apic.timer_expiry, (uint64_t)timer.clock + 1000 * 16);
	cpu_lapic_write(&state->lapic, 0x320, 0x100ec);
	cr_assert_eq(
	    qemu_vcpu_from_state(&vcpu, &sample_layout, state, &error), 0);
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

Test(fork_stream, every_failed_call_leaves_no_sections)
{
	struct forked forked = forked_open("kvm-smp2", 2, false);

	forked.parts.vcpus = forked.states;
	FAULT_LOOP(fault)
	{
		struct devstate_sections sections = {0};
		struct lf_error error;
		int rc =
		    devstate_sections_make(&forked.parts, &sections, &error);

		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "call %lu (%s)", fault.round,
		    fault.name);
		cr_assert_eq(rc < 0, sections.overrides == NULL);
		devstate_sections_done(&sections);
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
	struct cpu_state *states[2] = {
	    sample_fresh_state(), sample_fresh_state()};
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
	    .cpuid = &sample_layout,
	};
	int rc = stream_parse(data, len, NULL, &stream, &error), fd;
	uint64_t written;

	for (unsigned i = 0; i < vcpus && rc == 0; i++) {
		rc = qemu_vcpu_load(stream, i, tcg, vcpu, &error);
		if (rc == 0)
			rc = qemu_vcpu_to_state(
			    vcpu, &sample_layout, states[i], &error);
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
