/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of the chips' sections (QEMU 7.2: hw/intc/i8259_common.c,
 * hw/intc/ioapic_common.c, hw/timer/i8254_common.c, hw/i386/kvm/clock.c) and
 * what they mean for KVM, as QEMU's own hw/i386/kvm has it.
 */
#include "qemu/chip_sections.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "qemu/vmstate.h"

#define END                  \
	{                    \
		.name = NULL \
	}

#define PIC_FIELD(member) VMSTATE_INT(#member, struct qemu_pic, chip.member)

static const struct vmstate_field pic_fields[] = {
    PIC_FIELD(last_irr),
    PIC_FIELD(irr),
    PIC_FIELD(imr),
    PIC_FIELD(isr),
    PIC_FIELD(priority_add),
    PIC_FIELD(irq_base),
    PIC_FIELD(read_reg_select),
    PIC_FIELD(poll),
    PIC_FIELD(special_mask),
    PIC_FIELD(init_state),
    PIC_FIELD(auto_eoi),
    PIC_FIELD(rotate_on_auto_eoi),
    PIC_FIELD(special_fully_nested_mode),
    PIC_FIELD(init4),
    VMSTATE_INT("single_mode", struct qemu_pic, single_mode),
    PIC_FIELD(elcr),
    END,
};

static const struct vmstate_table pic_table = {
    .name = "i8259",
    .version = 1,
    .fields = pic_fields,
};

static const struct vmstate_field ioapic_fields[] = {
    VMSTATE_INT("id", struct qemu_ioapic, id),
    VMSTATE_INT("ioregsel", struct qemu_ioapic, ioregsel),
    VMSTATE_INTS("unused", struct qemu_ioapic, unused),
    VMSTATE_INT("irr", struct qemu_ioapic, irr),
    VMSTATE_INTS("ioredtbl", struct qemu_ioapic, ioredtbl),
    END,
};

static const struct vmstate_table ioapic_table = {
    .name = "ioapic",
    .version = 3,
    .fields = ioapic_fields,
};

