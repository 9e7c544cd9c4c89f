/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of "timer".
 */
#include "qemu/timer_section.h"

#include <errno.h>

#include "base/error.h"

#define END                  \
	{                    \
		.name = NULL \
	}

/* A stopped QEMU's offsets are the values themselves. */
static const struct vmstate_field fields[] = {
    VMSTATE_INT("cpu_ticks_offset", struct qemu_timer, ticks),
    VMSTATE_INTS("unused", struct qemu_timer, unused),
    VMSTATE_INT("cpu_clock_offset", struct qemu_timer, clock),
    END,
};

/* With -icount: instructions instead of time. */
static const struct vmstate_subsection subsections[] = {
    {"timer/icount", 1, NULL, NULL},
    END,
};

static const struct vmstate_table table = {
    .name = "timer",
    .version = 2,
    .fields = fields,
    .subsections = subsections,
};

int
qemu_timer_load(const struct stream *stream, struct qemu_timer *ret_timer,
    struct lf_error *error)
{
	const struct stream_section *section = stream_find(stream, "timer", 0);

	if (section == NULL)
		return error_set(
		    error, ENOENT, "the device state has no section 'timer'");
	if (section->device == NULL)
		return error_set(error, ENOTSUP,
		    "the device state has no description of its fields");
	*ret_timer = (struct qemu_timer){0};
	return vmstate_load(&table, section->device,
	    stream->data + section->offset, ret_timer, &ret_timer->found,
	    error);
}

void
qemu_timer_go_on(
    struct qemu_timer *timer, uint64_t ticks, uint32_t khz, bool tcg)
{
	if (khz > 0)
		timer->clock +=
		    (int64_t)((unsigned __int128)ticks * 1000000 / khz);
	if (tcg)
		timer->ticks += ticks;
}

void
qemu_timer_save(const struct qemu_timer *timer, struct writer *w)
{
	vmstate_save(&table, &timer->found, timer, w);
}
