/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Page-table walk: Intel SDM volume 3, chapter 4; AMD APM volume 2, chapter 5.
 */
#include "cpu/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "cpu/arch.h"

#define PTE_PRESENT  (1ULL << 0)
#define PTE_WRITABLE (1ULL << 1)
#define PTE_USER     (1ULL << 2)
#define PTE_LARGE    (1ULL << 7)
#define PTE_GLOBAL   (1ULL << 8)
#define PTE_NX       (1ULL << 63)

#define ADDRESS_64   0x000ffffffffff000ULL /* bits 51 to 12 */
#define A20          (1ULL << 20)

/* A paging mode: how an address is cut up. */
struct shape {
	unsigned levels;
	unsigned entry_bytes;
	unsigned bits;     /* of the address per level, but the top one's */
	unsigned top_bits; /* of PAE's top level: 2 */
	uint64_t root_mask;
};

void
walk_mode_init(struct walk_mode *mode, const struct cpu_sregs *sregs)
{
	*mode = (struct walk_mode){
	    .cr0 = sregs->cr0,
	    .cr3 = sregs->cr3,
	    .cr4 = sregs->cr4,
	    .efer = sregs->efer,
	};
}

/*
 * CR3's low bits are PCD and PWT, or the PCID, of which Linux's page-table
 * isolation uses bit 11; bit 12, its choice between kernel and user tables, is
 * part of the address. Bit 63 (keep the TLB) never reads as one; masked.
 */
static struct shape
shape_of(const struct walk_mode *mode)
{
	if (mode->efer & EFER_LMA)
		return (struct shape){
		    .levels = mode->cr4 & CR4_LA57 ? 5 : 4,
		    .entry_bytes = 8,
		    .bits = 9,
		    .top_bits = 9,
		    .root_mask = ADDRESS_64,
		};
	if (mode->cr4 & CR4_PAE)
		return (struct shape){
		    .levels = 3,
		    .entry_bytes = 8,
		    .bits = 9,
		    .top_bits = 2,
		    .root_mask = 0xffffffe0,
		};
	return (struct shape){
	    .levels = 2,
	    .entry_bytes = 4,
	    .bits = 10,
	    .top_bits = 10,
	    .root_mask = 0xfffff000,
	};
}

static bool
canonical(const struct walk_mode *mode, uint64_t gva)
{
	unsigned bits = mode->cr4 & CR4_LA57 ? 57 : 48;
	int64_t top = (int64_t)gva >> (bits - 1);

	return top == 0 || top == -1;
}

static int
read_entry(const struct walk_mode *mode, walk_read_fn *read, void *opaque,
    struct walk *walk, unsigned level, uint64_t gva, struct lf_error *error)
{
	uint8_t bytes[8] = {0};
	uint64_t value = 0;

	if (mode->a20_closed)
		walk->entry_gpa[level] &= ~A20;
	if (read(opaque, walk->entry_gpa[level], bytes, walk->entry_bytes) < 0)
		return error_set(error, EFAULT,
		    "address 0x%" PRIx64 ": its page table entry at 0x%" PRIx64
		    " (level %u) is not in memory",
		    gva, walk->entry_gpa[level], level);
	memcpy(&value, bytes, sizeof(value));
	walk->entry[level] = value;
	walk->levels = level + 1;
	if ((value & PTE_PRESENT) == 0)
		return error_set(error, EFAULT,
		    "address 0x%" PRIx64 " is not mapped: entry 0x%" PRIx64
		    " at 0x%" PRIx64 " (level %u)",
		    gva, value, walk->entry_gpa[level], level);
	return 0;
}

/* A large page's entry has bit 7 set where the mode allows one there. */
static bool
is_page(const struct walk_mode *mode, const struct shape *shape,
    unsigned levels_left, uint64_t entry)
{
	if (levels_left == 1)
		return true;
	if ((entry & PTE_LARGE) == 0)
		return false;
	if (shape->entry_bytes == 4)
		return (mode->cr4 & CR4_PSE) != 0;
	/* 2 MiB in every 64-bit format, 1 GiB in long mode only. */
	return levels_left == 2 || (levels_left == 3 && shape->levels > 3);
}

