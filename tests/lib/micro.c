/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Building the guest of micro.h out of raw parts. Fails by abort(): its users
 * are tests with and without Criterion, and benchmarks.
 */
#include "lib/micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/device.h"

#define GIB        (1UL << 30)
#define PML4       0x1000UL
#define PDPT       0x2000UL
#define PD         0x3000UL /* one page per GiB */
#define GIB_MAX    16UL
#define PTE_FLAGS  0x67UL /* present, writable, user, accessed, dirty */
#define PTE_LARGE  0x80UL
#define LARGE_PAGE (2UL << 20)

extern const uint8_t micro_code[], micro_code_end[];
extern const uint8_t micro_entry_0[], micro_entry_1[], micro_entry_2[],
    micro_entry_3[], micro_entry_4[], micro_entry_5[], micro_entry_6[];

static const uint8_t *const entries[] = {
    [MICRO_WRITES] = micro_entry_0,
    [MICRO_TOUCH] = micro_entry_1,
    [MICRO_COUNT] = micro_entry_2,
    [MICRO_IN] = micro_entry_3,
    [MICRO_CRASH] = micro_entry_4,
    [MICRO_FPU] = micro_entry_5,
    [MICRO_TOUCH_AT] = micro_entry_6,
};

static void
must(int rc, const struct lf_error *error)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "micro-guest: %s\n", error->message);
	abort();
}

bool
micro_usable(const char **ret_why)
{
	static struct lf_error error;
	const struct kvm_device *device;

	*ret_why = error.message;
	return kvm_device_get(&device, &error) == 0;
}

void
micro_regs(enum micro_entry entry, struct lf_vcpu_regs *ret_regs)
{
	const struct lf_segment data = {
	    .limit = 0xffffffff, .selector = 0x2b, .access = 0xc0f3};

	*ret_regs = (struct lf_vcpu_regs){
	    .rip = MICRO_CODE + (uint64_t)(entries[entry] - micro_code),
	    .rsp = MICRO_STACK,
	    .rflags = 0x3002, /* IOPL 3 */
	    .rbx = MICRO_LIST,
	    .rdi = MICRO_DATA,
	    .rsi = 4096,
	    .cs = {.limit = 0xffffffff, .selector = 0x33, .access = 0xa0fb},
	    .ss = data,
	    .ds = data,
	    .es = data,
	    .fs = data,
	    .gs = data,
	    .tr = {.limit = 0x67, .selector = 0x40, .access = 0x008b},
	    .cr0 = 0x80050033,
	    .cr3 = PML4,
	    .cr4 = 0x620,      /* PAE, OSFXSR, OSXMMEXCPT */
	    .efer = 0xd00 | 1, /* SCE, LME, LMA, NXE */
	    .apic_base = 0xfee00900,
	};
}

struct lf_snapshot_builder *
micro_builder(uint64_t ram_bytes)
{
	static uint8_t low[MICRO_DATA];
	size_t code_len = (size_t)(micro_code_end - micro_code);
	struct lf_snapshot_builder *builder;
	struct lf_error error;
	uint64_t i, gib = (ram_bytes + GIB - 1) / GIB;

	if (gib > GIB_MAX || ram_bytes < sizeof(low))
		abort();
	memset(low, 0, sizeof(low));
	((uint64_t *)(low + PML4))[0] = PDPT | PTE_FLAGS;
	for (i = 0; i < gib; i++)
		((uint64_t *)(low + PDPT))[i] = (PD + i * 4096) | PTE_FLAGS;
	for (i = 0; i < gib * 512; i++)
		((uint64_t *)(low + PD))[i] =
		    i * LARGE_PAGE | PTE_FLAGS | PTE_LARGE;
	memcpy(low + MICRO_CODE, micro_code, code_len);

	must(lf_snapshot_builder_new(&builder, &error), &error);
	must(lf_snapshot_builder_add_buffer(
		 builder, low, sizeof(low), ram_bytes, &error),
	    &error);
	must(lf_snapshot_builder_add_range(
		 builder, 0, ram_bytes, 0, 0, 0, &error),
	    &error);
	return builder;
}

struct lf_snapshot *
micro_snapshot(
    uint64_t ram_bytes, const struct lf_vcpu_regs *regs, unsigned vcpus)
{
	struct lf_snapshot_builder *builder = micro_builder(ram_bytes);
	struct lf_snapshot *snapshot;
	struct lf_error error;

	while (vcpus-- > 0)
		must(lf_snapshot_builder_add_vcpu(builder, regs, &error),
		    &error);
	must(lf_snapshot_builder_finish(builder, &snapshot, &error), &error);
	lf_snapshot_builder_free(builder);
	return snapshot;
}
