/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state table: making one, and the parts whose content varies (XSAVE
 * image, MSRs, LAPIC page). Comparing and printing are in compare.c.
 */
#include "cpu/state.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/msr.h"

static const struct {
	const char *name, *title;
} groups_[CPU_GROUP_COUNT] = {
#define CPU_GROUP(NAME, member, text) [CPU_INDEX_##NAME] = {#member, text},
#include "cpu/groups.def"
#undef CPU_GROUP
};

const char *
cpu_group_name(enum cpu_group_index index)
{
	return groups_[index].name;
}

const char *
cpu_group_title(enum cpu_group_index index)
{
	return groups_[index].title;
}

struct cpu_state *
cpu_state_new(uint32_t xsave_len)
{
	struct cpu_state *state = sys.calloc(1, sizeof(*state));

	if (state == NULL)
		return NULL;
	if (xsave_len < CPU_XSAVE_MIN)
		xsave_len = CPU_XSAVE_MIN;
	state->xsave.bytes = sys.calloc(1, xsave_len);
	if (state->xsave.bytes == NULL) {
		cpu_state_free(state);
		return NULL;
	}
	state->xsave.len = xsave_len;
	return state;
}

void
cpu_state_free(struct cpu_state *state)
{
	if (state == NULL)
		return;
	free(state->xsave.bytes);
	free(state);
}

int
cpu_xsave_check_fits(
    const struct cpu_xsave *xsave, uint32_t len, struct lf_error *error)
{
	uint32_t i;

	for (i = len; i < xsave->len; i++)
		if (xsave->bytes[i] != 0)
			return error_set(error, ENOSPC,
			    "FPU and vector registers: %u bytes of state, room "
			    "for %u: the host saves fewer registers",
			    xsave->len, len);
	return 0;
}

bool
cpu_state_msr(
    const struct cpu_state *state, uint32_t index, uint64_t *ret_value)
{
	uint32_t i;

	for (i = 0; i < state->msrs.count; i++) {
		if (state->msrs.entry[i].index == index) {
			*ret_value = state->msrs.entry[i].value;
			return true;
		}
	}
	return false;
}

int
cpu_state_set_msr(struct cpu_state *state, uint32_t index, uint64_t value,
    struct lf_error *error)
{
	struct cpu_msrs *msrs = &state->msrs;
	uint32_t i, at;

	for (i = 0; i < msrs->count; i++) {
		if (msrs->entry[i].index == index) {
			msrs->entry[i].value = value;
			return 0;
		}
	}
	if (msrs->count >= CPU_MSRS_MAX)
		return error_set(error, ENOSPC,
		    "MSR 0x%x: the state holds %u MSRs already, the most it "
		    "can",
		    index, msrs->count);
	at = msrs->count;
	if (index == MSR_TSC_ADJUST)
		at = 0;
	else if (at > 0 && msrs->entry[at - 1].index == MSR_TSC_DEADLINE)
		at--;
	memmove(&msrs->entry[at + 1], &msrs->entry[at],
	    (msrs->count - at) * sizeof(msrs->entry[0]));
	msrs->entry[at] = (struct cpu_msr){.index = index, .value = value};
	msrs->count++;
	state->groups |= CPU_GROUP_MSRS;
	return 0;
}

uint32_t
cpu_lapic_read(const struct cpu_lapic *lapic, unsigned reg)
{
	uint32_t value;

	memcpy(&value, &lapic->regs[reg], sizeof(value));
	return value;
}

void
cpu_lapic_write(struct cpu_lapic *lapic, unsigned reg, uint32_t value)
{
	memcpy(&lapic->regs[reg], &value, sizeof(value));
}

bool
cpu_lapic_pending(const struct cpu_lapic *lapic, unsigned vector)
{
	unsigned reg = CPU_LAPIC_IRR + vector / 32 * 0x10;

	return (cpu_lapic_read(lapic, reg) & 1U << vector % 32) != 0;
}

void
cpu_lapic_set_pending(struct cpu_lapic *lapic, unsigned vector, bool pending)
{
	unsigned reg = CPU_LAPIC_IRR + vector / 32 * 0x10;
	uint32_t bit = 1U << vector % 32;
	uint32_t irr = cpu_lapic_read(lapic, reg);

	cpu_lapic_write(lapic, reg, pending ? irr | bit : irr & ~bit);
}

void
cpu_lapic_silence_timer(struct cpu_lapic *lapic)
{
	uint32_t lvt = cpu_lapic_read(lapic, CPU_LAPIC_LVT_TIMER);

	cpu_lapic_set_pending(lapic, lvt & CPU_LAPIC_LVT_VECTOR, false);
	cpu_lapic_write(lapic, CPU_LAPIC_LVT_TIMER, lvt | CPU_LAPIC_LVT_MASKED);
	cpu_lapic_write(lapic, CPU_LAPIC_TIMER_INITIAL, 0);
	cpu_lapic_write(lapic, CPU_LAPIC_TIMER_CURRENT, 0);
}

/* The kernel's own limit, for what it takes for the same frequency. */
#define TSC_TOLERANCE_PPM 250

int
cpu_tsc_check(uint32_t wanted_khz, uint32_t host_khz, struct lf_error *error)
{
	uint64_t apart = wanted_khz > host_khz ? wanted_khz - host_khz
					       : host_khz - wanted_khz;

	if (wanted_khz == 0 || host_khz == 0 ||
	    apart * 1000000 / host_khz <= TSC_TOLERANCE_PPM)
		return 0;
	return error_set(error, ENOTSUP,
	    "the parent's TSC runs at %u kHz, this host's at %u kHz",
	    wanted_khz, host_khz);
}
