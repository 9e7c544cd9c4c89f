/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of the chips that a VM has inside KVM beside its vCPUs: two PICs,
 * an IOAPIC, a PIT and the clock, as one ordered table (chips.def), the same
 * for KVM (kvm/vm_chips.h gets and sets it), for QEMU's stream (sections
 * "i8259", "ioapic", "i8254", "kvmclock") and for a snapshot. As in
 * cpu/state.h, members have the layout of the kernel's ABI and this file knows
 * no KVM.
 */
#ifndef CPU_CHIPS_H
#define CPU_CHIPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

enum cpu_chip_index {
#define CPU_CHIP(name, member, title) CPU_CHIP_INDEX_##name,
#include "cpu/chips.def"
#undef CPU_CHIP
	CPU_CHIP_COUNT
};

/* A set of chips is a mask of CPU_CHIP_x. */
enum cpu_chip {
#define CPU_CHIP(name, member, title) \
	CPU_CHIP_##name = 1 << CPU_CHIP_INDEX_##name,
#include "cpu/chips.def"
#undef CPU_CHIP
	CPU_CHIP_ALL = (1 << CPU_CHIP_COUNT) - 1
};

#define CPU_PICS         2 /* master, slave */
#define CPU_IOAPIC_PINS  24
#define CPU_PIT_CHANNELS 3

/* An Intel 8259; fields as in its data sheet and in QEMU's "i8259". */
struct cpu_pic {
	uint8_t last_irr;
	uint8_t irr;
	uint8_t imr;
	uint8_t isr;
	uint8_t priority_add;
	uint8_t irq_base;
	uint8_t read_reg_select;
	uint8_t poll;
	uint8_t special_mask;
	uint8_t init_state;
	uint8_t auto_eoi;
	uint8_t rotate_on_auto_eoi;
	uint8_t special_fully_nested_mode;
	uint8_t init4;
	uint8_t elcr;
	uint8_t elcr_mask;
};

struct cpu_ioapic {
	uint64_t base_address;
	uint32_t ioregsel;
	uint32_t id;
	uint32_t irr;
	uint32_t padding;
	uint64_t redirtbl[CPU_IOAPIC_PINS];
};

struct cpu_pit_channel {
	uint32_t count; /* 0 and 0x10000 mean the same */
	uint16_t latched_count;
	uint8_t count_latched;
	uint8_t status_latched;
	uint8_t status;
	uint8_t read_state;
	uint8_t write_state;
	uint8_t write_latch;
	uint8_t rw_mode;
	uint8_t mode; /* CPU_PIT_NO_MODE: never programmed */
	uint8_t bcd;
	uint8_t gate;
	/*
	 * In the host's time, meaningless elsewhere: KVM counts anew from the
	 * moment of loading.
	 */
	int64_t count_load_time;
};

#define CPU_PIT_NO_MODE     0xff
#define CPU_PIT_HPET_LEGACY 1 /* the HPET has taken over channel 0 */
#define CPU_PIT_SPEAKER     2

struct cpu_pit {
	struct cpu_pit_channel channel[CPU_PIT_CHANNELS];
	uint32_t flags; /* CPU_PIT_x */
	uint32_t reserved[9];
};

/* Nanoseconds since the guest's start: what PV clocks and Hyper-V's reference
 * counter tell. */
struct cpu_clock {
	uint64_t ns;
};

struct cpu_chips {
	uint32_t chips; /* which members hold something: CPU_CHIP_x */
	struct cpu_pic pic[CPU_PICS];
	struct cpu_ioapic ioapic;
	struct cpu_pit pit;
	struct cpu_clock clock;
};

/*
 * The fields, one row each: they drive comparing, printing and JSON. Paddings,
 * reserved words and count_load_time are no fields.
 */
struct cpu_chip_field {
	enum cpu_chip_index chip;
	const char *name; /* "master.imr", "pin[3]", "channel[0].mode" */
	bool runs;        /* by itself: shown, never compared */
	uint16_t offset;  /* in struct cpu_chips */
	uint8_t size;     /* 1, 2, 4 or 8 bytes */
};

extern const struct cpu_chip_field cpu_chip_fields[];
extern const size_t cpu_chip_field_count;

/* "pic" is a chip's name, "interrupt controllers (PIC)" its title. */
const char *cpu_chip_name(enum cpu_chip_index index);
const char *cpu_chip_title(enum cpu_chip_index index);

/* Vectors that a PIT raises in a LAPIC by itself, through the IOAPIC. */
#define CPU_PIT_VECTORS 2

/* How many there are, and which: none of a PIT that does not run. */
unsigned cpu_chips_pit_vectors(
    const struct cpu_chips *chips, uint8_t vectors[CPU_PIT_VECTORS]);

/*
 * 0 when the chips of `mask` are equal but for what runs by itself; -EBADMSG
 * otherwise, with the first difference in `error`. A chip that one of the two
 * does not hold is a difference.
 */
int cpu_chips_compare(const struct cpu_chips *wanted,
    const struct cpu_chips *found, uint32_t mask, struct lf_error *error);

#endif
