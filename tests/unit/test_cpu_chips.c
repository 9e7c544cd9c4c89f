/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chips of a VM: compared field by field, written as JSON and read back,
 * and everything that is no chip refused by name.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/chips.h"
#include "snapshot/chips_json.h"

static struct lf_error error;

/* A different value in every field. */
static struct cpu_chips
example(void)
{
	struct cpu_chips chips = {.chips = CPU_CHIP_ALL};
	size_t i;

	for (i = 0; i < cpu_chip_field_count; i++) {
		uint64_t value = i + 1;

		memcpy((char *)&chips + cpu_chip_fields[i].offset, &value,
		    cpu_chip_fields[i].size);
	}
	return chips;
}

Test(cpu_chips, every_field_but_the_clock_is_compared)
{
	const struct cpu_chips wanted = example();
	size_t i, clocks = 0;

	for (i = 0; i < cpu_chip_field_count; i++) {
		const struct cpu_chip_field *field = &cpu_chip_fields[i];
		struct cpu_chips found = wanted;

		/* A bit that no pin of the PIT's is. */
		((uint8_t *)&found)[field->offset] ^= 0x80;
		if (field->runs) {
			clocks++;
			cr_assert_eq(cpu_chips_compare(
					 &wanted, &found, CPU_CHIP_ALL, &error),
			    0);
			continue;
		}
		cr_assert_eq(
		    cpu_chips_compare(&wanted, &found, CPU_CHIP_ALL, &error),
		    -EBADMSG);
		cr_assert_not_null(
		    strstr(error.message, field->name), "%s", error.message);
		cr_assert_eq(cpu_chips_compare(&wanted, &found,
				 CPU_CHIP_ALL & ~(1U << field->chip), &error),
		    0);
	}
	cr_assert_eq(clocks, 1);
}

Test(cpu_chips, a_pit_count_of_0_is_65536)
{
	struct cpu_chips wanted = example(), found = wanted;

	wanted.pit.channel[1].count = 0;
	found.pit.channel[1].count = 0x10000;
	cr_assert_eq(
	    cpu_chips_compare(&wanted, &found, CPU_CHIP_ALL, &error), 0);
	found.pit.channel[1].count = 1;
	cr_assert_lt(
	    cpu_chips_compare(&wanted, &found, CPU_CHIP_ALL, &error), 0);
}

Test(cpu_chips, pins_that_a_running_pit_raises_are_not_compared)
{
	struct cpu_chips wanted = example(), found = wanted;

	wanted.pit.channel[0].mode = found.pit.channel[0].mode = 2;
	found.pic[0].irr ^= 1;
	found.ioapic.irr ^= 4;
	cr_assert_eq(
	    cpu_chips_compare(&wanted, &found, CPU_CHIP_ALL, &error), 0);
	found.pic[1].irr ^= 1;
	cr_assert_lt(
	    cpu_chips_compare(&wanted, &found, CPU_CHIP_ALL, &error), 0);
	found.pic[1].irr ^= 1;
	wanted.pit.channel[0].mode = found.pit.channel[0].mode =
	    CPU_PIT_NO_MODE;
	cr_assert_lt(
	    cpu_chips_compare(&wanted, &found, CPU_CHIP_ALL, &error), 0);
}

Test(cpu_chips, one_that_only_one_side_has_is_a_difference)
{
	const struct cpu_chips wanted = example();
	struct cpu_chips found = wanted;

	found.chips = CPU_CHIP_PIC | CPU_CHIP_IOAPIC;
	cr_assert_eq(
	    cpu_chips_compare(&wanted, &found, found.chips, &error), 0);
	cr_assert_eq(
	    cpu_chips_compare(&wanted, &found, CPU_CHIP_ALL, &error), -EBADMSG);
	cr_assert_str_eq(
	    error.message, "timer (PIT): only one of the two states has it");
}

Test(cpu_chips, json_brings_back_every_field)
{
	const struct cpu_chips chips = example();
	json_t *json = chips_json_write(&chips);
	struct cpu_chips *again = NULL;

	cr_assert_eq(
	    chips_json_read(json, &again, &error), 0, "%s", error.message);
	cr_assert_eq(memcmp(&chips, again, sizeof(chips)), 0);
	free(again);
	json_decref(json);
}

static void
refused(const char *text, const char *message)
{
	json_t *json = json_loads(text, 0, NULL);
	struct cpu_chips *chips = NULL;

	cr_assert_not_null(json);
	cr_assert_eq(chips_json_read(json, &chips, &error), -EBADMSG);
	cr_assert_str_eq(error.message, message);
	cr_assert_null(chips);
	json_decref(json);
}

Test(cpu_chips, json_of_anything_else_is_refused)
{
	refused("[]", "'chips' is no object, or names an unknown chip");
	refused("{\"floppy\": {}}",
	    "'chips' is no object, or names an unknown chip");
	refused("{\"clock\": {}}",
	    "chip 'clock': field 'ns' is missing or no hexadecimal number");
	refused("{\"pic\": {\"master.last_irr\": \"0x100\"}}",
	    "chip 'pic': field 'master.last_irr' is no hexadecimal number up "
	    "to 0xff");
}
