/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/chip_sections: the sections of PICs, IOAPIC, PIT and clock of real
 * streams (tests/data/streams).
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sample.h"
#include "qemu/chip_sections.h"
#include "qemu/timer_section.h"

struct loaded {
	struct sample sample;
	struct qemu_chips chips;
};

static struct lf_error error;

static struct loaded
load(const char *name)
{
	struct loaded loaded = {.sample = sample_open(name)};

	cr_assert_eq(
	    qemu_chips_load(loaded.sample.stream, &loaded.chips, &error), 0,
	    "%s", error.message);
	return loaded;
}

struct named {
	char name[32];
	uint32_t found;
};

#define IRQCHIPS (CPU_CHIP_PIC | CPU_CHIP_IOAPIC | CPU_CHIP_PIT)

static struct named all[] = {
    {"tcg-max", IRQCHIPS},
    {"kvm-smp2", CPU_CHIP_ALL},
    {"kvm-hyperv", CPU_CHIP_ALL},
};

ParameterizedTestParameters(chip_sections, come_out_byte_for_byte)
{
	return cr_make_param_array(
	    struct named, all, sizeof(all) / sizeof(all[0]));
}

/* As they were read, and again after a way through the table. */
ParameterizedTest(struct named *of, chip_sections, come_out_byte_for_byte)
{
	static const struct {
		const char *name;
		uint32_t instance;
	} sections[] = {
	    {"i8259", 0}, {"i8259", 1}, {"ioapic", 0}, {"i8254", 0}};
	struct loaded loaded = load(of->name);
	struct cpu_chips chips = {0};
	struct writer w;

	cr_assert_eq(loaded.chips.found, of->found);
	writer_init(&w);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]);
		     i++) {
			const struct stream_section *section =
			    stream_find(loaded.sample.stream, sections[i].name,
				sections[i].instance);

			writer_reset(&w);
			cr_assert(qemu_chips_save(&loaded.chips, section, &w));
			cr_assert_eq(w.len, section->length);
			cr_assert_eq(
			    memcmp(w.data, loaded.sample.data + section->offset,
				w.len),
			    0, "%s, round %d", section->name, round);
		}
		qemu_chips_to_state(&loaded.chips, false, &chips);
		qemu_chips_from_state(&loaded.chips, &chips, 1);
	}
	writer_reset(&w);
	cr_assert_not(qemu_chips_save(
	    &loaded.chips, stream_find(loaded.sample.stream, "cpu", 0), &w));
	cr_assert_eq(w.len, 0);
	writer_done(&w);
	sample_close(&loaded.sample);
}

/* A Linux with an IOAPIC: both PICs masked, their bases those of Linux. */
Test(chip_sections, state_is_what_linux_made_of_the_chips)
{
	struct loaded loaded = load("kvm-smp2");
	struct cpu_chips chips = {0};

	qemu_chips_to_state(&loaded.chips, false, &chips);
	cr_assert_eq(chips.chips, CPU_CHIP_ALL);
	cr_assert_eq(chips.pic[0].irq_base, 0x30);
	cr_assert_eq(chips.pic[1].irq_base, 0x38);
	cr_assert_eq(chips.pic[0].imr, 0xff);
	cr_assert_eq(chips.pic[0].irr, 0x13);
	cr_assert_eq(chips.pic[1].irr, 0x11);
	cr_assert_eq(chips.pic[1].elcr, 0x0c);
	cr_assert_eq(chips.pic[1].imr, 0xff);
	cr_assert_eq(chips.pic[0].elcr_mask, 0xf8);
	cr_assert_eq(chips.pic[1].elcr_mask, 0xde);
	cr_assert_eq(chips.ioapic.base_address, 0xfec00000);
	cr_assert_eq(chips.ioapic.ioregsel, 0x18);
	cr_assert_eq(chips.ioapic.redirtbl[4], 0x100000000000023);
	cr_assert_eq(chips.ioapic.redirtbl[9], 0x100000000008021);
	cr_assert_eq(chips.ioapic.redirtbl[23], 0x10000);
	cr_assert_eq(chips.pit.flags, CPU_PIT_HPET_LEGACY);
	cr_assert_eq(chips.pit.channel[0].mode, 2);
	cr_assert_eq(chips.pit.channel[0].count, 65536);
	cr_assert_gt(chips.clock.ns, 1000000);
	sample_close(&loaded.sample);
}

