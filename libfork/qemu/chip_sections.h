/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stream's sections of what a VM has beside its vCPUs: "i8259" (two of
 * them: master, slave), "ioapic", "i8254" and "kvmclock", read into and
 * written from the table of cpu/chips.h. A chip is written over what was read:
 * what KVM does not know of it stays the parent's.
 */
#ifndef QEMU_CHIP_SECTIONS_H
#define QEMU_CHIP_SECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#include "base/writer.h"
#include "cpu/chips.h"
#include "qemu/stream.h"

/* Members bear QEMU's names. */
struct qemu_pic {
	struct cpu_pic chip; /* elcr_mask is no field of the section */
	uint8_t single_mode;
};

struct qemu_ioapic {
	uint8_t id, ioregsel;
	uint8_t unused[8];
	uint32_t irr;
	uint64_t ioredtbl[CPU_IOAPIC_PINS];
};

struct qemu_pit_channel {
	struct cpu_pit_channel chip; /* count_load_time is in QEMU's time */
	int64_t next_transition_time;
};

struct qemu_pit {
	uint32_t irq_disabled;
	struct qemu_pit_channel channels[CPU_PIT_CHANNELS];
	int64_t next_transition_time; /* of channel 0, once more */
};

struct qemu_chips {
	uint32_t found; /* CPU_CHIP_x whose sections are there */
	struct qemu_pic pic[CPU_PICS];
	struct qemu_ioapic ioapic;
	struct qemu_pit pit;
	uint64_t clock; /* nanoseconds */
};

/*
 * Reads the sections that are there; a chip without one is not in `found`. Of
 * a pair of PICs both are there or none. -EBADMSG and -ENOTSUP as
 * vmstate_load().
 */
int qemu_chips_load(const struct stream *stream, struct qemu_chips *ret_chips,
    struct lf_error *error);

/*
 * Fills `chips` with what was found. KVM's PIT pulses its line, QEMU's holds it
 * (`tcg`): KVM would wait for ever for the end of an interrupt that a line held
 * high never raised.
 */
void qemu_chips_to_state(
    const struct qemu_chips *from, bool tcg, struct cpu_chips *chips);

/*
 * Writes what `from` holds over what was loaded. A channel of the PIT that was
 * programmed anew begins to count at `now`, QEMU's clock (timer_section.h): KVM
 * does not tell when it began. The guest's clock is not written: at late launch
 * it follows from the TSC.
 */
void qemu_chips_from_state(
    struct qemu_chips *chips, const struct cpu_chips *from, int64_t now);

/*
 * Writes the body of a section if it is one of these chips' and was found;
 * false, and nothing written, for any other.
 */
bool qemu_chips_save(const struct qemu_chips *chips,
    const struct stream_section *section, struct writer *w);

#endif
