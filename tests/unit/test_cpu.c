/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cpu/: the state table (order, copies, comparisons, printing) and CPUID
 * tables.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/fields.h"
#include "cpu/msr.h"
#include "cpu/state.h"
#include "lib/fault.h"

static struct cpu_state *
full_state(void)
{
	struct cpu_state *state = cpu_state_new(0);

	cr_assert_not_null(state);
	state->groups = CPU_GROUP_ALL;
	state->lapic.present = 1;
	cr_assert_eq(cpu_state_set_msr(state, MSR_LSTAR, 0x1234, NULL), 0);
	return state;
}

Test(state, groups_are_loaded_in_the_kernels_order)
{
	static const char *const order[] = {"mp_state", "regs", "sregs",
	    "nested", "xsave", "xcrs", "debugregs", "lapic", "msrs", "tsc",
	    "events"};
	unsigned i;

	cr_assert_eq(CPU_GROUP_COUNT, sizeof(order) / sizeof(order[0]));
	for (i = 0; i < CPU_GROUP_COUNT; i++)
		cr_assert_str_eq(cpu_group_name(i), order[i]);
}

Test(state, msrs_stay_in_order_whatever_comes_first)
{
	struct cpu_state *state = cpu_state_new(0);
	uint64_t value;

	cpu_state_set_msr(state, MSR_TSC_DEADLINE, 3, NULL);
	cpu_state_set_msr(state, MSR_STAR, 1, NULL);
	cpu_state_set_msr(state, MSR_TSC_ADJUST, 2, NULL);
	cpu_state_set_msr(state, MSR_LSTAR, 4, NULL);
	cpu_state_set_msr(state, MSR_STAR, 5, NULL);
	cr_assert_eq(state->msrs.count, 4);
	cr_assert_eq(state->msrs.entry[0].index, MSR_TSC_ADJUST);
	cr_assert_eq(state->msrs.entry[1].index, MSR_STAR);
	cr_assert_eq(state->msrs.entry[2].index, MSR_LSTAR);
	cr_assert_eq(state->msrs.entry[3].index, MSR_TSC_DEADLINE);
	cr_assert(cpu_state_msr(state, MSR_STAR, &value));
	cr_assert_eq(value, 5);
	cr_assert_not(cpu_state_msr(state, MSR_EFER, &value));
	cpu_state_free(state);
}

Test(state, one_msr_too_many_is_refused)
{
	struct cpu_state *state = cpu_state_new(0);
	struct lf_error error;
	unsigned i;

	for (i = 0; i < CPU_MSRS_MAX; i++)
		cr_assert_eq(cpu_state_set_msr(state, i, i, &error), 0);
	cr_assert_eq(cpu_state_set_msr(state, 0x1000, 1, &error), -ENOSPC);
	cr_assert_str_eq(error.message,
	    "MSR 0x1000: the state holds 512 MSRs already, the most it can");
	cpu_state_free(state);
}

/* Every field that is compared: a change of each is found and named. */
Test(state, a_difference_in_any_field_is_found_and_named)
{
	struct cpu_state *wanted = full_state(), *found = full_state();
	struct lf_error error;
	size_t i;

	wanted->sregs.flags = found->sregs.flags = CPU_SREGS_PDPTRS_VALID;
	for (i = 0; i < cpu_field_count; i++) {
		const struct cpu_field *field = &cpu_fields[i];
		uint8_t *byte = (uint8_t *)found + field->offset;
		char name[64];
		int rc;

		*byte ^= 1;
		rc = cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error);
		*byte ^= 1;
		if (field->kind == CPU_FIELD_SHOWN) {
			cr_assert_eq(
			    rc, 0, "%s: %s", field->name, error.message);
			continue;
		}
		cr_assert_eq(rc, -EBADMSG, "%s", field->name);
		snprintf(name, sizeof(name), "%s.%s",
		    cpu_group_name(field->group), field->name);
		cr_assert_not_null(
		    strstr(error.message, name), "%s", error.message);
	}
	cr_assert_eq(
	    cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), 0);
	cpu_state_free(wanted);
	cpu_state_free(found);
}

Test(state, values_that_run_or_mean_nothing_are_no_difference)
{
	struct cpu_state *wanted = full_state(), *found = full_state();
	struct lf_error error = {0};

	found->tsc.tsc = 99;
	cpu_state_set_msr(wanted, MSR_APERF, 1, NULL);
	cpu_state_set_msr(found, MSR_APERF, 2, NULL);
	cpu_lapic_write(&found->lapic, CPU_LAPIC_TIMER_CURRENT, 77);
	found->xsave.bytes[512] = 3; /* XSTATE_BV */
	found->sregs.cs.g = 1;
	found->sregs.pdptrs[2] = 5; /* not valid */
	/* Unusable, however it is said. */
	wanted->sregs.ldt.unusable = 1;
	wanted->sregs.ldt.present = 1;
	found->sregs.ldt.present = 0;
	cr_assert_eq(cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), 0,
	    "%s", error.message);
	cpu_state_free(wanted);
	cpu_state_free(found);
}

