/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit/memory_scene.h"

#include <config.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int
scene_add_range(struct memory_map *map, uint64_t gpa, uint64_t length,
    uint32_t file, uint64_t offset, struct lf_error *error)
{
	struct memory_range range = {
	    .gpa = gpa, .length = length, .file = file, .offset = offset};

	return memory_map_add(map, &range, error);
}

struct ram_image *
scene_image(struct memory_map *map)
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
	cr_assert_eq(scene_add_range(map, 0, 0xa0000, 0, 0, NULL), 0);
	cr_assert_eq(scene_add_range(map, 0xc0000, 0x10000, 1, 0, NULL), 0);
	cr_assert_eq(
	    scene_add_range(map, 0x100000, 0x300000, 0, 0x100000, NULL), 0);
	/* The same bytes as at 0xc0000, and file b's odd end. */
	cr_assert_eq(scene_add_range(map, 0xf0000000, 0x4b000, 1, 0, NULL), 0);
	return image;
}

struct memory_view *
scene_view(const struct memory_map *map, struct ram_image *image)
{
	struct memory_view *view;
	struct lf_error error;

	cr_assert_eq(memory_view_new(map, image, NULL, 0, &view, &error), 0,
	    "%s", error.message);
	return view;
}

void
scene_poke(struct dirty_set *set, uint64_t gpa, const char *text)
{
	cr_assert_eq(memory_view_check(set->view, gpa, strlen(text), NULL), 0);
	cr_assert_eq(dirty_set_write(set, gpa, text, strlen(text), NULL), 0);
}

void
scene_expect(const struct memory_view *view, uint64_t gpa, const char *text)
{
	char found[64] = "";

	cr_assert_eq(memory_view_check(view, gpa, strlen(text), NULL), 0);
	memory_view_read(view, gpa, found, strlen(text));
	cr_assert_str_eq(found, text);
}

int
scene_memfd(uint64_t size, char byte)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *bytes = malloc(size);

	memset(bytes, byte, size);
	cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
	free(bytes);
	return fd;
}

void
scene_open(struct scene *s)
{
	s->image = scene_image(&s->map);
	s->view = scene_view(&s->map, s->image);
	cr_assert_eq(dirty_set_init(&s->set, s->view, NULL), 0);
}

void
scene_close(struct scene *s)
{
	dirty_set_done(&s->set);
	memory_view_free(s->view);
	ram_image_unref(s->image);
	memory_map_done(&s->map);
}
