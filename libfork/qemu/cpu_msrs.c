/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MSRs, by the table in cpu_msrs.def.
 */
#include "qemu/cpu_msrs.h"

#include <stddef.h>
#include <string.h>

struct msr_row {
	uint32_t index, distance;
	size_t offset;
	uint16_t count;
	uint8_t bytes;
	uint64_t reset;
};

#define CPU_MSR(msr, member, after_reset)                    \
	{.index = (msr),                                     \
	    .offset = offsetof(struct qemu_cpu, member),     \
	    .count = 1,                                      \
	    .bytes = sizeof(((struct qemu_cpu *)0)->member), \
	    .reset = (after_reset)},
#define CPU_MSRS(first, apart, member)                                     \
	{.index = (first),                                                 \
	    .distance = (apart),                                           \
	    .offset = offsetof(struct qemu_cpu, member),                   \
	    .count =                                                       \
		sizeof(((struct qemu_cpu *)0)->member) / sizeof(uint64_t), \
	    .bytes = sizeof(uint64_t)},
static const struct msr_row msr_rows[] = {
#include "qemu/cpu_msrs.def"
};
#undef CPU_MSR
#undef CPU_MSRS

#define MSR_ROWS (sizeof(msr_rows) / sizeof(msr_rows[0]))

/* Bits of an MTRR's mask that are no address of this guest. */
static uint64_t
not_an_address(uint8_t phys_bits)
{
	if (phys_bits == 0 || phys_bits >= 64)
		return 0;
	return ~UINT64_C(0) << phys_bits;
}

static bool
is_mtrr_mask(uint32_t index)
{
	return index >= 0x201 && index <= 0x20f && (index & 1) != 0;
}

int
qemu_msrs_to_state(const struct qemu_cpu *cpu, uint8_t phys_bits,
    struct cpu_state *state, struct lf_error *error)
{
	size_t i;
	unsigned n;

	for (i = 0; i < MSR_ROWS; i++) {
		const struct msr_row *row = &msr_rows[i];

		for (n = 0; n < row->count; n++) {
			uint32_t index = row->index + n * row->distance;
			uint64_t value = 0, here;
			int rc;

			memcpy(&value,
			    (const uint8_t *)cpu + row->offset +
				(size_t)n * row->bytes,
			    row->bytes);
			if (is_mtrr_mask(index))
				value &= ~not_an_address(phys_bits);
			/*
			 * One that this host does not have and the guest did
			 * not touch is left out; any other is loaded, and
			 * loading names it when KVM refuses it.
			 */
			if (value == row->reset &&
			    !cpu_state_msr(state, index, &here))
				continue;
			rc = cpu_state_set_msr(state, index, value, error);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

void
qemu_msrs_from_state(
    const struct cpu_state *state, uint8_t phys_bits, struct qemu_cpu *cpu)
{
	size_t i;
	unsigned n;

	for (i = 0; i < MSR_ROWS; i++) {
		const struct msr_row *row = &msr_rows[i];

		for (n = 0; n < row->count; n++) {
			uint32_t index = row->index + n * row->distance;
			uint8_t *to = (uint8_t *)cpu + row->offset +
				      (size_t)n * row->bytes;
			uint64_t value, before = 0;

			if (!cpu_state_msr(state, index, &value))
				continue;
			memcpy(&before, to, row->bytes);
			if (is_mtrr_mask(index))
				value |= before & not_an_address(phys_bits);
			memcpy(to, &value, row->bytes);
		}
	}
}