Test(state, a_deadline_that_has_passed_is_no_difference)
{
	struct cpu_state *wanted = full_state(), *found = full_state();
	struct lf_error error = {0};

	cpu_state_set_msr(wanted, MSR_TSC_DEADLINE, 1000, NULL);
	cpu_state_set_msr(found, MSR_TSC_DEADLINE, 0, NULL);
	found->tsc.tsc = 999;
	cr_assert_eq(
	    cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), -EBADMSG);
	cr_assert_str_eq(
	    error.message, "MSRs differ: msrs.0x6e0 is 0x0, 0x3e8 wanted");
	found->tsc.tsc = 1000;
	cr_assert_eq(cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), 0,
	    "%s", error.message);
	/* Another one was set meanwhile. */
	cpu_state_set_msr(found, MSR_TSC_DEADLINE, 1001, NULL);
	cr_assert_eq(
	    cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), -EBADMSG);
	/* None was, and none is passed. */
	cpu_state_set_msr(wanted, MSR_TSC_DEADLINE, 0, NULL);
	cr_assert_eq(
	    cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), -EBADMSG);
	cpu_state_free(wanted);
	cpu_state_free(found);
}

Test(state, the_parts_without_fields_are_compared_too)
{
	struct cpu_state *wanted = full_state(), *found = full_state();
	struct lf_error error;

	found->xsave.bytes[160] = 0x42;
	cr_assert_eq(
	    cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), -EBADMSG);
	cr_assert_str_eq(error.message,
	    "FPU and vector registers differ: xsave.byte[0xa0] is 0x42, 0x0 "
	    "wanted");
	found->xsave.bytes[160] = 0;
	cpu_lapic_write(&found->lapic, 0x80, 0x20);
	cr_assert_eq(
	    cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), -EBADMSG);
	cr_assert_str_eq(error.message,
	    "local APIC differ: lapic.register[0x80] is 0x20, 0x0 wanted");
	cpu_lapic_write(&found->lapic, 0x80, 0);
	cpu_state_set_msr(found, MSR_LSTAR, 0x1235, NULL);
	cr_assert_eq(
	    cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), -EBADMSG);
	cr_assert_str_eq(error.message,
	    "MSRs differ: msrs.0xc0000082 is 0x1235, 0x1234 wanted");
	found->groups &= ~CPU_GROUP_MSRS;
	cr_assert_eq(
	    cpu_state_compare(wanted, found, CPU_GROUP_ALL, &error), -EBADMSG);
	cr_assert_str_eq(
	    error.message, "MSRs differ: only one of the two states has them");
	cpu_state_free(wanted);
	cpu_state_free(found);
}

Test(state, vector_state_that_does_not_fit_is_refused)
{
	struct cpu_state *large = cpu_state_new(8192);
	struct lf_error error;

	cr_assert_eq(cpu_xsave_check_fits(&large->xsave, 4096, &error), 0);
	large->xsave.bytes[8000] = 1;
	cr_assert_eq(cpu_xsave_check_fits(&large->xsave, 8192, &error), 0);
	cr_assert_eq(
	    cpu_xsave_check_fits(&large->xsave, 4096, &error), -ENOSPC);
	cr_assert_str_eq(error.message,
	    "FPU and vector registers: 8192 bytes of state, room for 4096: "
	    "the host saves fewer registers");
	cpu_state_free(large);
}

Test(state, no_memory_is_reported)
{
	FAULT_LOOP(fault)
	{
		struct cpu_state *state = cpu_state_new(0);

		fault_end(&fault);
		cr_assert_eq(state == NULL, fault.hit);
		cpu_state_free(state);
	}
}

Test(state, a_silent_timer_has_nothing_to_count)
{
	struct cpu_lapic lapic = {.present = 1};

	cpu_lapic_write(&lapic, CPU_LAPIC_LVT_TIMER, 0x20040);
	cpu_lapic_write(&lapic, CPU_LAPIC_TIMER_INITIAL, 1000);
	cpu_lapic_silence_timer(&lapic);
	cr_assert_eq(cpu_lapic_read(&lapic, CPU_LAPIC_LVT_TIMER), 0x30040);
	cr_assert_eq(cpu_lapic_read(&lapic, CPU_LAPIC_TIMER_INITIAL), 0);
}

