/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stream's "timer" section: QEMU's own clock at the instant of the freeze,
 * which its device models' times are in, and, where QEMU has no KVM, the
 * guest's TSC (softmmu/cpu-timers.c).
 */
#ifndef QEMU_TIMER_SECTION_H
#define QEMU_TIMER_SECTION_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#include "base/writer.h"
#include "qemu/stream.h"
#include "qemu/vmstate.h"

struct qemu_timer {
	uint64_t ticks; /* the TSC of a TCG's guest */
	uint8_t unused[8];
	int64_t clock; /* QEMU_CLOCK_VIRTUAL, nanoseconds */

	struct vmstate_found found;
};

/* -ENOENT when there is no such section. */
int qemu_timer_load(const struct stream *stream, struct qemu_timer *ret_timer,
    struct lf_error *error);

/*
 * Time went on for `ticks` of a TSC of `khz` (0: unknown, QEMU's clock then
 * stands). A TCG's guest has its TSC here.
 */
void qemu_timer_go_on(
    struct qemu_timer *timer, uint64_t ticks, uint32_t khz, bool tcg);

/* Writes the section's body. */
void qemu_timer_save(const struct qemu_timer *timer, struct writer *w);

#endif
