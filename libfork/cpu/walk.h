/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Page-table walk: from a linear address to a guest-physical one, as the CPU
 * would do it, for every paging mode of x86. KVM's own translation obeys SMAP
 * and the current privilege level; this one is for looking, not for
 * accessing, and obeys neither. It reads guest memory through the caller's
 * function and trusts nothing that it reads there.
 */
#ifndef CPU_WALK_H
#define CPU_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "cpu/state.h"

/* Reads guest-physical memory: 0, or -EFAULT where there is none. */
typedef int walk_read_fn(void *opaque, uint64_t gpa, void *buf, size_t len);

/* The registers that decide about paging. */
struct walk_mode {
	uint64_t cr0, cr3, cr4, efer;
	/* The A20 gate is closed: bit 20 of physical addresses reads as 0. */
	bool a20_closed;
};

#define WALK_LEVELS_MAX 5

struct walk {
	uint64_t gpa;
	uint64_t page_bytes; /* of the page it is in; 0: paging is off */
	bool writable, user, executable, global;
	/* The entries that were used, the root's first. */
	unsigned levels;
	uint64_t entry_gpa[WALK_LEVELS_MAX];
	uint64_t entry[WALK_LEVELS_MAX];
	uint8_t entry_bytes; /* 4 or 8 */
};

void walk_mode_init(struct walk_mode *mode, const struct cpu_sregs *sregs);

/*
 * -EFAULT: the address is not mapped (or not canonical); the message says
 * which entry is not there, `ret` holds the entries up to it.
 */
int walk_gva(const struct walk_mode *mode, walk_read_fn *read, void *opaque,
    uint64_t gva, struct walk *ret, struct lf_error *error);

/*
 * Reads linear memory, page by page. Returns the bytes read before the first
 * address that is not mapped: 0 to `len`.
 */
size_t walk_read(const struct walk_mode *mode, walk_read_fn *read, void *opaque,
    uint64_t gva, void *buf, size_t len);

#endif
