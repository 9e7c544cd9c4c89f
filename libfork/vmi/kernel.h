/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Linux kernel found in guest memory, for those that look into it.
 */
#ifndef VMI_KERNEL_H
#define VMI_KERNEL_H

#include <stdbool.h>

#include <libfork/domain.h>
#include <libfork/vmi.h>

#include "cpu/walk.h"
#include "vmi/btf.h"

struct lf_kernel {
	struct lf_guest_memory memory;     /* what it points to is borrowed */
	struct lf_guest_range *own_ranges; /* lf_kernel_find_in(), or NULL */
	struct lf_symbols *symbols;        /* owned */
	struct btf *btf;                   /* owned; NULL: not read yet */

	/* The kernel's own page tables; cr3 is 0 where they were not found. */
	struct walk_mode paging;

	/* The image lies in one piece: gpa = gva + image_delta. */
	bool has_image;
	uint64_t image_start, image_end, image_delta;
	uint64_t direct_map; /* where all physical memory is mapped */
};

/* Reads another fork of the snapshot that lf_kernel_find_in() was given. */
void kernel_look_at(struct lf_kernel *kernel, struct lf_domain *domain);

/* A symbol's address. */
int kernel_symbol(const struct lf_kernel *kernel, const char *name,
    uint64_t *ret_address, struct lf_error *error);

/* Reads 8 bytes of a symbol's variable. */
int kernel_read_u64(const struct lf_kernel *kernel, uint64_t address,
    uint64_t *ret_value, struct lf_error *error);

/*
 * Adds the symbols of all modules. What was added before an error is good, but
 * not all.
 */
int kernel_add_modules(struct lf_kernel *kernel, struct lf_symbols *symbols,
    struct lf_error *error);

#endif
