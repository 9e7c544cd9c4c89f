/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/mtree and qemu/guest_map: what QEMU prints of real machines, and what
 * it must never be taken for.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fault.h"
#include "qemu/guest_map.h"
#include "qemu/mtree.h"

static struct lf_error error;

static char *
sample(const char *name)
{
	char path[4096], *text = calloc(1, 65536);
	FILE *file;

	snprintf(path, sizeof(path), "%s/tests/data/memory-maps/%s",
	    getenv("top_srcdir"), name);
	file = fopen(path, "r");
	cr_assert_not_null(file, "%s", path);
	cr_assert_gt(fread(text, 1, 65535, file), 0);
	fclose(file);
	return text;
}

Test(mtree, the_patchwork_of_a_pc)
{
	static const struct mtree_range want[] = {
	    {0x0, 0xa0000, 0x0, false, "ram"},
	    {0xc0000, 0xb000, 0xc0000, true, "ram"},
	    {0xcb000, 0x3000, 0xcb000, false, "ram"},
	    {0xce000, 0x1a000, 0xce000, true, "ram"},
	    {0xe8000, 0x8000, 0xe8000, false, "ram"},
	    {0xf0000, 0x10000, 0xf0000, true, "ram"},
	    {0x100000, 0xff00000, 0x100000, false, "ram"},
	    {0xfd000000, 0x1000000, 0x0, false, "vga.vram"},
	    {0xfffc0000, 0x40000, 0x0, true, "pc.bios"},
	};
	char *text = sample("pc.mtree");
	struct mtree *mtree = NULL;

	cr_assert_eq(mtree_parse(text, &mtree, &error), 0, "%s", error.message);
	cr_assert_eq(mtree->count, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < mtree->count; i++) {
		const struct mtree_range *is = &mtree->ranges[i];

		cr_assert_eq(is->gpa, want[i].gpa);
		cr_assert_eq(is->length, want[i].length);
		cr_assert_eq(is->offset, want[i].offset);
		cr_assert_eq(is->readonly, want[i].readonly);
		cr_assert_str_eq(is->region, want[i].region);
	}
	mtree_free(mtree);
	free(text);
}

Test(mtree, ram_above_4_gib_lies_from_2_gib_on_in_the_file)
{
	char *text = sample("q35.mtree");
	struct mtree *mtree = NULL;
	const struct mtree_range *last;

	cr_assert_eq(mtree_parse(text, &mtree, &error), 0, "%s", error.message);
	last = &mtree->ranges[mtree->count - 1];
	cr_assert_eq(last->gpa, 0x100000000);
	cr_assert_eq(last->offset, 0x80000000);
	cr_assert_eq(last->length, 0xc0000000);
	mtree_free(mtree);
	free(text);
}

#define VIEW(lines)                              \
	"FlatView #0\n AS \"memory\", root: s\n" \
	" Root memory region: system\n" lines "\n"
#define RANGE(from, to, rest) \
	"  00000000" from "-00000000" to " (prio 0, " rest "\n"

