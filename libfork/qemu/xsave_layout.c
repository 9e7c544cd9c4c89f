/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between QEMU's fields and an XSAVE image. Each component is described once:
 * which bytes of struct qemu_cpu go where inside of it. A component whose
 * values are all initial may be absent from the image (its bit in XSTATE_BV
 * clear), so loading first sets everything to its initial state.
 */
#include "qemu/xsave_layout.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

/* The legacy area, as FXSAVE64 writes it, and the header. */
#define LEGACY_FCW        0
#define LEGACY_FSW        2
#define LEGACY_FTW        4
#define LEGACY_FOP        6
#define LEGACY_FIP        8
#define LEGACY_FDP        16
#define LEGACY_MXCSR      24
#define LEGACY_MXCSR_MASK 28
#define LEGACY_ST         32
#define LEGACY_XMM        160
#define HEADER_XSTATE_BV  512

#define COMPONENT_X87     0
#define COMPONENT_SSE     1

#define FCW_INITIAL       0x37f
#define MXCSR_INITIAL     0x1f80

struct part {
	size_t offset; /* in struct qemu_cpu */
	uint32_t at;   /* in the component */
	uint32_t bytes;
};

#define PARTS_MAX 2

struct component {
	unsigned number;
	const char *name;
	struct part parts[PARTS_MAX];
};

#define WHOLE(member, where)                                \
	{                                                   \
		offsetof(struct qemu_cpu, member), (where), \
		    sizeof(((struct qemu_cpu *)0)->member)  \
	}

static const struct component components[] = {
    {2, "AVX", {WHOLE(ymmh, 0)}},
    {3, "MPX bounds", {WHOLE(bnd_regs, 0)}},
    {4, "MPX configuration", {WHOLE(bnd_cfgu, 0), WHOLE(bnd_sts, 8)}},
    {5, "AVX-512 masks", {WHOLE(opmask, 0)}},
    {6, "AVX-512 ZMM0-15", {WHOLE(zmmh, 0)}},
    {7, "AVX-512 ZMM16-31", {WHOLE(zmm16, 0)}},
    {9, "protection keys", {WHOLE(pkru, 0)}},
};

#define COMPONENTS (sizeof(components) / sizeof(components[0]))

/* Components that the table above, the legacy area included, covers. */
static const uint64_t known = 0x2ff;

static bool
is_zero(const uint8_t *bytes, size_t len)
{
	while (len > 0)
		if (bytes[--len] != 0)
			return false;
	return true;
}

static bool
in_use(const struct component *component, const struct qemu_cpu *cpu)
{
	unsigned i;

	for (i = 0; i < PARTS_MAX; i++)
		if (!is_zero((const uint8_t *)cpu + component->parts[i].offset,
			component->parts[i].bytes))
			return true;
	return false;
}

/* Where a component lies in an image; NULL: the CPU does not have it. */
static uint8_t *
place_of(const struct component *component, const struct cpu_cpuid *cpuid,
    const struct cpu_xsave *xsave)
{
	const struct cpu_cpuid_entry *entry =
	    cpu_cpuid_find(cpuid, 0xd, component->number);

	if (entry == NULL || entry->eax == 0 || entry->ebx > xsave->len ||
	    entry->eax > xsave->len - entry->ebx)
		return NULL;
	return xsave->bytes + entry->ebx;
}

/* The image's number of the stream's FPU register. */
static unsigned
st_index(unsigned physical, uint16_t fsw, bool tcg)
{
	return tcg ? (physical - (fsw >> 11 & 7)) & 7 : physical;
}

static void
put(struct cpu_xsave *xsave, size_t at, const void *value, size_t len)
{
	memcpy(xsave->bytes + at, value, len);
}

static void
get(const struct cpu_xsave *xsave, size_t at, void *value, size_t len)
{
	memcpy(value, xsave->bytes + at, len);
}

static void
legacy_to_state(const struct qemu_cpu *cpu, bool tcg, struct cpu_xsave *xsave)
{
	unsigned i;

	put(xsave, LEGACY_FCW, &cpu->fpuc, 2);
	put(xsave, LEGACY_FSW, &cpu->fpus, 2);
	put(xsave, LEGACY_FTW, &cpu->fptag, 1);
	put(xsave, LEGACY_FOP, &cpu->fpop, 2);
	put(xsave, LEGACY_FIP, &cpu->fpip, 8);
	put(xsave, LEGACY_FDP, &cpu->fpdp, 8);
	put(xsave, LEGACY_MXCSR, &cpu->mxcsr, 4);
	for (i = 0; i < 8; i++) {
		size_t at = LEGACY_ST + 16 * st_index(i, cpu->fpus, tcg);

		put(xsave, at, &cpu->fpregs[i].mantissa, 8);
		put(xsave, at + 8, &cpu->fpregs[i].exponent, 2);
	}
	put(xsave, LEGACY_XMM, cpu->xmm, sizeof(cpu->xmm));
}

