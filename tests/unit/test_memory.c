/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory/: the guest-physical map, RAM images, views, the dirty set, deltas.
 * No KVM: what the guest would write, the test writes.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libfork/domain.h>
#include <libfork/log.h>

#include "base/cleanup.h"
#include "lib/fault.h"
#include "memory/delta.h"
#include "memory/dirty_set.h"
#include "memory/image.h"
#include "memory/map.h"
#include "memory/view.h"

#define KIB 1024UL
#define MIB (1024UL * KIB)

/* --- map --- */

static int
add(struct memory_map *map, uint64_t gpa, uint64_t length, uint32_t file,
    uint64_t offset, struct lf_error *error)
{
	struct memory_range range = {
	    .gpa = gpa, .length = length, .file = file, .offset = offset};

	return memory_map_add(map, &range, error);
}

Test(map, ranges_come_in_any_order_and_are_found_by_address)
{
	struct memory_map map;

	memory_map_init(&map);
	cr_assert_eq(add(&map, 0x100000, 0x10000, 0, 0x100000, NULL), 0);
	cr_assert_eq(add(&map, 0, 0xa0000, 0, 0, NULL), 0);
	cr_assert_eq(add(&map, 0xc0000, 0x40000, 1, 0, NULL), 0);

	cr_assert_null(memory_map_find(&map, 0xa0000));
	cr_assert_null(memory_map_find(&map, 0xbffff));
	cr_assert_eq(memory_map_find(&map, 0xc0000)->file, 1);
	cr_assert_eq(memory_map_find(&map, 0x10ffff)->gpa, 0x100000);
	cr_assert_null(memory_map_find(&map, 0x110000));
	cr_assert_eq(memory_map_bytes(&map), 0xa0000 + 0x40000 + 0x10000);
	memory_map_done(&map);
}

Test(map, a_bad_range_is_refused_and_named)
{
	static const struct {
		uint64_t gpa, length, offset;
		const char *message;
	} cases[] = {
	    {0x1800, 0x1000, 0,
		"range 0x1800+0x1000 at offset 0x0 is not made of whole "
		"pages"},
	    {0x1000, 0, 0, "range at 0x1000 is empty"},
	    {0x2000, 0x2000, 0, "range 0x2000+0x2000 overlaps 0x3000+0x2000"},
	    {0x4000, 0x1000, 0, "range 0x4000+0x1000 overlaps 0x3000+0x2000"},
	    {0, 0x10000, 0, "range 0x0+0x10000 overlaps 0x3000+0x2000"},
	    {1UL << 52, 0x1000, 0,
		"range 0x10000000000000+0x1000 at offset 0x0 is out of "
		"bounds"},
	    {0x8000, 0x1000, 0x7ffffffffffff000,
		"range 0x8000+0x1000 at offset 0x7ffffffffffff000 is out of "
		"bounds"},
	};
	struct memory_map map;
	struct lf_error error;
	size_t i;

	memory_map_init(&map);
	cr_assert_eq(add(&map, 0x3000, 0x2000, 0, 0, NULL), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(add(&map, cases[i].gpa, cases[i].length, 0,
				 cases[i].offset, &error),
		    -EINVAL);
		cr_assert_str_eq(error.message, cases[i].message);
	}
	cr_assert_eq(map.count, 1);
	memory_map_done(&map);
}

/* --- images --- */

static char last_log[LF_ERROR_MESSAGE_MAX];

static void
keep_log(void *opaque, enum lf_log_level level, const char *message)
{
	(void)opaque;
	(void)level;
	strncpy(last_log, message, sizeof(last_log) - 1);
}

static int
filled_memfd(uint64_t size, char byte)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *bytes = malloc(size);

	memset(bytes, byte, size);
	cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
	free(bytes);
	return fd;
}

