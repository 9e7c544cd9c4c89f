/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of the chips' fields, and what is driven by it.
 */
#include "cpu/chips.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"

static const struct {
	const char *name, *title;
	size_t offset, size;
} chips_[CPU_CHIP_COUNT] = {
#define CPU_CHIP(NAME, member, text)              \
	[CPU_CHIP_INDEX_##NAME] = {#member, text, \
	    offsetof(struct cpu_chips, member),   \
	    sizeof(((struct cpu_chips *)0)->member)},
#include "cpu/chips.def"
#undef CPU_CHIP
};

#define ROW(index, path, label, runs_)                                        \
	{                                                                     \
		.chip = CPU_CHIP_INDEX_##index, .name = label, .runs = runs_, \
		.offset = offsetof(struct cpu_chips, path),                   \
		.size = sizeof(((struct cpu_chips *)0)->path),                \
	}

#define PIC_FIELD(n, who, f) ROW(PIC, pic[n].f, who "." #f, false)
#define PIC_ROWS(n, who)                                                    \
	PIC_FIELD(n, who, last_irr), PIC_FIELD(n, who, irr),                \
	    PIC_FIELD(n, who, imr), PIC_FIELD(n, who, isr),                 \
	    PIC_FIELD(n, who, priority_add), PIC_FIELD(n, who, irq_base),   \
	    PIC_FIELD(n, who, read_reg_select), PIC_FIELD(n, who, poll),    \
	    PIC_FIELD(n, who, special_mask), PIC_FIELD(n, who, init_state), \
	    PIC_FIELD(n, who, auto_eoi),                                    \
	    PIC_FIELD(n, who, rotate_on_auto_eoi),                          \
	    PIC_FIELD(n, who, special_fully_nested_mode),                   \
	    PIC_FIELD(n, who, init4), PIC_FIELD(n, who, elcr),              \
	    PIC_FIELD(n, who, elcr_mask)

#define IOAPIC(f)       ROW(IOAPIC, ioapic.f, #f, false)
#define PIN(n)          ROW(IOAPIC, ioapic.redirtbl[n], "pin[" #n "]", false)

#define PIT_FIELD(n, f) ROW(PIT, pit.channel[n].f, "channel[" #n "]." #f, false)
#define CHANNEL(n)                                                        \
	PIT_FIELD(n, count), PIT_FIELD(n, latched_count),                 \
	    PIT_FIELD(n, count_latched), PIT_FIELD(n, status_latched),    \
	    PIT_FIELD(n, status), PIT_FIELD(n, read_state),               \
	    PIT_FIELD(n, write_state), PIT_FIELD(n, write_latch),         \
	    PIT_FIELD(n, rw_mode), PIT_FIELD(n, mode), PIT_FIELD(n, bcd), \
	    PIT_FIELD(n, gate)

const struct cpu_chip_field cpu_chip_fields[] = {
    CHANNEL(0),
    CHANNEL(1),
    CHANNEL(2),
    ROW(PIT, pit.flags, "flags", false),
    PIC_ROWS(0, "master"),
    PIC_ROWS(1, "slave"),
    IOAPIC(base_address),
    IOAPIC(ioregsel),
    IOAPIC(id),
    IOAPIC(irr),
    PIN(0),
    PIN(1),
    PIN(2),
    PIN(3),
    PIN(4),
    PIN(5),
    PIN(6),
    PIN(7),
    PIN(8),
    PIN(9),
    PIN(10),
    PIN(11),
    PIN(12),
    PIN(13),
    PIN(14),
    PIN(15),
    PIN(16),
    PIN(17),
    PIN(18),
    PIN(19),
    PIN(20),
    PIN(21),
    PIN(22),
    PIN(23),
    ROW(CLOCK, clock.ns, "ns", true),
};

const size_t cpu_chip_field_count =
    sizeof(cpu_chip_fields) / sizeof(cpu_chip_fields[0]);

const char *
cpu_chip_name(enum cpu_chip_index index)
{
	return chips_[index].name;
}

const char *
cpu_chip_title(enum cpu_chip_index index)
{
	return chips_[index].title;
}

