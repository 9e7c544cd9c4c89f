/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Comparing and printing the state table. What runs by itself is printed but
 * never compared; encodings that mean the same to the CPU are equal.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cpu/fields.h"
#include "cpu/msr.h"
#include "cpu/state.h"

/* The XSAVE image (SDM volume 1, 13.4): bytes that software may use (464 to
 * 511) and the header, whose XSTATE_BV tells only which parts are in their
 * initial state, are not compared; the parts themselves are. */
#define XSAVE_SOFTWARE 464
#define XSAVE_EXTENDED 576

static int
differ(struct lf_error *error, enum cpu_group_index group, const char *field,
    uint64_t wanted, uint64_t found)
{
	return error_set(error, EBADMSG,
	    "%s differ: %s.%s is 0x%" PRIx64 ", 0x%" PRIx64 " wanted",
	    cpu_group_title(group), cpu_group_name(group), field, found,
	    wanted);
}

static uint64_t
field_value(const struct cpu_state *state, const struct cpu_field *field)
{
	const char *at = (const char *)state + field->offset;
	uint64_t value = 0;

	memcpy(&value, at, field->size);
	return value;
}

/* The attributes as one word, without what is derived or means nothing: G is
 * derived from the limit, and a segment in use counts as accessed. */
static uint64_t
segment_access(const struct cpu_segment *segment)
{
	unsigned type = segment->type;

	if (segment->unusable || !segment->present)
		return 1 << 16;
	if (segment->s)
		type |= 1;
	return type | segment->s << 4 | segment->dpl << 5 |
	       segment->present << 7 | segment->avl << 12 | segment->l << 13 |
	       segment->db << 14;
}

static int
compare_segment(const struct cpu_field *field, const struct cpu_state *wanted,
    const struct cpu_state *found, struct lf_error *error)
{
	struct cpu_segment a, b;
	char name[32];
	uint64_t access_a, access_b;

	memcpy(&a, (const char *)wanted + field->offset, sizeof(a));
	memcpy(&b, (const char *)found + field->offset, sizeof(b));
	access_a = segment_access(&a);
	access_b = segment_access(&b);
	snprintf(name, sizeof(name), "%s.access", field->name);
	if (access_a != access_b)
		return differ(error, field->group, name, access_a, access_b);
	snprintf(name, sizeof(name), "%s.selector", field->name);
	if (a.selector != b.selector)
		return differ(
		    error, field->group, name, a.selector, b.selector);
	snprintf(name, sizeof(name), "%s.base", field->name);
	if (a.base != b.base)
		return differ(error, field->group, name, a.base, b.base);
	snprintf(name, sizeof(name), "%s.limit", field->name);
	if (a.limit != b.limit && access_a != 1 << 16)
		return differ(error, field->group, name, a.limit, b.limit);
	return 0;
}

/*
 * AMD's CPUs have one shadow for both instructions, and KVM reports both there
 * (svm_get_interrupt_shadow); Intel's cannot have both at once.
 */
static bool
same_shadow(uint64_t a, uint64_t b)
{
	const uint64_t both = CPU_SHADOW_MOV_SS | CPU_SHADOW_STI;

	return a == b || (a != 0 && b != 0 && (a == both || b == both));
}

static int
compare_field(const struct cpu_field *field, const struct cpu_state *wanted,
    const struct cpu_state *found, struct lf_error *error)
{
	uint64_t a, b;

	switch (field->kind) {
	case CPU_FIELD_SHOWN:
		return 0;
	case CPU_FIELD_SHADOW:
		a = field_value(wanted, field);
		b = field_value(found, field);
		if (same_shadow(a, b))
			return 0;
		break;
	case CPU_FIELD_SEGMENT:
		return compare_segment(field, wanted, found, error);
	case CPU_FIELD_PDPTR:
		if ((wanted->sregs.flags & found->sregs.flags &
			CPU_SREGS_PDPTRS_VALID) == 0)
			return 0;
		break;
	case CPU_FIELD_EXACT:
		break;
	}
	a = field_value(wanted, field);
	b = field_value(found, field);
	return a == b ? 0 : differ(error, field->group, field->name, a, b);
}

static int
compare_xsave(const struct cpu_state *wanted, const struct cpu_state *found,
    struct lf_error *error)
{
	const struct cpu_xsave *a = &wanted->xsave, *b = &found->xsave;
	uint32_t len = a->len > b->len ? a->len : b->len;
	uint32_t i;
	char name[24];

	for (i = 0; i < len; i++) {
		uint8_t x = i < a->len ? a->bytes[i] : 0;
		uint8_t y = i < b->len ? b->bytes[i] : 0;

		if (x == y || (i >= XSAVE_SOFTWARE && i < XSAVE_EXTENDED))
			continue;
		snprintf(name, sizeof(name), "byte[0x%x]", i);
		return differ(error, CPU_INDEX_XSAVE, name, x, y);
	}
	return 0;
}

