/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory as a fork has it: two files; ranges that alias, with holes between;
 * one is read-only. What the guest would write, the test writes. Everything
 * here fails the test when it fails.
 */
#ifndef TESTS_UNIT_MEMORY_SCENE_H
#define TESTS_UNIT_MEMORY_SCENE_H

#include <stdint.h>

#include "memory/dirty_set.h"
#include "memory/image.h"
#include "memory/map.h"
#include "memory/view.h"

#define KIB 1024UL
#define MIB (1024UL * KIB)

struct scene {
	struct memory_map map;
	struct ram_image *image;
	struct memory_view *view;
	struct dirty_set set;
};

void scene_open(struct scene *s);
void scene_close(struct scene *s);

/* --- pieces, for tests that set their own scene --- */

/* memory_map_add(), whose result it returns. */
int scene_add_range(struct memory_map *map, uint64_t gpa, uint64_t length,
    uint32_t file, uint64_t offset, struct lf_error *error);

/* The image, and the map that goes with it. */
struct ram_image *scene_image(struct memory_map *map);

struct memory_view *scene_view(
    const struct memory_map *map, struct ram_image *image);

void scene_poke(struct dirty_set *set, uint64_t gpa, const char *text);

void scene_expect(
    const struct memory_view *view, uint64_t gpa, const char *text);

/* Any file's descriptor, full of this byte. */
int scene_memfd(uint64_t size, char byte);

#endif