static uint64_t
field_get(const struct cpu_chips *chips, const struct cpu_chip_field *field)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)chips + field->offset, field->size);
	return value;
}

static bool
is_at(const struct cpu_chip_field *field, size_t offset)
{
	return field->offset == offset;
}

/* Where a PIT is connected: pin 0 of the PIC, and 2 (or 0) of the IOAPIC. */
#define PIT_PIC_PIN     0x1U
#define PIT_IOAPIC_PINS 0x5U

/* Redirection entries (82093AA data sheet, 3.2.4). */
#define PIN_VECTOR   0xffU
#define PIN_DELIVERY 0x600U /* 0: to a vector, of one CPU or any of several */
#define PIN_MASKED   (1U << 16)

static bool
pit_runs(const struct cpu_chips *chips)
{
	return (chips->chips & CPU_CHIP_PIT) &&
	       chips->pit.channel[0].mode != CPU_PIT_NO_MODE;
}

unsigned
cpu_chips_pit_vectors(
    const struct cpu_chips *chips, uint8_t vectors[CPU_PIT_VECTORS])
{
	unsigned pin, count = 0;

	if (!pit_runs(chips) || (chips->chips & CPU_CHIP_IOAPIC) == 0)
		return 0;
	for (pin = 0; pin < CPU_IOAPIC_PINS; pin++) {
		uint64_t entry = chips->ioapic.redirtbl[pin];

		if ((PIT_IOAPIC_PINS & 1U << pin) != 0 &&
		    (entry & (PIN_MASKED | PIN_DELIVERY)) == 0)
			vectors[count++] = entry & PIN_VECTOR;
	}
	return count;
}

/*
 * The bits of a field that mean something: a PIT's count of 65,536 is written
 * as 0, its counter having 16 bits, and a running one raises its pins by
 * itself.
 */
static uint64_t
meaning(const struct cpu_chip_field *field, const struct cpu_chips *wanted)
{
	bool ticks = pit_runs(wanted);
	unsigned i;

	if (field->runs)
		return 0;
	for (i = 0; i < CPU_PIT_CHANNELS; i++)
		if (is_at(field,
			offsetof(struct cpu_chips, pit.channel[i].count)))
			return 0xffff;
	if (ticks &&
	    (is_at(field, offsetof(struct cpu_chips, pic[0].irr)) ||
		is_at(field, offsetof(struct cpu_chips, pic[0].last_irr))))
		return ~(uint64_t)PIT_PIC_PIN;
	if (ticks && is_at(field, offsetof(struct cpu_chips, ioapic.irr)))
		return ~(uint64_t)PIT_IOAPIC_PINS;
	return UINT64_MAX;
}

static int
compare_field(const struct cpu_chip_field *field,
    const struct cpu_chips *wanted, const struct cpu_chips *found,
    struct lf_error *error)
{
	uint64_t a = field_get(wanted, field);
	uint64_t b = field_get(found, field);

	if (((a ^ b) & meaning(field, wanted)) == 0)
		return 0;
	return error_set(error, EBADMSG,
	    "%s: %s.%s is 0x%" PRIx64 ", 0x%" PRIx64 " wanted",
	    cpu_chip_title(field->chip), cpu_chip_name(field->chip),
	    field->name, b, a);
}

int
cpu_chips_compare(const struct cpu_chips *wanted, const struct cpu_chips *found,
    uint32_t mask, struct lf_error *error)
{
	uint32_t one_sided = (wanted->chips ^ found->chips) & mask;
	size_t i;
	int rc = 0;

	if (one_sided != 0)
		return error_set(error, EBADMSG,
		    "%s: only one of the two states has it",
		    cpu_chip_title(
			(enum cpu_chip_index)__builtin_ctz(one_sided)));
	mask &= wanted->chips;
	for (i = 0; rc == 0 && i < cpu_chip_field_count; i++)
		if (mask & (1U << cpu_chip_fields[i].chip))
			rc = compare_field(
			    &cpu_chip_fields[i], wanted, found, error);
	return rc;
}
