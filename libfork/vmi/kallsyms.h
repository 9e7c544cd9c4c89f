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
	uint64_t num_syms, token_index, offsets;
	uint32_t count;
	struct lf_symbols *symbols;
};

/*
 * A search through guest memory. Its budgets are what keeps a guest full of
 * things that look like tables from making us work for ever.
 */
struct kallsyms_search {
	uint64_t position;    /* guest-physical; where the search goes on */
	uint32_t token_tries; /* token indices still looked at */
	uint32_t windows;     /* of those, with a token table */
	uint32_t names;       /* names still walked over */
};

void kallsyms_search_init(struct kallsyms_search *search);

/*
 * Finds the next set of tables. -ENOENT: no further one, or the search was
 * given up.
 */
int kallsyms_find(const struct lf_guest_memory *memory,
    struct kallsyms_search *search, struct kallsyms *ret_tables,
    struct lf_error *error);

#endif
