/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots of micro-guests: page tables of 4 KiB pages, so that the address 0
 * and the page below the stack can be left out.
 */
#include "lib/micro_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/micro/layout.h"
#include "lib/micro.h"

#define PTE_FLAGS 0x67UL /* present, writable, user, accessed, dirty */

/* Page tables for MICRO_RAM: one of each level. */
#define PML4 0x1000UL
#define PDPT 0x2000UL
#define PD   0x3000UL
#define PT   0x4000UL /* two: 4 MiB cover MICRO_RAM's 2 */

/* Behind the task state proper comes its port bitmap, which allows all. */
#define TSS_BITMAP_AT 102
#define TSS_BITMAP    104
#define TSS_LIMIT     0x2067

/* The guest's stack, and the page below it that is not mapped. */
#define STACK_TOP   (MICRO_RAM - 0x1000UL)
#define STACK_PAGES 8UL

static void
must(int rc, const struct lf_error *error)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "micro-guest: %s\n", error->message);
	abort();
}

static void
fill(uint8_t *ram, const char *path)
{
	uint64_t i;
	FILE *file;

	*(uint64_t *)(ram + PML4) = PDPT | PTE_FLAGS;
	*(uint64_t *)(ram + PDPT) = PD | PTE_FLAGS;
	*(uint64_t *)(ram + PD) = PT | PTE_FLAGS;
	for (i = 1; i < MICRO_RAM / 4096; i++)
		if (i != STACK_TOP / 4096 - STACK_PAGES - 1)
			((uint64_t *)(ram + PT))[i] = i * 4096 | PTE_FLAGS;
	ram[MICRO_TSS + TSS_BITMAP_AT] = TSS_BITMAP;
	file = fopen(path, "re");
	if (file == NULL || fread(ram + MICRO_IMAGE, 1,
				MICRO_SHARED - MICRO_IMAGE, file) == 0) {
		perror(path);
		abort();
	}
	fclose(file);
}

void
micro_image_open(struct micro_image *image, const char *name)
{
	uint8_t *ram = calloc(1, MICRO_RAM);
	struct lf_snapshot_builder *builder;
	struct lf_vcpu_regs regs;
	struct lf_error error;
	char path[512];

	if (ram == NULL)
		abort();
	snprintf(path, sizeof(path), "%s/tests/guest/micro/%s.micro",
	    getenv("top_builddir"), name);
	fill(ram, path);
	micro_regs(MICRO_WRITES, &regs);
	regs.rip = MICRO_IMAGE;
	regs.rsp = STACK_TOP;
	regs.cr3 = PML4;
	regs.tr.base = MICRO_TSS;
	regs.tr.limit = TSS_LIMIT;
	must(lf_snapshot_builder_new(&builder, &error), &error);
	must(lf_snapshot_builder_add_buffer(
		 builder, ram, MICRO_RAM, MICRO_RAM, &error),
	    &error);
	must(lf_snapshot_builder_add_range(
		 builder, 0, MICRO_RAM, 0, 0, 0, &error),
	    &error);
	must(lf_snapshot_builder_add_vcpu(builder, &regs, &error), &error);
	must(lf_snapshot_builder_finish(builder, &image->snapshot, &error),
	    &error);
	lf_snapshot_builder_free(builder);
	free(ram);
	strcat(path, ".elf");
	must(lf_symbols_open(path, 0, &image->symbols, &error), &error);
}

void
micro_image_close(struct micro_image *image)
{
	lf_snapshot_unref(image->snapshot);
	lf_symbols_free(image->symbols);
}

uint64_t
micro_image_symbol(const struct micro_image *image, const char *name)
{
	struct lf_symbol symbol;
	struct lf_error error;

	must(lf_symbols_lookup(image->symbols, name, &symbol, &error), &error);
	return symbol.address;
}
