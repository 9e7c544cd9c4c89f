/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory/: the guest-physical map, RAM images, and that whatever fails in any
 * of its parts leaves nothing.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libfork/domain.h>
#include <libfork/log.h>

#include "lib/fault.h"
#include "memory/delta.h"
#include "unit/memory_scene.h"

/* --- map --- */

Test(map, ranges_come_in_any_order_and_are_found_by_address)
{
	struct memory_map map;

	memory_map_init(&map);
	cr_assert_eq(
	    scene_add_range(&map, 0x100000, 0x10000, 0, 0x100000, NULL), 0);
	cr_assert_eq(scene_add_range(&map, 0, 0xa0000, 0, 0, NULL), 0);
	cr_assert_eq(scene_add_range(&map, 0xc0000, 0x40000, 1, 0, NULL), 0);

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
	cr_assert_eq(scene_add_range(&map, 0x3000, 0x2000, 0, 0, NULL), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(scene_add_range(&map, cases[i].gpa,
				 cases[i].length, 0, cases[i].offset, &error),
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

Test(image, a_file_that_others_may_write_is_copied_and_the_log_says_so)
{
	int fd = scene_memfd(64 * KIB, 'a');
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
	int fd = scene_memfd(8 * KIB, 'a'), pipes[2];
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

/* --- all of it --- */

Test(memory, every_call_may_fail_and_nothing_leaks)
{
	struct memory_map map;
	struct ram_image *image = scene_image(&map);
	int region_fd = scene_memfd(64 * KIB, 'r');
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