static int
compare_nested(const struct cpu_state *wanted, const struct cpu_state *found,
    struct lf_error *error)
{
	unsigned i;
	char name[24];

	for (i = 0; i < sizeof(wanted->nested.header); i++) {
		uint8_t x = wanted->nested.header[i];
		uint8_t y = found->nested.header[i];

		snprintf(name, sizeof(name), "header[%u]", i);
		if (x != y)
			return differ(error, CPU_INDEX_NESTED, name, x, y);
	}
	return 0;
}

/*
 * The bits of a register that mean something. Not those that are derived from
 * others (PPR), that count by themselves (the current count) or that KVM tells
 * and no load: the version says whether EOIs can be kept from an IOAPIC, which
 * KVM offers only where it has none inside. A timer that is not masked can
 * have expired since it was loaded, and its vector wait.
 */
static uint32_t
lapic_meaning(const struct cpu_lapic *wanted, unsigned reg)
{
	uint32_t lvt = cpu_lapic_read(wanted, CPU_LAPIC_LVT_TIMER);
	unsigned vector = lvt & CPU_LAPIC_LVT_VECTOR;

	if (reg == CPU_LAPIC_VERSION || reg == CPU_LAPIC_PPR ||
	    reg == CPU_LAPIC_TIMER_CURRENT)
		return 0;
	if (reg == CPU_LAPIC_IRR + vector / 32 * 0x10 &&
	    (lvt & CPU_LAPIC_LVT_MASKED) == 0 && vector != 0)
		return ~(1U << vector % 32);
	return UINT32_MAX;
}

static int
compare_lapic(const struct cpu_state *wanted, const struct cpu_state *found,
    struct lf_error *error)
{
	unsigned reg;
	char name[24];

	if (wanted->lapic.present != found->lapic.present)
		return differ(error, CPU_INDEX_LAPIC, "present",
		    wanted->lapic.present, found->lapic.present);
	if (!wanted->lapic.present)
		return 0;
	for (reg = 0; reg < sizeof(wanted->lapic.regs); reg += 0x10) {
		uint32_t a = cpu_lapic_read(&wanted->lapic, reg);
		uint32_t b = cpu_lapic_read(&found->lapic, reg);

		if (((a ^ b) & lapic_meaning(&wanted->lapic, reg)) == 0)
			continue;
		snprintf(name, sizeof(name), "register[0x%x]", reg);
		return differ(error, CPU_INDEX_LAPIC, name, a, b);
	}
	return 0;
}

static bool
msr_runs(uint32_t index)
{
	switch (index) {
	case MSR_TSC:
	case MSR_APERF:
	case MSR_MPERF:
	case MSR_HV_VP_RUNTIME:
	case MSR_HV_TIME_REF_COUNT:
		return true;
	default:
		return false;
	}
}

/* A deadline that has passed is cleared with the interrupt that it raises. */
static bool
deadline_passed(
    const struct cpu_state *found, const struct cpu_msr *wanted, uint64_t value)
{
	return wanted->index == MSR_TSC_DEADLINE && value == 0 &&
	       (found->groups & CPU_GROUP_TSC) != 0 &&
	       found->tsc.tsc >= wanted->value;
}

static int
compare_msrs(const struct cpu_state *wanted, const struct cpu_state *found,
    struct lf_error *error)
{
	uint32_t i;
	uint64_t value;
	char name[24];

	for (i = 0; i < wanted->msrs.count; i++) {
		const struct cpu_msr *msr = &wanted->msrs.entry[i];

		if (msr_runs(msr->index))
			continue;
		snprintf(name, sizeof(name), "0x%x", msr->index);
		if (!cpu_state_msr(found, msr->index, &value))
			return error_set(error, EBADMSG,
			    "MSRs differ: %s is not there, 0x%" PRIx64
			    " wanted",
			    name, msr->value);
		if (value != msr->value && !deadline_passed(found, msr, value))
			return differ(
			    error, CPU_INDEX_MSRS, name, msr->value, value);
	}
	return 0;
}

static int
compare_tsc(const struct cpu_state *wanted, const struct cpu_state *found,
    struct lf_error *error)
{
	if (!wanted->tsc.has_offset || !found->tsc.has_offset ||
	    wanted->tsc.offset == found->tsc.offset)
		return 0;
	return differ(error, CPU_INDEX_TSC, "offset", wanted->tsc.offset,
	    found->tsc.offset);
}

/* What a group has beyond the fields of the table. */
static int
compare_rest(enum cpu_group_index group, const struct cpu_state *wanted,
    const struct cpu_state *found, struct lf_error *error)
{
	switch (group) {
	case CPU_INDEX_XSAVE:
		return compare_xsave(wanted, found, error);
	case CPU_INDEX_NESTED:
		return compare_nested(wanted, found, error);
	case CPU_INDEX_LAPIC:
		return compare_lapic(wanted, found, error);
	case CPU_INDEX_MSRS:
		return compare_msrs(wanted, found, error);
	case CPU_INDEX_TSC:
		return compare_tsc(wanted, found, error);
	default:
		return 0;
	}
}

