/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory/delta: what a frozen fork's image holds, however deep it lies, and the
 * limits of runs and mappings.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/domain.h>

#include "memory/delta.h"
#include "unit/memory_scene.h"

Test(delta, holds_what_differs_in_whole_runs)
{
	struct memory_map map;
	struct ram_image *image = scene_image(&map), *frozen;
	struct memory_view *view = scene_view(&map, image);
	struct dirty_set set;
	char bytes[8];

	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	scene_poke(&set, 0x110000, "one");
	scene_poke(&set, 0x121000, "two");
	scene_poke(&set, 0x180000, "six");
	scene_poke(&set, 0x200000, "");
	scene_poke(&set, 0xf0000000 + 0x4a000, "end");
	cr_assert_eq(delta_freeze(view, &set, &frozen, NULL), 0);
	/* Two neighbours, one alone, and b's last chunk, 44 KiB long. */
	cr_assert_eq(frozen->run_count, 3);
	cr_assert_eq(frozen->runs[0].offset, 0x110000);
	cr_assert_eq(frozen->runs[0].length, 0x20000);
	cr_assert_eq(frozen->runs[2].file, 1);
	cr_assert_eq(frozen->runs[2].length, 0xb000);
	cr_assert_eq(frozen->files[0], image->files[0], "the base is shared");
	cr_assert_eq(ram_image_read(frozen, 0, 0x121000, bytes, 4, NULL), 0);
	cr_assert_str_eq(bytes, "two");

	dirty_set_done(&set);
	memory_view_free(view);
	ram_image_unref(image);
	view = scene_view(&map, frozen);
	scene_expect(view, 0x110000, "one");
	scene_expect(view, 0, "ram");
	scene_expect(view, 0xf004a000, "end");
	memory_view_free(view);
	ram_image_unref(frozen);
	memory_map_done(&map);
}

Test(delta, pages_that_differ_are_found_and_read_as_the_fork_shows_them)
{
	struct memory_map map;
	struct ram_image *image = scene_image(&map), *frozen;
	struct memory_view *view = scene_view(&map, image);
	struct lf_region region = {
	    .gpa = 0x130000,
	    .length = PAGE_BYTES,
	    .fd = -1,
	    .address = aligned_alloc(PAGE_BYTES, PAGE_BYTES),
	};
	struct ram_run *runs = NULL;
	struct dirty_set set;
	char bytes[8];
	size_t count;

	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	scene_poke(&set, 0x110000, "one");
	scene_poke(&set, 0x200000, "");
	scene_poke(&set, 0xf0000000 + 0x4a000, "end");
	cr_assert_eq(delta_find(view, &set, &runs, &count, NULL), 0);
	cr_assert_eq(count, 2);
	cr_assert_eq(runs[0].offset, 0x110000);
	cr_assert_eq(runs[0].length, PAGE_BYTES);
	cr_assert_eq(runs[1].file, 1);
	cr_assert_eq(runs[1].offset, 0x4a000);
	cr_assert_eq(
	    memory_view_read_file(view, 0, 0x110000, bytes, 4, NULL), 0);
	cr_assert_str_eq(bytes, "one");
	cr_assert_eq(
	    memcmp(memory_view_file_bytes(view, 0, 0x110000, 4), bytes, 4), 0);
	free(runs);
	cr_assert_eq(delta_freeze(view, &set, &frozen, NULL), 0);
	dirty_set_done(&set);
	memory_view_free(view);
	ram_image_unref(image);

	/* Of the next generation: its own pages, the delta's, a region's. */
	strcpy(region.address, "reg");
	cr_assert_eq(memory_view_new(&map, frozen, &region, 1, &view, NULL), 0);
	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	scene_poke(&set, 0x180000, "six");
	cr_assert_eq(delta_find(view, &set, &runs, &count, NULL), 0);
	cr_assert_eq(count, 4);
	cr_assert_eq(runs[0].offset, 0x110000);
	cr_assert_eq(runs[0].length, RAM_RUN_BYTES);
	cr_assert_eq(runs[1].offset, 0x130000);
	cr_assert_eq(runs[1].length, PAGE_BYTES);
	cr_assert_eq(runs[2].offset, 0x180000);
	cr_assert_null(memory_view_file_bytes(view, 0, 0x12f000, 0x2000));
	cr_assert_not_null(memory_view_file_bytes(view, 0, 0x12f000, 0x1000));
	cr_assert_eq(
	    memory_view_read_file(view, 0, 0x130000, bytes, 4, NULL), 0);
	cr_assert_str_eq(bytes, "reg");
	cr_assert_eq(
	    memory_view_read_file(view, 0, 0x110000, bytes, 4, NULL), 0);
	cr_assert_str_eq(bytes, "one");
	free(runs);
	dirty_set_done(&set);
	memory_view_free(view);
	ram_image_unref(frozen);
	memory_map_done(&map);
	free(region.address);
}