static void
count_line(
    void *opaque, const char *group, const char *field, const char *value)
{
	char *text = opaque;

	if (strcmp(field, "rip") == 0 || strcmp(field, "cs") == 0)
		sprintf(text + strlen(text), "%s.%s=%s\n", group, field, value);
}

Test(state, printing_names_group_and_field)
{
	struct cpu_state *state = full_state();
	char text[256] = "";

	state->regs.rip = 0x1000;
	state->sregs.cs = (struct cpu_segment){.selector = 8,
	    .limit = 0xffffffff,
	    .present = 1,
	    .s = 1,
	    .type = 0xb,
	    .l = 1};
	cpu_state_print(state, CPU_GROUP_ALL, count_line, text);
	cr_assert_str_eq(text,
	    "regs.rip=0x1000\n"
	    "sregs.cs=0x0008 base 0x0 limit 0xffffffff access 0x209b\n");
	cpu_state_free(state);
}

Test(cpuid, the_apic_id_goes_into_the_leaves_that_have_it)
{
	struct cpu_cpuid cpuid = {.count = 3,
	    .entry = {{.function = 1, .ebx = 0x01020304},
		{.function = 0xb, .index = 0, .flags = CPU_CPUID_INDEXED},
		{.function = 0xb, .index = 1, .flags = CPU_CPUID_INDEXED}}};

	cpu_cpuid_set_apic_id(&cpuid, 5);
	cr_assert_eq(cpuid.entry[0].ebx, 0x05020304);
	cr_assert_eq(cpu_cpuid_find(&cpuid, 0xb, 1)->edx, 5);
	cr_assert_null(cpu_cpuid_find(&cpuid, 0xb, 2));
}

Test(cpuid, what_kvm_derives_at_run_time_is_no_difference)
{
	struct cpu_cpuid a = {
	    .count = 1, .entry = {{.function = 1, .ecx = 0x80000001}}};
	struct cpu_cpuid b = a;
	struct lf_error error;

	b.entry[0].ecx |= 1U << 27; /* OSXSAVE */
	b.entry[0].ebx = 3U << 24;  /* APIC id */
	cr_assert_eq(cpu_cpuid_compare(&a, &b, &error), 0);
	b.entry[0].ecx |= 2;
	cr_assert_eq(cpu_cpuid_compare(&a, &b, &error), -EBADMSG);
	cr_assert_str_eq(error.message,
	    "CPUID leaf 0x1.0: ecx is 0x88000003, 0x80000001 wanted");
	b.count = 0;
	cr_assert_eq(cpu_cpuid_compare(&a, &b, &error), -EBADMSG);
	cr_assert_str_eq(error.message, "CPUID leaf 0x1.0 is not there");
}

/* --- hosts that a guest cannot go on with --- */

Test(cpu, features_that_a_host_lacks_are_named)
{
	static const struct cpu_cpuid wanted = {
	    .count = 2,
	    .entry = {{.function = 1, .ecx = 1U << 28 | 1U << 27},
		{.function = 7, .flags = CPU_CPUID_INDEXED, .ebx = 1U << 16}},
	};
	struct cpu_cpuid host = wanted;
	struct lf_error error;

	/* OSXSAVE is the guest's own doing. */
	host.entry[0].ecx = 1U << 28;
	cr_assert_eq(cpu_cpuid_check_supported(&wanted, &host, &error), 0);
	host.entry[0].ecx = 0;
	cr_assert_eq(
	    cpu_cpuid_check_supported(&wanted, &host, &error), -ENOTSUP);
	cr_assert_str_eq(error.message,
	    "CPUID leaf 0x1.0: features 0x10000000 of ecx are missing on this "
	    "host");
	host = wanted;
	host.count = 1;
	cr_assert_eq(
	    cpu_cpuid_check_supported(&wanted, &host, &error), -ENOTSUP);
	cr_assert_str_eq(error.message,
	    "CPUID leaf 0x7.0: features 0x10000 of ebx are missing on this "
	    "host");
}

Test(cpu, a_tsc_of_another_frequency_is_refused)
{
	struct lf_error error;

	cr_assert_eq(cpu_tsc_check(2000000, 2000000, &error), 0);
	cr_assert_eq(cpu_tsc_check(2000500, 2000000, &error), 0);
	cr_assert_eq(cpu_tsc_check(1999500, 2000000, &error), 0);
	cr_assert_eq(cpu_tsc_check(0, 2000000, &error), 0);
	cr_assert_eq(cpu_tsc_check(2000000, 0, &error), 0);
	cr_assert_eq(cpu_tsc_check(2000600, 2000000, &error), -ENOTSUP);
	cr_assert_str_eq(error.message,
	    "the parent's TSC runs at 2000600 kHz, this host's at 2000000 kHz");
	cr_assert_eq(cpu_tsc_check(2400000, 3600000, &error), -ENOTSUP);
}