int
cpu_state_compare(const struct cpu_state *wanted, const struct cpu_state *found,
    uint32_t groups, struct lf_error *error)
{
	unsigned group;
	size_t i;
	int rc;

	for (group = 0; group < CPU_GROUP_COUNT; group++) {
		uint32_t bit = 1U << group;

		if ((groups & bit) == 0 ||
		    ((wanted->groups | found->groups) & bit) == 0)
			continue;
		if ((wanted->groups & found->groups & bit) == 0)
			return error_set(error, EBADMSG,
			    "%s differ: only one of the two states has them",
			    cpu_group_title(group));
		for (i = 0; i < cpu_field_count; i++) {
			if (cpu_fields[i].group != group)
				continue;
			rc =
			    compare_field(&cpu_fields[i], wanted, found, error);
			if (rc < 0)
				return rc;
		}
		rc = compare_rest(group, wanted, found, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

struct printer {
	cpu_state_line_fn *line;
	void *opaque;
	enum cpu_group_index group;
};

static void
print_value(const struct printer *printer, const char *field, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	printer->line(
	    printer->opaque, cpu_group_name(printer->group), field, text);
}

static void
print_segment(const struct printer *printer, const struct cpu_field *field,
    const struct cpu_state *state)
{
	struct cpu_segment s;
	char text[96];

	memcpy(&s, (const char *)state + field->offset, sizeof(s));
	snprintf(text, sizeof(text),
	    "0x%04x base 0x%" PRIx64 " limit 0x%x access 0x%" PRIx64,
	    s.selector, s.base, s.limit, segment_access(&s));
	printer->line(
	    printer->opaque, cpu_group_name(printer->group), field->name, text);
}

/* Rows of 16 bytes, those of zeros left out. */
static void
print_xsave(const struct printer *printer, const struct cpu_xsave *xsave)
{
	static const uint8_t zeros[16];
	char name[24], text[40];
	uint32_t at;
	unsigned i;

	for (at = 0; at + 16 <= xsave->len; at += 16) {
		if (memcmp(&xsave->bytes[at], zeros, 16) == 0)
			continue;
		for (i = 0; i < 16; i++)
			snprintf(&text[2 * i], 3, "%02x", xsave->bytes[at + i]);
		snprintf(name, sizeof(name), "byte[0x%x]", at);
		printer->line(printer->opaque, cpu_group_name(printer->group),
		    name, text);
	}
}

static void
print_lapic(const struct printer *printer, const struct cpu_lapic *lapic)
{
	char name[24];
	unsigned reg;

	for (reg = 0; lapic->present && reg < sizeof(lapic->regs);
	     reg += 0x10) {
		if (cpu_lapic_read(lapic, reg) == 0)
			continue;
		snprintf(name, sizeof(name), "register[0x%x]", reg);
		print_value(printer, name, cpu_lapic_read(lapic, reg));
	}
}

static void
print_msrs(const struct printer *printer, const struct cpu_msrs *msrs)
{
	char name[24];
	uint32_t i;

	for (i = 0; i < msrs->count; i++) {
		snprintf(name, sizeof(name), "0x%x", msrs->entry[i].index);
		print_value(printer, name, msrs->entry[i].value);
	}
}

static void
print_group(const struct printer *printer, const struct cpu_state *state)
{
	size_t i;

	for (i = 0; i < cpu_field_count; i++) {
		const struct cpu_field *field = &cpu_fields[i];

		if (field->group != printer->group)
			continue;
		if (field->kind == CPU_FIELD_SEGMENT)
			print_segment(printer, field, state);
		else
			print_value(
			    printer, field->name, field_value(state, field));
	}
	if (printer->group == CPU_INDEX_XSAVE)
		print_xsave(printer, &state->xsave);
	else if (printer->group == CPU_INDEX_LAPIC)
		print_lapic(printer, &state->lapic);
	else if (printer->group == CPU_INDEX_MSRS)
		print_msrs(printer, &state->msrs);
	else if (printer->group == CPU_INDEX_TSC && state->tsc.has_offset)
		print_value(printer, "offset", state->tsc.offset);
}

void
cpu_state_print(const struct cpu_state *state, uint32_t groups,
    cpu_state_line_fn *line, void *opaque)
{
	struct printer printer = {.line = line, .opaque = opaque};
	unsigned group;

	for (group = 0; group < CPU_GROUP_COUNT; group++) {
		if ((groups & state->groups & (1U << group)) == 0)
			continue;
		printer.group = group;
		print_group(&printer, state);
	}
}