Test(image, a_file_that_others_may_write_is_copied_and_the_log_says_so)
{
	int fd = filled_memfd(64 * KIB, 'a');
	struct ram_file *file;

	lf_log_set(keep_log, NULL, LF_LOG_DEBUG);
	cr_assert_eq(
	    ram_file_adopt("ram", fd, 64 * KIB, false, &file, NULL), 0);
	cr_assert_str_eq(last_log,
	    "memory 'ram': others may write it, so its 0 MiB are copied");
	cr_assert_eq(pwrite(fd, "b", 1, 0), 1);
	cr_assert_eq(ram_file_map(file, NULL), 0);
	cr_assert_eq(ram_file_bytes(file)[0], 'a', "the copy does not change");
	ram_file_unref(file);

	/* Sealed, it is shared: no log line, the same inode. */
	last_log[0] = '\0';
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
	cr_assert_eq(
	    ram_file_adopt("ram", fd, 64 * KIB, false, &file, NULL), 0);
	cr_assert_str_eq(last_log, "");
	cr_assert_eq(ram_file_map(file, NULL), 0);
	cr_assert_eq(ram_file_bytes(file)[0], 'b');
	ram_file_unref(file);
	close(fd);
}

Test(image, holes_of_a_copied_file_stay_holes)
{
	int fd = memfd_create("sparse", MFD_CLOEXEC);
	struct ram_file *file;
	struct stat st;

	cr_assert_eq(ftruncate(fd, 256 * MIB), 0);
	cr_assert_eq(pwrite(fd, "x", 1, 200 * MIB), 1);
	cr_assert_eq(
	    ram_file_adopt("ram", fd, 256 * MIB, false, &file, NULL), 0);
	cr_assert_eq(fstat(ram_file_fd(file), &st), 0);
	cr_assert_lt((uint64_t)st.st_blocks * 512, 3 * MIB);
	cr_assert_eq(ram_file_map(file, NULL), 0);
	cr_assert_eq(ram_file_bytes(file)[200 * MIB], 'x');
	ram_file_unref(file);
	close(fd);
}

