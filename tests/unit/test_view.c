/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory/view, memory/dirty_set: what a fork sees, and what it comes back to.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libfork/domain.h>

#include "unit/memory_scene.h"

/* --- the view --- */

Test(view, ranges_that_show_the_same_bytes_stay_the_same_bytes)
{
	struct memory_view *other;
	struct scene s;

	scene_open(&s);
	other = scene_view(&s.map, s.image);
	scene_expect(s.view, 0xf0000000, "rom");
	scene_poke(&s.set, 0xc0000, "new");
	scene_expect(s.view, 0xf0000000, "new");
	scene_expect(other, 0xf0000000, "rom");
	cr_assert_eq(s.set.count, 1);
	cr_assert_eq(memory_view_verify(s.view, NULL), -EILSEQ);
	dirty_set_restore(&s.set);
	cr_assert_eq(memory_view_verify(s.view, NULL), 0);
	scene_expect(s.view, 0xc0000, "rom");
	memory_view_free(other);
	scene_close(&s);
}

Test(view, an_address_in_a_hole_is_named)
{
	struct lf_error error;
	struct scene s;

	scene_open(&s);
	cr_assert_eq(memory_view_check(s.view, 0x9fff0, 0x20, &error), -EFAULT);
	cr_assert_str_eq(
	    error.message, "guest-physical address 0xa0000 is no memory");
	scene_close(&s);
}

Test(view, regions_lie_over_ranges_and_holes_and_are_not_restored)
{
	struct memory_map map;
	struct ram_image *image = scene_image(&map);
	int fd = scene_memfd(1 * MIB, 'r');
	void *address = mmap(NULL, 8 * KIB, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct lf_region regions[] = {
	    /* The end of a range, the hole behind it, the next one's start. */
	    {.gpa = 0x9e000, .length = 0x24000, .fd = fd},
	    {.gpa = 0x200000, .length = 0x2000, .fd = -1, .address = address},
	};
	const struct lf_region overlapping[] = {
	    regions[0],
	    {.gpa = 0xb0000, .length = 0x1000, .fd = fd},
	};
	const struct lf_region too_long = {
	    .length = 0x2000, .fd = fd, .offset = 0xff000};
	struct memory_view *view;
	struct dirty_set set;
	struct lf_error error;
	char byte;

	cr_assert_eq(memory_view_new(&map, image, regions, 2, &view, &error), 0,
	    "%s", error.message);
	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	scene_expect(view, 0x9dffe, "\0");
	scene_expect(view, 0x9e000, "rrrr");
	scene_expect(view, 0xc1ffe, "rr");
	scene_poke(&set, 0xa0000, "shared");
	scene_poke(&set, 0x201000, "segment");
	cr_assert_eq(set.count, 0, "regions are not in the dirty set");
	cr_assert_eq(memcmp((char *)address + 4096, "segment", 7), 0);
	cr_assert_eq(pread(fd, &byte, 1, 0x2000), 1);
	cr_assert_eq(byte, 's');
	dirty_set_restore(&set);
	scene_expect(view, 0xa0000, "shared");
	dirty_set_done(&set);
	memory_view_free(view);

	cr_assert_eq(
	    memory_view_new(&map, image, overlapping, 2, &view, &error),
	    -EINVAL);
	cr_assert_str_eq(error.message, "two regions overlap at 0xa0000");
	cr_assert_eq(
	    memory_view_new(&map, image, &too_long, 1, &view, &error), -EINVAL);
	cr_assert_str_eq(error.message,
	    "region 0x0+0x2000 reaches beyond the end of its file (1048576 "
	    "bytes)");
	ram_image_unref(image);
	memory_map_done(&map);
	munmap(address, 8 * KIB);
	close(fd);
}

/* --- the dirty set --- */

Test(dirty_set, a_page_unchanged_for_long_is_shared_again)
{
	struct scene s;
	unsigned i;

	scene_open(&s);
	for (i = 0; i < 8; i++)
		scene_poke(&s.set, 0x100000 + i * 4096, "hot");
	for (i = 0; i < DIRTY_AGE_MAX; i++) {
		dirty_set_restore(&s.set);
		scene_poke(&s.set, 0x102000, "hot");
		cr_assert_eq(s.set.count, 8);
	}
	dirty_set_restore(&s.set);
	cr_assert_eq(s.set.count, 1);
	cr_assert_eq(s.set.dropped, 7);
	cr_assert(!dirty_set_has(&s.set, 0x100));
	cr_assert(dirty_set_has(&s.set, 0x102));
	scene_expect(s.view, 0x102000, "\0");
	/* A page that was given up can come back. */
	scene_poke(&s.set, 0x100000, "hot");
	cr_assert_eq(s.set.count, 2);
	dirty_set_drop(&s.set);
	cr_assert_eq(s.set.count, 0);
	cr_assert_eq(memory_view_verify(s.view, NULL), 0);
	scene_close(&s);
}

Test(dirty_set, every_way_of_restoring_restores_random_writes)
{
	void (*const ways[])(struct dirty_set *) = {
	    dirty_set_restore, dirty_set_drop, dirty_set_restore_forget};
	struct scene s;
	struct lf_error error;
	unsigned round;

	srandom(20);
	scene_open(&s);
	for (round = 0; round < 300; round++) {
		unsigned writes = (unsigned)random() % 50;

		while (writes-- > 0) {
			uint8_t bytes[9000];
			size_t len = 1 + (size_t)random() % sizeof(bytes);
			uint64_t gpa =
			    0x100000 + (uint64_t)random() % (0x300000 - len);

			memset(bytes, (int)random(), len);
			cr_assert_eq(
			    dirty_set_write(&s.set, gpa, bytes, len, NULL), 0);
		}
		ways[round % 3](&s.set);
		cr_assert_eq(memory_view_verify(s.view, &error), 0,
		    "round %u: %s", round, error.message);
	}
	scene_close(&s);
}