/* The page's address. PSE-36: a 4 MiB page's bits 13 to 20 are the address's
 * 32 to 39. */
static uint64_t
page_base(const struct shape *shape, uint64_t entry, uint64_t page_bytes)
{
	if (shape->entry_bytes == 8)
		return entry & ADDRESS_64 & ~(page_bytes - 1);
	if (page_bytes == 4096)
		return entry & 0xfffff000;
	return (entry & 0xffc00000) | ((entry >> 13) & 0xff) << 32;
}

/* Each level's rights limit the page's; PAE's top entries have none. */
static void
apply_rights(struct walk *walk, const struct walk_mode *mode,
    const struct shape *shape, unsigned level, uint64_t entry)
{
	if (shape->top_bits == 2 && level == 0)
		return;
	if ((entry & PTE_WRITABLE) == 0)
		walk->writable = false;
	if ((entry & PTE_USER) == 0)
		walk->user = false;
	if (shape->entry_bytes == 8 && (entry & PTE_NX) &&
	    (mode->efer & EFER_NXE))
		walk->executable = false;
}

int
walk_gva(const struct walk_mode *mode, walk_read_fn *read, void *opaque,
    uint64_t gva, struct walk *ret, struct lf_error *error)
{
	struct shape shape = shape_of(mode);
	unsigned level, shift, bits;
	uint64_t table, index;
	int rc;

	*ret =
	    (struct walk){.writable = true, .user = true, .executable = true};
	if ((mode->cr0 & CR0_PG) == 0) {
		ret->gpa = gva & 0xffffffff;
		if (mode->a20_closed)
			ret->gpa &= ~A20;
		return 0;
	}
	if ((mode->efer & EFER_LMA) == 0)
		gva &= 0xffffffff;
	else if (!canonical(mode, gva))
		return error_set(error, EFAULT,
		    "address 0x%" PRIx64 " is not canonical", gva);
	ret->entry_bytes = shape.entry_bytes;
	table = mode->cr3 & shape.root_mask;
	shift = 12 + shape.bits * (shape.levels - 1);
	for (level = 0;; level++, shift -= shape.bits) {
		unsigned levels_left = shape.levels - level;

		bits = level == 0 ? shape.top_bits : shape.bits;
		index = (gva >> shift) & ((1ULL << bits) - 1);
		ret->entry_gpa[level] = table + index * shape.entry_bytes;
		rc = read_entry(mode, read, opaque, ret, level, gva, error);
		if (rc < 0)
			return rc;
		apply_rights(ret, mode, &shape, level, ret->entry[level]);
		if (is_page(mode, &shape, levels_left, ret->entry[level]))
			break;
		table = ret->entry[level] &
			(shape.entry_bytes == 8 ? ADDRESS_64 : 0xfffff000);
	}
	ret->page_bytes = 1ULL << shift;
	ret->global = (ret->entry[level] & PTE_GLOBAL) != 0;
	ret->gpa = page_base(&shape, ret->entry[level], ret->page_bytes) |
		   (gva & (ret->page_bytes - 1));
	if (mode->a20_closed)
		ret->gpa &= ~A20;
	return 0;
}

size_t
walk_read(const struct walk_mode *mode, walk_read_fn *read, void *opaque,
    uint64_t gva, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t part = 4096 - ((gva + done) & 4095);
		struct walk walk;

		if (part > len - done)
			part = len - done;
		if (walk_gva(mode, read, opaque, gva + done, &walk, NULL) < 0 ||
		    read(opaque, walk.gpa, (char *)buf + done, part) < 0)
			break;
		done += part;
	}
	return done;
}
