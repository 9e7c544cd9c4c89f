/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The symbol tables that a Linux kernel keeps for /proc/kallsyms, found in
 * guest-physical memory. What they look like is told by the kernel's
 * scripts/kallsyms.c and kernel/kallsyms.c.
 */
#ifndef VMI_KALLSYMS_H
#define VMI_KALLSYMS_H

#include <libfork/vmi.h>

/* One set of tables, and where in guest-physical memory they are. */
struct kallsyms {
	uint64_t num_syms, token_table, token_index, offsets, relative_base;
	uint32_t count;
	struct lf_symbols *symbols;
};

/*
 * Finds the first set of tables at or above `*position` (guest-physical),
 * which is then where the search goes on. -ENOENT: no further one.
 */
int kallsyms_find(const struct lf_guest_memory *memory, uint64_t *position,
    struct kallsyms *ret_tables, struct lf_error *error);

#endif
