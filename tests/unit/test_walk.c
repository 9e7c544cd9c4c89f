/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cpu/walk: every paging mode and page size, what CR3 carries besides the
 * address, rights, and tables that lead nowhere.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "cpu/arch.h"
#include "cpu/walk.h"

#define MEMORY 0x10000

static uint8_t memory[MEMORY];

static int
read_memory(void *opaque, uint64_t gpa, void *buf, size_t len)
{
	(void)opaque;
	if (gpa >= MEMORY || len > MEMORY - gpa)
		return -EFAULT;
	memcpy(buf, memory + gpa, len);
	return 0;
}

static void
put64(uint64_t gpa, uint64_t value)
{
	memcpy(memory + gpa, &value, 8);
}

static void
put32(uint64_t gpa, uint32_t value)
{
	memcpy(memory + gpa, &value, 4);
}

static const struct walk_mode long_mode = {
    .cr0 = CR0_PE | CR0_PG,
    .cr3 = 0x1000,
    .cr4 = CR4_PAE,
    .efer = EFER_LME | EFER_LMA | EFER_NXE,
};

static int
translate(const struct walk_mode *mode, uint64_t gva, struct walk *walk,
    struct lf_error *error)
{
	return walk_gva(mode, read_memory, NULL, gva, walk, error);
}

static void
make_four_levels(uint64_t pte)
{
	memset(memory, 0, sizeof(memory));
	put64(0x1000 + 8 * 1, 0x2000 | 7);
	put64(0x2000 + 8 * 2, 0x3000 | 7);
	put64(0x3000 + 8 * 3, 0x4000 | 7);
	put64(0x4000 + 8 * 4, pte);
}

#define GVA_1234 (1UL << 39 | 2UL << 30 | 3UL << 21 | 4UL << 12)

Test(walk, four_levels)
{
	struct walk walk;

	make_four_levels(0xabcd000 | 7);
	cr_assert_eq(translate(&long_mode, GVA_1234 + 0x123, &walk, NULL), 0);
	cr_assert_eq(walk.gpa, 0xabcd123);
	cr_assert_eq(walk.page_bytes, 4096);
	cr_assert_eq(walk.levels, 4);
	cr_assert_eq(walk.entry_gpa[3], 0x4000 + 8 * 4);
	cr_assert(walk.writable && walk.user && walk.executable);
}

Test(walk, five_levels)
{
	struct walk_mode mode = long_mode;
	struct walk walk;

	make_four_levels(0xabcd000 | 7);
	put64(0x5000 + 8 * 9, 0x1000 | 7);
	mode.cr3 = 0x5000;
	mode.cr4 |= CR4_LA57;
	cr_assert_eq(translate(&mode, 9UL << 48 | GVA_1234, &walk, NULL), 0);
	cr_assert_eq(walk.gpa, 0xabcd000);
	cr_assert_eq(walk.levels, 5);
}

Test(walk, large_pages_of_2_mib_and_1_gib)
{
	struct walk walk;

	make_four_levels(0);
	put64(0x3000 + 8 * 3, 0x40000000 | 0x87);
	cr_assert_eq(translate(&long_mode, GVA_1234 + 0x1234, &walk, NULL), 0);
	cr_assert_eq(walk.gpa, 0x40000000 + 0x4000 + 0x1234);
	cr_assert_eq(walk.page_bytes, 2 << 20);
	put64(0x2000 + 8 * 2, 0x80000000 | 0x87);
	cr_assert_eq(translate(&long_mode, GVA_1234, &walk, NULL), 0);
	cr_assert_eq(walk.gpa, 0x80000000 + (GVA_1234 & 0x3fffffff));
	cr_assert_eq(walk.page_bytes, 1 << 30);
}

Test(walk, cr3_carries_pcid_and_the_choice_of_tables)
{
	struct walk_mode mode = long_mode;
	struct walk walk;

	make_four_levels(0xabcd000 | 7);
	mode.cr3 = 0x1000 | 0x805 | 1ULL << 63;
	cr_assert_eq(translate(&mode, GVA_1234, &walk, NULL), 0);
	/* Page-table isolation: the user's tables are one page further on. */
	memcpy(memory + 0x7000, memory + 0x1000, 4096);
	mode.cr3 = 0x6000 | 0x1000 | 0x805;
	cr_assert_eq(translate(&mode, GVA_1234, &walk, NULL), 0);
	cr_assert_eq(walk.entry_gpa[0], 0x7000 + 8);
}