#define CHANNEL(member) \
	VMSTATE_INT(#member, struct qemu_pit_channel, chip.member)

static const struct vmstate_field channel_fields[] = {
    CHANNEL(count),
    CHANNEL(latched_count),
    CHANNEL(count_latched),
    CHANNEL(status_latched),
    CHANNEL(status),
    CHANNEL(read_state),
    CHANNEL(write_state),
    CHANNEL(write_latch),
    CHANNEL(rw_mode),
    CHANNEL(mode),
    CHANNEL(bcd),
    CHANNEL(gate),
    CHANNEL(count_load_time),
    VMSTATE_INT(
	"next_transition_time", struct qemu_pit_channel, next_transition_time),
    END,
};

static const struct vmstate_field pit_fields[] = {
    VMSTATE_INT("channels[0].irq_disabled", struct qemu_pit, irq_disabled),
    VMSTATE_SUBS("channels", struct qemu_pit, channels, channel_fields, 0),
    VMSTATE_INT("channels[0].next_transition_time", struct qemu_pit,
	next_transition_time),
    END,
};

static const struct vmstate_table pit_table = {
    .name = "i8254",
    .version = 3,
    .fields = pit_fields,
};

static const struct vmstate_field clock_fields[] = {
    VMSTATE_INT("clock", struct qemu_chips, clock),
    END,
};

static const struct vmstate_subsection clock_subsections[] = {
    {"kvmclock/clock_is_reliable", 1, NULL, NULL},
    END,
};

static const struct vmstate_table clock_table = {
    .name = "kvmclock",
    .version = 1,
    .fields = clock_fields,
    .subsections = clock_subsections,
};

/* --- reading and writing --- */

/* Reads a section if it is there, and says so with `chip` in `*found`. */
static int
load(const struct stream *stream, const struct vmstate_table *table,
    uint32_t instance, void *to, uint32_t chip, uint32_t *found,
    struct lf_error *error)
{
	const struct stream_section *section =
	    stream_find(stream, table->name, instance);
	struct vmstate_found subsections;

	if (section == NULL)
		return 0;
	if (section->device == NULL)
		return error_set(error, ENOTSUP,
		    "the device state has no description of its fields");
	*found |= chip;
	return vmstate_load(table, section->device,
	    stream->data + section->offset, to, &subsections, error);
}

static int
load_pics(const struct stream *stream, struct qemu_chips *chips,
    struct lf_error *error)
{
	uint32_t masters = 0, slaves = 0;
	int rc = load(stream, &pic_table, 0, &chips->pic[0], CPU_CHIP_PIC,
	    &masters, error);

	if (rc == 0)
		rc = load(stream, &pic_table, 1, &chips->pic[1], CPU_CHIP_PIC,
		    &slaves, error);
	if (rc == 0 && masters != slaves)
		rc = error_set(error, EBADMSG,
		    "the device state has one section 'i8259', not two");
	chips->found |= masters;
	return rc;
}

int
qemu_chips_load(const struct stream *stream, struct qemu_chips *ret_chips,
    struct lf_error *error)
{
	struct qemu_chips *chips = ret_chips;
	uint32_t *found = &chips->found;
	int rc;

	*chips = (struct qemu_chips){0};
	rc = load_pics(stream, chips, error);
	if (rc == 0)
		rc = load(stream, &ioapic_table, 0, &chips->ioapic,
		    CPU_CHIP_IOAPIC, found, error);
	if (rc == 0)
		rc = load(stream, &pit_table, 0, &chips->pit, CPU_CHIP_PIT,
		    found, error);
	if (rc == 0)
		rc = load(stream, &clock_table, 0, chips, CPU_CHIP_CLOCK, found,
		    error);
	return rc;
}

bool
qemu_chips_save(const struct qemu_chips *chips,
    const struct stream_section *section, struct writer *w)
{
	static const struct vmstate_found none = {0};
	const struct {
		const struct vmstate_table *table;
		uint32_t instance, chip;
		const void *from;
	} sections[] = {
	    {&pic_table, 0, CPU_CHIP_PIC, &chips->pic[0]},
	    {&pic_table, 1, CPU_CHIP_PIC, &chips->pic[1]},
	    {&ioapic_table, 0, CPU_CHIP_IOAPIC, &chips->ioapic},
	    {&pit_table, 0, CPU_CHIP_PIT, &chips->pit},
	};
	size_t i;

	for (i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (sections[i].instance != section->instance_id ||
		    (chips->found & sections[i].chip) == 0 ||
		    strcmp(sections[i].table->name, section->name) != 0)
			continue;
		vmstate_save(sections[i].table, &none, sections[i].from, w);
		return true;
	}
	return false;
}

/* --- what it means --- */

/* Which lines may be level-triggered is the machine's, not the stream's. */
static const uint8_t elcr_masks[CPU_PICS] = {0xf8, 0xde};

#define TIMER_LINE 1U

/* Where every PC has it; firmware and guests never move it. */
#define IOAPIC_BASE 0xfec00000

static void
ioapic_to_state(const struct qemu_ioapic *from, struct cpu_ioapic *to)
{
	to->base_address = IOAPIC_BASE;
	to->ioregsel = from->ioregsel;
	to->id = from->id;
	to->irr = from->irr;
	memcpy(to->redirtbl, from->ioredtbl, sizeof(to->redirtbl));
}

static void
ioapic_from_state(const struct cpu_ioapic *from, struct qemu_ioapic *to)
{
	to->ioregsel = (uint8_t)from->ioregsel;
	to->id = (uint8_t)from->id;
	to->irr = from->irr;
	memcpy(to->ioredtbl, from->redirtbl, sizeof(to->ioredtbl));
}

void
qemu_chips_to_state(
    const struct qemu_chips *from, bool tcg, struct cpu_chips *chips)
{
	unsigned i;

	for (i = 0; i < CPU_PICS; i++) {
		chips->pic[i] = from->pic[i].chip;
		chips->pic[i].elcr_mask = elcr_masks[i];
	}
	if (tcg)
		chips->pic[0].last_irr &= (uint8_t)~TIMER_LINE;
	ioapic_to_state(&from->ioapic, &chips->ioapic);
	for (i = 0; i < CPU_PIT_CHANNELS; i++)
		chips->pit.channel[i] = from->pit.channels[i].chip;
	chips->pit.flags = from->pit.irq_disabled ? CPU_PIT_HPET_LEGACY : 0;
	chips->clock.ns = from->clock;
	chips->chips = from->found;
}

static bool
is_same_count(const struct cpu_pit_channel *a, const struct cpu_pit_channel *b)
{
	/* 0 and 65,536 are the same count. */
	return (a->count & 0xffff) == (b->count & 0xffff) &&
	       a->mode == b->mode && a->gate == b->gate;
}

/*
 * When a count began is known only as long as it is the parent's. QEMU makes
 * the time of the next edge out of it when it has KVM; without, the edge at
 * this very moment makes it look.
 */
static void
channel_from_state(const struct cpu_pit_channel *from, int64_t now,
    struct qemu_pit_channel *to)
{
	bool same = is_same_count(from, &to->chip);
	int64_t began = same ? to->chip.count_load_time : now;
	uint32_t count = same ? to->chip.count : from->count;

	to->chip = *from;
	to->chip.count = count != 0 ? count : 0x10000;
	to->chip.count_load_time = began;
	if (!same)
		to->next_transition_time = now;
}

static void
pit_from_state(const struct cpu_pit *from, int64_t now, struct qemu_pit *to)
{
	unsigned i;

	for (i = 0; i < CPU_PIT_CHANNELS; i++)
		channel_from_state(&from->channel[i], now, &to->channels[i]);
	to->irq_disabled = (from->flags & CPU_PIT_HPET_LEGACY) != 0;
	to->next_transition_time = to->channels[0].next_transition_time;
}

void
qemu_chips_from_state(
    struct qemu_chips *chips, const struct cpu_chips *from, int64_t now)
{
	unsigned i;

	if (from->chips & CPU_CHIP_PIC)
		for (i = 0; i < CPU_PICS; i++)
			chips->pic[i].chip = from->pic[i];
	if (from->chips & CPU_CHIP_IOAPIC)
		ioapic_from_state(&from->ioapic, &chips->ioapic);
	if (from->chips & CPU_CHIP_PIT)
		pit_from_state(&from->pit, now, &chips->pit);
}
