/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPUID tables. Leaf numbers and bits: Intel SDM volume 2A (CPUID), AMD APM
 * volume 3 appendix E.
 */
#include "cpu/cpuid.h"

#include <errno.h>
#include <stddef.h>

#include "base/error.h"

#define LEAF1_ECX_OSXSAVE (1U << 27)
#define LEAF1_EDX_APIC    (1U << 9)
#define LEAF7_ECX_OSPKE   (1U << 4)

const struct cpu_cpuid_entry *
cpu_cpuid_find(const struct cpu_cpuid *cpuid, uint32_t function, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < cpuid->count; i++) {
		const struct cpu_cpuid_entry *entry = &cpuid->entry[i];

		if (entry->function == function &&
		    ((entry->flags & CPU_CPUID_INDEXED) == 0 ||
			entry->index == index))
			return entry;
	}
	return NULL;
}

void
cpu_cpuid_set_apic_id(struct cpu_cpuid *cpuid, uint32_t apic_id)
{
	uint32_t i;

	for (i = 0; i < cpuid->count; i++) {
		struct cpu_cpuid_entry *entry = &cpuid->entry[i];

		switch (entry->function) {
		case 1:
			entry->ebx &= 0x00ffffff;
			entry->ebx |= apic_id << 24;
			break;
		case 0xb:
		case 0x1f:
			entry->edx = apic_id;
			break;
		case 0x8000001e:
			entry->eax = apic_id;
			break;
		}
	}
}

/* Masks of what is compared; what KVM derives at run time is left out. */
static void
compared_bits(uint32_t function, uint32_t index, uint32_t mask[4])
{
	mask[0] = mask[1] = mask[2] = mask[3] = ~0U;
	switch (function) {
	case 1:
		mask[1] = 0x00ffffff;
		mask[2] = ~LEAF1_ECX_OSXSAVE;
		mask[3] = ~LEAF1_EDX_APIC;
		break;
	case 7:
		if (index == 0)
			mask[2] = ~LEAF7_ECX_OSPKE;
		break;
	case 0xb:
	case 0x1f:
		mask[3] = 0;
		break;
	case 0xd:
		/* EBX: size of what XCR0 enables now. */
		if (index < 2)
			mask[1] = 0;
		break;
	case 0x8000001e:
		mask[0] = 0;
		break;
	}
}

int
cpu_cpuid_compare(const struct cpu_cpuid *wanted, const struct cpu_cpuid *found,
    struct lf_error *error)
{
	static const char *const names[4] = {"eax", "ebx", "ecx", "edx"};
	uint32_t i;
	unsigned r;

	for (i = 0; i < wanted->count; i++) {
		const struct cpu_cpuid_entry *a = &wanted->entry[i];
		const struct cpu_cpuid_entry *b =
		    cpu_cpuid_find(found, a->function, a->index);
		uint32_t mask[4];

		if (b == NULL)
			return error_set(error, EBADMSG,
			    "CPUID leaf 0x%x.%u is not there", a->function,
			    a->index);
		const uint32_t x[4] = {a->eax, a->ebx, a->ecx, a->edx};
		const uint32_t y[4] = {b->eax, b->ebx, b->ecx, b->edx};

		compared_bits(a->function, a->index, mask);
		for (r = 0; r < 4; r++)
			if ((x[r] & mask[r]) != (y[r] & mask[r]))
				return error_set(error, EBADMSG,
				    "CPUID leaf 0x%x.%u: %s is 0x%x, 0x%x "
				    "wanted",
				    a->function, a->index, names[r], y[r],
				    x[r]);
	}
	return 0;
}

/* Registers whose bits are features, and the bits that do not count. */
struct feature_register {
	uint32_t function, index;
	unsigned reg; /* eax, ebx, ecx, edx */
	uint32_t ignored;
};

static const struct feature_register feature_registers[] = {
    /* x2APIC, TSC deadline, OSXSAVE, hypervisor */
    {0x1, 0, 2, 1U << 21 | 1U << 24 | LEAF1_ECX_OSXSAVE | 1U << 31},
    {0x1, 0, 3, LEAF1_EDX_APIC},
    {0x7, 0, 1, 0},
    {0x7, 0, 2, LEAF7_ECX_OSPKE},
    {0x7, 0, 3, 0},
    {0x7, 1, 0, 0},
    {0xd, 0, 0, 0},
    {0xd, 1, 0, 0},
    {0x80000001, 0, 2, 0},
    {0x80000001, 0, 3, LEAF1_EDX_APIC},
    {0x80000007, 0, 3, 0},
    {0x80000008, 0, 1, 0},
};

int
cpu_cpuid_check_supported(const struct cpu_cpuid *wanted,
    const struct cpu_cpuid *host, struct lf_error *error)
{
	static const char *const names[4] = {"eax", "ebx", "ecx", "edx"};
	size_t i;

	for (i = 0;
	     i < sizeof(feature_registers) / sizeof(feature_registers[0]);
	     i++) {
		const struct feature_register *f = &feature_registers[i];
		const struct cpu_cpuid_entry *a =
		    cpu_cpuid_find(wanted, f->function, f->index);
		const struct cpu_cpuid_entry *b =
		    cpu_cpuid_find(host, f->function, f->index);
		const uint32_t none[4] = {0};
		const uint32_t *have = b != NULL ? &b->eax : none;
		uint32_t missing;

		if (a == NULL)
			continue;
		missing = (&a->eax)[f->reg] & ~have[f->reg] & ~f->ignored;
		if (missing != 0)
			return error_set(error, ENOTSUP,
			    "CPUID leaf 0x%x.%u: features 0x%x of %s are "
			    "missing on this host",
			    f->function, f->index, missing, names[f->reg]);
	}
	return 0;
}