Test(walk, pae_has_four_pointers_and_no_rights_in_them)
{
	const struct walk_mode mode = {.cr0 = CR0_PE | CR0_PG,
	    .cr3 = 0x1020,
	    .cr4 = CR4_PAE,
	    .efer = EFER_NXE};
	struct walk walk;

	memset(memory, 0, sizeof(memory));
	put64(0x1020 + 8 * 3, 0x2000 | 1);
	put64(0x2000 + 8 * 5, 0x3000 | 7);
	put64(0x3000 + 8 * 6, 0x123456000 | 5 | 1ULL << 63);
	cr_assert_eq(translate(&mode, 3UL << 30 | 5UL << 21 | 6UL << 12 | 7,
			 &walk, NULL),
	    0);
	cr_assert_eq(walk.gpa, 0x123456007);
	cr_assert(walk.user);
	cr_assert_not(walk.writable);
	cr_assert_not(walk.executable);
	put64(0x2000 + 8 * 5, 0x600000 | 0x87);
	cr_assert_eq(
	    translate(&mode, 3UL << 30 | 5UL << 21 | 6UL << 12, &walk, NULL),
	    0);
	cr_assert_eq(walk.gpa, 0x606000);
}

Test(walk, thirty_two_bits_with_small_and_large_pages)
{
	struct walk_mode mode = {
	    .cr0 = CR0_PE | CR0_PG, .cr3 = 0x1000, .cr4 = CR4_PSE};
	struct walk walk;

	memset(memory, 0, sizeof(memory));
	put32(0x1000 + 4 * 0x300, 0x2000 | 7);
	put32(0x2000 + 4 * 0x11, 0xfedcb000 | 7);
	cr_assert_eq(translate(&mode, 0xc0011abc, &walk, NULL), 0);
	cr_assert_eq(walk.gpa, 0xfedcbabc);
	cr_assert_eq(walk.entry_bytes, 4);
	/* PSE-36: bits 13 to 20 are the address's 32 to 39. */
	put32(0x1000 + 4 * 0x301, 0x00800000 | 1 << 13 | 0x87);
	cr_assert_eq(translate(&mode, 0xc0412345, &walk, NULL), 0);
	cr_assert_eq(walk.gpa, 0x100812345);
	cr_assert_eq(walk.page_bytes, 4 << 20);
	/* Without PSE bit 7 means nothing. */
	mode.cr4 = 0;
	put32(0x1000 + 4 * 0x301, 0x2000 | 0x87);
	cr_assert_eq(translate(&mode, 0xc0411abc, &walk, NULL), 0);
	cr_assert_eq(walk.gpa, 0xfedcbabc);
}

Test(walk, without_paging_addresses_are_physical_and_a20_counts)
{
	struct walk_mode mode = {.cr0 = CR0_PE};
	struct walk walk;

	cr_assert_eq(translate(&mode, 0x1ffff0, &walk, NULL), 0);
	cr_assert_eq(walk.gpa, 0x1ffff0);
	cr_assert_eq(walk.page_bytes, 0);
	mode.a20_closed = true;
	cr_assert_eq(translate(&mode, 0x1ffff0, &walk, NULL), 0);
	cr_assert_eq(walk.gpa, 0x0ffff0);
}

Test(walk, what_is_not_mapped_names_the_entry)
{
	struct lf_error error;
	struct walk walk;

	make_four_levels(0xabcd000 | 6);
	cr_assert_eq(translate(&long_mode, GVA_1234, &walk, &error), -EFAULT);
	cr_assert_str_eq(error.message,
	    "address 0x8080604000 is not mapped: entry 0xabcd006 at 0x4020 "
	    "(level 3)");
	cr_assert_eq(walk.levels, 4);
	put64(0x3000 + 8 * 3, 0xdead000 | 7);
	cr_assert_eq(translate(&long_mode, GVA_1234, &walk, &error), -EFAULT);
	cr_assert_str_eq(error.message,
	    "address 0x8080604000: its page table entry at 0xdead020 (level 3) "
	    "is not in memory");
	cr_assert_eq(translate(&long_mode, 1UL << 47, &walk, &error), -EFAULT);
	cr_assert_str_eq(
	    error.message, "address 0x800000000000 is not canonical");
}

Test(walk, reading_stops_at_the_first_hole)
{
	char buf[0x30];

	make_four_levels(0x8000 | 7);
	memset(memory + 0x8000, 0x41, 0x1000);
	cr_assert_eq(walk_read(&long_mode, read_memory, NULL, GVA_1234 + 0xff0,
			 buf, sizeof(buf)),
	    0x10);
	cr_assert_eq(buf[0xf], 0x41);
}