Test(chip_sections, a_pit_that_was_set_anew_begins_now)
{
	struct loaded loaded = load("tcg-max");
	struct qemu_chips *written = &loaded.chips;
	const struct qemu_chips before = loaded.chips;
	struct cpu_chips chips = {0};

	qemu_chips_to_state(&loaded.chips, false, &chips);
	chips.pit.channel[0].mode = 4;
	chips.pit.channel[0].count = 0; /* as KVM has 65,536 */
	chips.pit.channel[2].status_latched = 1;
	chips.pic[1].imr = 0x5a;
	chips.ioapic.redirtbl[5] = 0x12345;
	chips.pit.flags = 0;
	qemu_chips_from_state(written, &chips, 77);
	cr_assert_eq(written->pit.channels[0].chip.mode, 4);
	cr_assert_eq(written->pit.channels[0].chip.count, 0x10000);
	cr_assert_eq(written->pit.channels[0].chip.count_load_time, 77);
	cr_assert_eq(written->pit.channels[0].next_transition_time, 77);
	cr_assert_eq(written->pit.next_transition_time, 77);
	cr_assert_eq(written->pit.channels[2].chip.status_latched, 1);
	cr_assert_eq(written->pit.channels[2].chip.count_load_time,
	    before.pit.channels[2].chip.count_load_time);
	cr_assert_eq(written->pit.irq_disabled, 0);
	cr_assert_eq(written->pic[1].chip.imr, 0x5a);
	cr_assert_eq(written->ioapic.ioredtbl[5], 0x12345);

	/* What the fork has not is the parent's. */
	*written = before;
	chips.chips = CPU_CHIP_CLOCK;
	qemu_chips_from_state(written, &chips, 77);
	cr_assert_eq(memcmp(written, &before, sizeof(before)), 0);
	sample_close(&loaded.sample);
}

Test(chip_sections, a_timer_line_that_qemu_holds_is_low_for_kvm)
{
	struct loaded loaded = load("tcg-max");
	struct cpu_chips chips = {0};

	loaded.chips.pic[0].chip.last_irr = 0x13;
	loaded.chips.pic[1].chip.last_irr = 0x13;
	qemu_chips_to_state(&loaded.chips, true, &chips);
	cr_assert_eq(chips.pic[0].last_irr, 0x12);
	cr_assert_eq(chips.pic[1].last_irr, 0x13);
	qemu_chips_to_state(&loaded.chips, false, &chips);
	cr_assert_eq(chips.pic[0].last_irr, 0x13);
	sample_close(&loaded.sample);
}

Test(chip_sections, one_pic_is_refused_and_none_is_not)
{
	struct loaded loaded = load("kvm-smp2");
	struct stream_section *slave = (struct stream_section *)stream_find(
	    loaded.sample.stream, "i8259", 1);
	struct stream_section *master = (struct stream_section *)stream_find(
	    loaded.sample.stream, "i8259", 0);

	slave->instance_id = 7;
	cr_assert_eq(
	    qemu_chips_load(loaded.sample.stream, &loaded.chips, &error),
	    -EBADMSG);
	cr_assert_str_eq(
	    error.message, "the device state has one section 'i8259', not two");
	master->instance_id = 8;
	cr_assert_eq(
	    qemu_chips_load(loaded.sample.stream, &loaded.chips, &error), 0);
	cr_assert_eq(loaded.chips.found & CPU_CHIP_PIC, 0);
	sample_close(&loaded.sample);
}