Test(image, what_is_no_memory_is_refused)
{
	int fd = filled_memfd(8 * KIB, 'a'), pipes[2];
	struct ram_file *file;
	struct lf_error error;

	cr_assert_eq(
	    ram_file_adopt("m", fd, 16 * KIB, false, &file, &error), -EINVAL);
	cr_assert_str_eq(
	    error.message, "memory 'm' has 8192 bytes, 16384 are wanted");
	cr_assert_eq(
	    ram_file_adopt("m", fd, 5000, false, &file, &error), -EINVAL);
	cr_assert_str_eq(
	    error.message, "memory 'm': 5000 bytes are not whole pages");
	cr_assert_eq(pipe(pipes), 0);
	cr_assert_eq(
	    ram_file_adopt("m", pipes[0], 4096, false, &file, &error), -EINVAL);
	cr_assert_str_eq(error.message, "memory 'm' is not a regular file");
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

/* --- views --- */

/* Two files; ranges that alias, with holes between; one is read-only. */
static struct ram_image *
test_image(struct memory_map *map)
{
	struct ram_image *image;
	struct ram_file *a, *b;

	cr_assert_eq(ram_image_new(&image, NULL), 0);
	cr_assert_eq(ram_file_new("a", 4 * MIB, &a, NULL), 0);
	cr_assert_eq(ram_file_new("b", 300 * KIB, &b, NULL), 0);
	cr_assert_eq(ram_file_write(a, 0, "ram", 3, NULL), 0);
	cr_assert_eq(ram_file_write(b, 0, "rom", 3, NULL), 0);
	cr_assert_eq(ram_image_add_file(image, a, NULL), 0);
	cr_assert_eq(ram_image_add_file(image, b, NULL), 1);
	ram_file_unref(a);
	ram_file_unref(b);
	memory_map_init(map);
	cr_assert_eq(add(map, 0, 0xa0000, 0, 0, NULL), 0);
	cr_assert_eq(add(map, 0xc0000, 0x10000, 1, 0, NULL), 0);
	cr_assert_eq(add(map, 0x100000, 0x300000, 0, 0x100000, NULL), 0);
	/* The same bytes as at 0xc0000, and file b's odd end. */
	cr_assert_eq(add(map, 0xf0000000, 0x4b000, 1, 0, NULL), 0);
	return image;
}

static struct memory_view *
view_of(const struct memory_map *map, struct ram_image *image)
{
	struct memory_view *view;
	struct lf_error error;

	cr_assert_eq(memory_view_new(map, image, NULL, 0, &view, &error), 0,
	    "%s", error.message);
	return view;
}

static void
poke(struct dirty_set *set, uint64_t gpa, const char *text)
{
	cr_assert_eq(memory_view_check(set->view, gpa, strlen(text), NULL), 0);
	cr_assert_eq(dirty_set_write(set, gpa, text, strlen(text), NULL), 0);
}

static void
expect(const struct memory_view *view, uint64_t gpa, const char *text)
{
	char found[64] = "";

	cr_assert_eq(memory_view_check(view, gpa, strlen(text), NULL), 0);
	memory_view_read(view, gpa, found, strlen(text));
	cr_assert_str_eq(found, text);
}

Test(view, ranges_that_show_the_same_bytes_stay_the_same_bytes)
{
	struct memory_map map;
	struct ram_image *image = test_image(&map);
	struct memory_view *view = view_of(&map, image);
	struct memory_view *other = view_of(&map, image);
	struct dirty_set set;

	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	expect(view, 0xf0000000, "rom");
	poke(&set, 0xc0000, "new");
	expect(view, 0xf0000000, "new");
	expect(other, 0xf0000000, "rom");
	cr_assert_eq(set.count, 1);
	cr_assert_eq(memory_view_verify(view, NULL), -EILSEQ);
	dirty_set_restore(&set);
	cr_assert_eq(memory_view_verify(view, NULL), 0);
	expect(view, 0xc0000, "rom");

	dirty_set_done(&set);
	memory_view_free(view);
	memory_view_free(other);
	ram_image_unref(image);
	memory_map_done(&map);
}

Test(view, an_address_in_a_hole_is_named)
{
	struct memory_map map;
	struct ram_image *image = test_image(&map);
	struct memory_view *view = view_of(&map, image);
	struct lf_error error;

	cr_assert_eq(memory_view_check(view, 0x9fff0, 0x20, &error), -EFAULT);
	cr_assert_str_eq(
	    error.message, "guest-physical address 0xa0000 is no memory");
	memory_view_free(view);
	ram_image_unref(image);
	memory_map_done(&map);
}

Test(view, regions_lie_over_ranges_and_holes_and_are_not_restored)
{
	struct memory_map map;
	struct ram_image *image = test_image(&map);
	int fd = filled_memfd(1 * MIB, 'r');
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
	expect(view, 0x9dffe, "\0");
	expect(view, 0x9e000, "rrrr");
	expect(view, 0xc1ffe, "rr");
	poke(&set, 0xa0000, "shared");
	poke(&set, 0x201000, "segment");
	cr_assert_eq(set.count, 0, "regions are not in the dirty set");
	cr_assert_eq(memcmp((char *)address + 4096, "segment", 7), 0);
	cr_assert_eq(pread(fd, &byte, 1, 0x2000), 1);
	cr_assert_eq(byte, 's');
	dirty_set_restore(&set);
	expect(view, 0xa0000, "shared");
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
	struct memory_map map;
	struct ram_image *image = test_image(&map);
	struct memory_view *view = view_of(&map, image);
	struct dirty_set set;
	unsigned i;

	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	for (i = 0; i < 8; i++)
		poke(&set, 0x100000 + i * 4096, "hot");
	for (i = 0; i < DIRTY_AGE_MAX; i++) {
		dirty_set_restore(&set);
		poke(&set, 0x102000, "hot");
		cr_assert_eq(set.count, 8);
	}
	dirty_set_restore(&set);
	cr_assert_eq(set.count, 1);
	cr_assert_eq(set.dropped, 7);
	cr_assert(!dirty_set_has(&set, 0x100));
	cr_assert(dirty_set_has(&set, 0x102));
	expect(view, 0x102000, "\0");
	/* A page that was given up can come back. */
	poke(&set, 0x100000, "hot");
	cr_assert_eq(set.count, 2);
	dirty_set_drop(&set);
	cr_assert_eq(set.count, 0);
	cr_assert_eq(memory_view_verify(view, NULL), 0);
	dirty_set_done(&set);
	memory_view_free(view);
	ram_image_unref(image);
	memory_map_done(&map);
}

Test(dirty_set, every_way_of_restoring_restores_random_writes)
{
	void (*const ways[])(struct dirty_set *) = {
	    dirty_set_restore, dirty_set_drop, dirty_set_restore_forget};
	struct memory_map map;
	struct ram_image *image = test_image(&map);
	struct memory_view *view = view_of(&map, image);
	struct dirty_set set;
	struct lf_error error;
	unsigned round;

	srandom(20);
	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	for (round = 0; round < 300; round++) {
		unsigned writes = (unsigned)random() % 50;

		while (writes-- > 0) {
			uint8_t bytes[9000];
			size_t len = 1 + (size_t)random() % sizeof(bytes);
			uint64_t gpa =
			    0x100000 + (uint64_t)random() % (0x300000 - len);

			memset(bytes, (int)random(), len);
			cr_assert_eq(
			    dirty_set_write(&set, gpa, bytes, len, NULL), 0);
		}
		ways[round % 3](&set);
		cr_assert_eq(memory_view_verify(view, &error), 0,
		    "round %u: %s", round, error.message);
	}
	dirty_set_done(&set);
	memory_view_free(view);
	ram_image_unref(image);
	memory_map_done(&map);
}

/* --- deltas --- */

Test(delta, holds_what_differs_in_whole_runs)
{
	struct memory_map map;
	struct ram_image *image = test_image(&map), *frozen;
	struct memory_view *view = view_of(&map, image);
	struct dirty_set set;
	char bytes[8];

	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	poke(&set, 0x110000, "one");
	poke(&set, 0x121000, "two");
	poke(&set, 0x180000, "six");
	poke(&set, 0x200000, "");
	poke(&set, 0xf0000000 + 0x4a000, "end");
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
	view = view_of(&map, frozen);
	expect(view, 0x110000, "one");
	expect(view, 0, "ram");
	expect(view, 0xf004a000, "end");
	memory_view_free(view);
	ram_image_unref(frozen);
	memory_map_done(&map);
}

Test(delta, pages_that_differ_are_found_and_read_as_the_fork_shows_them)
{
	struct memory_map map;
	struct ram_image *image = test_image(&map), *frozen;
	struct memory_view *view = view_of(&map, image);
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
	poke(&set, 0x110000, "one");
	poke(&set, 0x200000, "");
	poke(&set, 0xf0000000 + 0x4a000, "end");
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
	poke(&set, 0x180000, "six");
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
	images[0] = test_image(&map);
	memset(model, 0, sizeof(model));
	memcpy(model[0], "ram", 3);
	for (i = 0; i < DEPTH; i++) {
		struct dirty_set set;

		views[i] = view_of(&map, images[i]);
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
	cr_assert_eq(add(map, 0, 512 * MIB, 0, 0, NULL), 0);
	view = view_of(map, image);
	cr_assert_eq(dirty_set_init(&set, view, NULL), 0);
	for (i = 0; i < pokes; i++)
		poke(&set, i * 128 * KIB, "x");
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
	view = view_of(&map, image);
	expect(view, 0, "x");
	expect(view, (uint64_t)RAM_RUNS_MAX * 128 * KIB, "x");
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

Test(memory, every_call_may_fail_and_nothing_leaks)
{
	struct memory_map map;
	struct ram_image *image = test_image(&map);
	int region_fd = filled_memfd(64 * KIB, 'r');
	const struct lf_region region = {
	    .gpa = 0x8000, .length = 0x4000, .fd = region_fd};

	FAULT_LOOP(fault)
	{
		struct ram_image *frozen = NULL, *flat = NULL;
		struct memory_view *view = NULL;
		struct dirty_set set = {0};
		struct lf_error error = {0};
		int rc;

		rc = memory_view_new(&map, image, &region, 1, &view, &error);
		if (rc == 0)
			rc = dirty_set_init(&set, view, &error);
		if (rc == 0)
			rc = dirty_set_write(&set, 0x2000, "fault", 5, &error);
		if (rc == 0)
			rc = delta_freeze(view, &set, &frozen, &error);
		if (rc == 0)
			rc = delta_flatten(frozen, &flat, &error);
		dirty_set_done(&set);
		memory_view_free(view);
		ram_image_unref(frozen);
		ram_image_unref(flat);
		fault_end(&fault);
		/* Asking for the limit of mappings may fail silently. */
		if (rc < 0)
			cr_assert_neq(error.message[0], '\0');
		cr_assert(rc == 0 || fault.hit);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	ram_image_unref(image);
	memory_map_done(&map);
	close(region_fd);
}
