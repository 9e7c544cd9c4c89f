/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding the running Linux kernel. Where its image lies in guest-physical
 * memory follows from the symbols and from the kernel's own `phys_base`: the
 * one distance at which that variable holds this very distance. A copy of a
 * kernel that does not run (a file in the page cache, the kernel before a
 * kexec) has another value there.
 */
#include "vmi/kernel.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/sys.h"
#include "cpu/arch.h"
#include "vmi/guest_memory.h"
#include "vmi/kallsyms.h"
#include "vmi/symbols.h"

/* __START_KERNEL_map: the image is mapped from here (Documentation/arch/x86/
 * x86_64/mm.rst), shifted by phys_base. */
#define KERNEL_MAP UINT64_C(0xffffffff80000000)

/* Both the physical and the virtual place are multiples of this. */
#define KERNEL_ALIGN (UINT64_C(2) << 20)

/* The direct map without CONFIG_RANDOMIZE_MEMORY. */
#define DIRECT_MAP UINT64_C(0xffff888000000000)

/*
 * Tries every place where the tables found at `inside` are part of the image.
 * 1: found, 0: no place fits, -ENOENT: this kernel has no such variables.
 */
static int
locate_image(struct lf_kernel *kernel, uint64_t inside)
{
	const struct lf_guest_memory *memory = &kernel->memory;
	uint64_t start = 0, end = 0, variable = 0, lowest, gpa;
	uint8_t bytes[8];

	if (kernel_symbol(kernel, "_text", &start, NULL) < 0 ||
	    kernel_symbol(kernel, "_end", &end, NULL) < 0 ||
	    kernel_symbol(kernel, "phys_base", &variable, NULL) < 0 ||
	    start < KERNEL_MAP || end <= start || variable < start ||
	    variable >= end)
		return -ENOENT;
	lowest = inside > end - start ? inside - (end - start) : 0;
	lowest = (lowest + KERNEL_ALIGN - 1) & -KERNEL_ALIGN;
	/* `gpa` is where _text would be, but for its place in its 2 MiB. */
	for (gpa = lowest; gpa <= inside; gpa += KERNEL_ALIGN) {
		uint64_t delta = gpa - (start & -KERNEL_ALIGN);

		if (memory->read(memory->opaque, variable + delta, bytes,
			sizeof(bytes)) < 0)
			continue;
		if (get_le64(bytes) != delta + KERNEL_MAP)
			continue;
		kernel->has_image = true;
		kernel->image_start = start;
		kernel->image_end = end;
		kernel->image_delta = delta;
		return 1;
	}
	return 0;
}

static void
locate_direct_map(struct lf_kernel *kernel)
{
	uint64_t variable, value = 0;

	kernel->direct_map = DIRECT_MAP;
	if (kernel->has_image &&
	    kernel_symbol(kernel, "page_offset_base", &variable, NULL) == 0 &&
	    kernel_read_u64(kernel, variable, &value, NULL) == 0)
		kernel->direct_map = value;
}

/*
 * The page tables that the kernel started with hold all that it maps for
 * itself, whatever process runs. They have five levels when the kernel's own
 * variable says so.
 */
static void
locate_page_tables(struct lf_kernel *kernel)
{
	uint64_t tables = 0, variable = 0;
	uint8_t five[4];

	if (!kernel->has_image ||
	    kernel_symbol(kernel, "init_top_pgt", &tables, NULL) < 0 ||
	    tables < kernel->image_start || tables >= kernel->image_end)
		return;
	kernel->paging = (struct walk_mode){
	    .cr0 = CR0_PE | CR0_PG,
	    .cr3 = tables + kernel->image_delta,
	    .cr4 = CR4_PAE,
	    .efer = EFER_LME | EFER_LMA | EFER_NXE,
	};
	if (kernel_symbol(kernel, "__pgtable_l5_enabled", &variable, NULL) ==
		0 &&
	    lf_kernel_read(kernel, variable, five, sizeof(five), NULL) == 0 &&
	    get_le32(five) != 0)
		kernel->paging.cr4 |= CR4_LA57;
}

/*
 * A new table with the symbols of modules beside the kernel's own. Without
 * them the table stays what it is: no module, no BTF, or a list that cannot be
 * followed to its end.
 */
static int
add_modules(struct lf_kernel *kernel, struct lf_error *error)
{
	struct lf_symbols *all = symbols_new("guest", error);
	struct lf_symbol symbol;
	struct lf_error why;
	size_t i;
	int rc = 0;

	if (all == NULL)
		return -ENOMEM;
	for (i = 0; rc == 0 && i < lf_symbols_count(kernel->symbols); i++) {
		lf_symbols_get(kernel->symbols, i, &symbol);
		rc = symbols_add(all,
		    &(struct symbol_source){.name = symbol.name,
			.name_len = strlen(symbol.name),
			.address = symbol.address,
			.size = symbol.size,
			.type = symbol.type},
		    error);
	}
	if (rc == 0) {
		rc = kernel_add_modules(kernel, all, &why);
		if (rc < 0 && rc != -ENOMEM) {
			log_info(
			    "symbols of modules are missing: %s", why.message);
			rc = 0;
		} else if (rc < 0 && error != NULL)
			*error = why;
	}
	if (rc == 0)
		rc = symbols_finish(all, 0, error);
	if (rc < 0) {
		lf_symbols_free(all);
		return rc;
	}
	lf_symbols_free(kernel->symbols);
	kernel->symbols = all;
	return 0;
}

/*
 * The first kernel whose image is found, or the only one without: a kernel
 * that keeps no variables in kallsyms (CONFIG_KALLSYMS_ALL) can still name its
 * functions.
 */
static int
choose(struct lf_kernel *kernel, struct lf_error *error)
{
	struct lf_symbols *without = NULL;
	struct kallsyms tables;
	struct kallsyms_search search;
	int rc, found;

	kallsyms_search_init(&search);
	for (;;) {
		rc = kallsyms_find(&kernel->memory, &search, &tables, error);
		if (rc < 0)
			break;
		kernel->symbols = tables.symbols;
		found = locate_image(kernel, tables.token_index);
		if (found == 1) {
			lf_symbols_free(without);
			return 0;
		}
		kernel->symbols = NULL;
		if (found == -ENOENT && without == NULL)
			without = tables.symbols;
		else
			lf_symbols_free(tables.symbols);
	}
	if (rc == -ENOENT && without != NULL) {
		kernel->symbols = without;
		return 0;
	}
	lf_symbols_free(without);
	return rc;
}

int
lf_kernel_find(const struct lf_guest_memory *memory,
    struct lf_kernel **ret_kernel, struct lf_error *error)
{
	struct lf_kernel *kernel = sys.calloc(1, sizeof(*kernel));
	int rc;

	if (kernel == NULL)
		return error_nomem(error);
	kernel->memory = *memory;
	rc = choose(kernel, error);
	if (rc == 0) {
		locate_direct_map(kernel);
		locate_page_tables(kernel);
		rc = add_modules(kernel, error);
	}
	if (rc < 0) {
		lf_kernel_free(kernel);
		return rc;
	}
	lf_error_clear(error);
	*ret_kernel = kernel;
	return 0;
}