Test(delta, generations_16_deep_read_right_whichever_is_freed_first)
{
	enum { DEPTH = 16, WRITES = 40 };
	struct memory_map map;
	struct ram_image *images[DEPTH + 1];
	struct memory_view *views[DEPTH];
	static uint8_t model[DEPTH][4 * MIB];
	unsigned order[DEPTH], i, w;

	srandom(7);
	images[0] = scene_image(&map);
	memset(model, 0, sizeof(model));
	memcpy(model[0], "ram", 3);
	for (i = 0; i < DEPTH; i++) {
		struct dirty_set set;

		views[i] = scene_view(&map, images[i]);
		cr_assert_leq(views[i]->mappings,
		    views[i]->range_count + 2 * images[i]->run_count + 4);
		cr_assert_eq(dirty_set_init(&set, views[i], NULL), 0);
		if (i > 0)
			memcpy(model[i], model[i - 1], sizeof(model[i]));
		for (w = 0; w < WRITES; w++) {
			uint8_t byte = (uint8_t)random();
			uint64_t at = 0x100000 + (uint64_t)random() % 0x300000;

			model[i][at] = byte;
			cr_assert_eq(
			    dirty_set_write(&set, at, &byte, 1, NULL), 0);
		}
		cr_assert_eq(
		    delta_freeze(views[i], &set, &images[i + 1], NULL), 0);
		dirty_set_done(&set);
		order[i] = i;
	}
	for (i = 0; i < DEPTH; i++) {
		unsigned other = (unsigned)random() % DEPTH, swap = order[i];

		order[i] = order[other];
		order[other] = swap;
	}
	/* A model of file a is compared where ranges show it. */
	for (i = 0; i < DEPTH; i++) {
		unsigned at = order[i];

		cr_assert_eq(memcmp(views[at]->ranges[2].memory,
				 model[at] + 0x100000, 0x300000),
		    0, "generation %u", at);
		memory_view_free(views[at]);
		ram_image_unref(images[at]);
	}
	ram_image_unref(images[DEPTH]);
	memory_map_done(&map);
}

/* A file of 512 MiB, every second 64 KiB of it in the delta. */
static struct ram_image *
riddled_image(struct memory_map *map, unsigned pokes, bool *ret_flat)
{
	struct ram_image *image, *frozen;
	struct memory_view *view;
	struct ram_file *file;
	struct dirty_set set;
	unsigned i;

	cr_assert_eq(ram_image_new(&image, NULL), 0);
	cr_assert_eq(ram_file_new("big", 512 * MIB, &file, NULL), 0);
	cr_assert_eq(ram_image_add_file(image, file, NULL), 0);
	ram_file_unref(file);
	memory_map_init(map);
	cr_assert_eq(scene_add_range(map, 0, 512 * MIB, 0, 0, NULL), 0);
	view = scene_view(map, image);
	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	for (i = 0; i < pokes; i++)
		scene_poke(&set, i * 128 * KIB, "x");
	cr_assert_eq(delta_freeze(view, &set, &frozen, NULL), 0);
	*ret_flat = frozen->delta == NULL;
	dirty_set_done(&set);
	memory_view_free(view);
	ram_image_unref(image);
	return frozen;
}

Test(delta, past_its_limit_becomes_a_new_base)
{
	struct memory_map map;
	struct memory_view *view;
	struct ram_image *image;
	bool flat;

	image = riddled_image(&map, RAM_RUNS_MAX + 1, &flat);
	cr_assert(flat);
	view = scene_view(&map, image);
	scene_expect(view, 0, "x");
	scene_expect(view, (uint64_t)RAM_RUNS_MAX * 128 * KIB, "x");
	memory_view_free(view);
	ram_image_unref(image);
	memory_map_done(&map);
}

Test(view, a_fork_past_the_limit_of_mappings_is_refused_by_name)
{
	struct memory_view *views[64] = {0};
	struct ram_image *image;
	struct memory_map map;
	struct lf_error error;
	unsigned count = 0, i;
	bool flat;
	int rc;

	if (memory_view_mappings_max() > 200000)
		cr_skip_test("vm.max_map_count is too large to be reached");
	image = riddled_image(&map, RAM_RUNS_MAX, &flat);
	cr_assert(!flat);
	do
		rc = memory_view_new(
		    &map, image, NULL, 0, &views[count], &error);
	while (rc == 0 && ++count < 64);
	cr_assert_eq(rc, -ENOMEM);
	cr_assert_not_null(strstr(error.message, "vm.max_map_count"));
	cr_assert_geq(
	    count, memory_view_mappings_max() / (2 * RAM_RUNS_MAX) - 1);
	/* One less, and there is room again. */
	memory_view_free(views[0]);
	cr_assert_eq(
	    memory_view_new(&map, image, NULL, 0, &views[0], &error), 0);
	for (i = 0; i < count; i++)
		memory_view_free(views[i]);
	ram_image_unref(image);
	memory_map_done(&map);
}