static void
legacy_from_state(
    const struct cpu_xsave *xsave, uint64_t bv, bool tcg, struct qemu_cpu *cpu)
{
	unsigned i;

	cpu->fptag = 0;
	if (bv & 1 << COMPONENT_X87) {
		get(xsave, LEGACY_FCW, &cpu->fpuc, 2);
		get(xsave, LEGACY_FSW, &cpu->fpus, 2);
		get(xsave, LEGACY_FTW, &cpu->fptag, 1);
		get(xsave, LEGACY_FOP, &cpu->fpop, 2);
		get(xsave, LEGACY_FIP, &cpu->fpip, 8);
		get(xsave, LEGACY_FDP, &cpu->fpdp, 8);
		for (i = 0; i < 8; i++) {
			size_t at =
			    LEGACY_ST + 16 * st_index(i, cpu->fpus, tcg);

			get(xsave, at, &cpu->fpregs[i].mantissa, 8);
			get(xsave, at + 8, &cpu->fpregs[i].exponent, 2);
		}
	} else {
		cpu->fpuc = FCW_INITIAL;
		cpu->fpus = 0;
		cpu->fpop = 0;
		cpu->fpip = cpu->fpdp = 0;
		memset(cpu->fpregs, 0, sizeof(cpu->fpregs));
	}
	get(xsave, LEGACY_MXCSR, &cpu->mxcsr, 4);
	if (bv & 1 << COMPONENT_SSE)
		get(xsave, LEGACY_XMM, cpu->xmm, sizeof(cpu->xmm));
	else
		memset(cpu->xmm, 0, sizeof(cpu->xmm));
}

/* Whether the legacy components hold anything but their initial values. */
static uint64_t
legacy_in_use(const struct qemu_cpu *cpu)
{
	uint64_t bv = 0;

	if (cpu->fpuc != FCW_INITIAL || cpu->fpus != 0 || cpu->fptag != 0 ||
	    cpu->fpop != 0 || cpu->fpip != 0 || cpu->fpdp != 0)
		bv |= 1 << COMPONENT_X87;
	if (cpu->mxcsr != MXCSR_INITIAL ||
	    !is_zero((const uint8_t *)cpu->xmm, sizeof(cpu->xmm)))
		bv |= 1 << COMPONENT_SSE;
	return bv;
}

int
xsave_to_state(const struct qemu_cpu *cpu, bool tcg,
    const struct cpu_cpuid *cpuid, struct cpu_xsave *xsave,
    struct lf_error *error)
{
	uint64_t bv = (cpu->xstate_bv & known) | legacy_in_use(cpu);
	size_t i;

	if (cpu->xstate_bv & ~known)
		return error_set(error, ENOTSUP,
		    "XSAVE components 0x%llx are in use, libfork knows 0x%llx",
		    (unsigned long long)cpu->xstate_bv,
		    (unsigned long long)known);
	/* MXCSR's mask is the host's; it stays. */
	memset(xsave->bytes, 0, LEGACY_MXCSR_MASK);
	memset(xsave->bytes + LEGACY_ST, 0, xsave->len - LEGACY_ST);
	legacy_to_state(cpu, tcg, xsave);
	for (i = 0; i < COMPONENTS; i++) {
		const struct component *component = &components[i];
		uint8_t *place = place_of(component, cpuid, xsave);
		uint64_t bit = UINT64_C(1) << component->number;
		bool used = in_use(component, cpu);
		unsigned n;

		if (used && place == NULL)
			return error_set(error, ENOTSUP,
			    "the guest uses %s, which this CPU does not have",
			    component->name);
		if (used)
			bv |= bit;
		if (place == NULL) {
			bv &= ~bit;
			continue;
		}
		for (n = 0; n < PARTS_MAX; n++)
			memcpy(place + component->parts[n].at,
			    (const uint8_t *)cpu + component->parts[n].offset,
			    component->parts[n].bytes);
	}
	put(xsave, HEADER_XSTATE_BV, &bv, sizeof(bv));
	return 0;
}

int
xsave_from_state(const struct cpu_xsave *xsave, bool tcg,
    const struct cpu_cpuid *cpuid, struct qemu_cpu *cpu, struct lf_error *error)
{
	uint64_t bv;
	size_t i;

	get(xsave, HEADER_XSTATE_BV, &bv, sizeof(bv));
	if (bv & ~known)
		return error_set(error, ENOTSUP,
		    "XSAVE components 0x%llx are in use, libfork knows 0x%llx",
		    (unsigned long long)bv, (unsigned long long)known);
	legacy_from_state(xsave, bv, tcg, cpu);
	for (i = 0; i < COMPONENTS; i++) {
		const struct component *component = &components[i];
		const uint8_t *place = place_of(component, cpuid, xsave);
		bool used = bv >> component->number & 1;
		unsigned n;

		if (used && place == NULL)
			return error_set(error, ENOTSUP,
			    "the image has %s, which this CPU does not have",
			    component->name);
		for (n = 0; n < PARTS_MAX; n++) {
			const struct part *part = &component->parts[n];
			uint8_t *to = (uint8_t *)cpu + part->offset;

			if (used)
				memcpy(to, place + part->at, part->bytes);
			else
				memset(to, 0, part->bytes);
		}
	}
	cpu->xstate_bv = bv;
	return 0;
}