Test(mtree, lines_are_understood_or_refused)
{
	static const struct {
		const char *text;
		int rc;
		const char *message;
	} cases[] = {
	    {VIEW(RANGE("00000000", "0009ffff", "ram): ram KVM")), 0, ""},
	    {VIEW(RANGE("00000000", "0009ffff",
		 "nv-ram): a b c @0000000000001000 KVM")),
		0, ""},
	    {VIEW(RANGE("00000000", "0009ffff", "ramd): 0000:01:00.0 BAR 0")),
		-ENOTSUP, "host device"},
	    {VIEW(RANGE("00000000", "0009ffff", "alien): ram")), -EBADMSG,
		"cannot make out"},
	    {VIEW(RANGE("00001000", "00000fff", "ram): ram")), -EBADMSG,
		"cannot make out"},
	    {VIEW(RANGE("00000000", "0009ffff", "ram): ram @12")), -EBADMSG,
		"cannot make out"},
	    {VIEW(RANGE("00000000", "00001fff", "ram): a")
		     RANGE("00001000", "00002fff", "ram): b")),
		-EBADMSG, "is not behind"},
	    {VIEW("  something new\n"), -EBADMSG, "cannot make out"},
	    {VIEW(RANGE("00000000", "0009ffff", "i/o): io")), -EBADMSG,
		"no address space"},
	    {"", -EBADMSG, "no address space"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mtree *mtree = NULL;

		lf_error_clear(&error);
		cr_assert_eq(mtree_parse(cases[i].text, &mtree, &error),
		    cases[i].rc, "case %zu: %s", i, error.message);
		cr_assert_not_null(strstr(error.message, cases[i].message),
		    "case %zu: %s", i, error.message);
		mtree_free(mtree);
	}
}

#define HEADER "Block Name PSize Offset Used Total\n"

Test(mtree, ram_blocks_and_later_columns)
{
	static const char good[] =
	    HEADER " ram  2 MiB  0x0 0x10000000 0x10000000 0x7f0000000000 rw\n"
		   "/rom@etc/acpi/tables 4 KiB 0x11100000 0x20000 0x200000\n";
	static const char *const bad[] = {
	    "",
	    "something else\n",
	    HEADER,
	    HEADER "ram 4 XiB 0x0 0x1000 0x1000\n",
	    HEADER "ram 4 KiB 0x0 0x2000 0x1000\n",
	    HEADER "ram 4 KiB 0x0 0x1000\n",
	    HEADER "ram 4 KiB 0x0 0x1000 0x1000\n"
		   "ram 4 KiB 0x0 0x1000 0x1000\n",
	};
	struct ramblocks *blocks = NULL;

	cr_assert_eq(
	    ramblocks_parse(good, &blocks, &error), 0, "%s", error.message);
	cr_assert_eq(blocks->count, 2);
	cr_assert_eq(blocks->blocks[0].page_size, 2 << 20);
	cr_assert_str_eq(blocks->blocks[1].idstr, "/rom@etc/acpi/tables");
	cr_assert_eq(blocks->blocks[1].used, 0x20000);
	ramblocks_free(blocks);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(
		    ramblocks_parse(bad[i], &blocks, &error), -EBADMSG);
}

/* --- the map --- */

/* The image and the stream's blocks as a list of QEMU's has them. */
static struct ram_image *
image_of(const struct ramblocks *list, struct stream_block *blocks)
{
	struct ram_image *image = NULL;
	struct ram_file *ram = NULL, *rest = NULL;
	uint64_t at = 0;

	cr_assert_eq(ram_image_new(&image, &error), 0);
	ram_file_new("ram", list->blocks[0].used, &ram, &error);
	ram_file_new("rest", 64 << 20, &rest, &error);
	ram_image_add_file(image, ram, &error);
	ram_image_add_file(image, rest, &error);
	for (size_t i = 0; i < list->count; i++) {
		struct ram_block block = {.file = i > 0, .page_size = 4096};

		blocks[i] =
		    (struct stream_block){.length = list->blocks[i].used};
		strcpy(blocks[i].idstr, list->blocks[i].idstr);
		strcpy(block.idstr, list->blocks[i].idstr);
		block.length = list->blocks[i].used;
		block.offset = i > 0 ? at : 0;
		at += i > 0 ? block.length : 0;
		cr_assert_eq(ram_image_add_block(image, &block, &error), 0,
		    "%s", error.message);
	}
	ram_file_unref(ram);
	ram_file_unref(rest);
	return image;
}

Test(guest_map, a_pc_with_video_memory)
{
	char *tree = sample("pc.mtree"), *list = sample("pc.ramblocks");
	struct stream_block blocks[16];
	struct ramblocks *listed = NULL;
	const struct memory_range *range;
	const struct ram_block *vram;
	struct memory_map map = {0};
	struct mtree *mtree = NULL;
	struct ram_image *image;

	cr_assert_eq(mtree_parse(tree, &mtree, &error), 0);
	cr_assert_eq(ramblocks_parse(list, &listed, &error), 0);
	image = image_of(listed, blocks);
	cr_assert_eq(guest_map_check_blocks(listed, blocks, listed->count,
			 "ram", 256 << 20, &error),
	    0, "%s", error.message);
	cr_assert_eq(guest_map_build(mtree, blocks, listed->count, "ram", image,
			 &map, &error),
	    0, "%s", error.message);
	cr_assert_eq(map.count, 9);
	range = memory_map_find(&map, 0xfd001000);
	vram = ram_image_find_block(image, "0000:00:02.0/vga.vram");
	cr_assert_eq(range->file, 1);
	cr_assert_eq(range->offset, vram->offset);
	cr_assert_eq(memory_map_find(&map, 0xe8000)->flags, 0);
	cr_assert_eq(memory_map_find(&map, 0xf0000)->flags, MEMORY_READONLY);
	cr_assert_null(memory_map_find(&map, 0xa0000));
	memory_map_done(&map);

	/* What may not be. */
	strcpy(blocks[1].idstr, "0000:00:02.0/other");
	cr_assert_eq(guest_map_build(mtree, blocks, listed->count, "ram", image,
			 &map, &error),
	    -ENOTSUP);
	cr_assert_not_null(
	    strstr(error.message, "'vga.vram'"), "%s", error.message);
	memory_map_done(&map);
	strcpy(blocks[1].idstr, "0000:00:02.0/vga.vram");
	blocks[1].length = 4096;
	cr_assert_eq(guest_map_build(mtree, blocks, listed->count, "ram", image,
			 &map, &error),
	    -EBADMSG);
	memory_map_done(&map);
	blocks[1].length = listed->blocks[1].used;
	mtree->ranges[6].length -= 64 << 20;
	cr_assert_eq(guest_map_build(mtree, blocks, listed->count, "ram", image,
			 &map, &error),
	    -ENOTSUP);
	memory_map_done(&map);

	cr_assert_eq(guest_map_check_blocks(listed, blocks, listed->count,
			 "ram", 128 << 20, &error),
	    -EBADMSG);
	listed->blocks[0].page_size = 2 << 20;
	cr_assert_eq(guest_map_check_blocks(listed, blocks, listed->count,
			 "ram", 256 << 20, &error),
	    -ENOTSUP);
	cr_assert_not_null(strstr(error.message, "huge pages"));
	ram_image_unref(image);
	ramblocks_free(listed);
	mtree_free(mtree);
	free(tree);
	free(list);
}

Test(mtree, every_failing_allocation_is_an_error)
{
	char *tree = sample("pc.mtree"), *list = sample("pc.ramblocks");

	FAULT_LOOP(fault)
	{
		struct ramblocks *blocks = NULL;
		struct mtree *mtree = NULL;
		int rc = mtree_parse(tree, &mtree, &error);

		if (rc == 0)
			rc = ramblocks_parse(list, &blocks, &error);
		fault_end(&fault);
		cr_assert_eq(rc, fault.hit ? -ENOMEM : 0);
		mtree_free(mtree);
		ramblocks_free(blocks);
	}
	free(tree);
	free(list);
}
