/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest-physical map: which guest-physical addresses are memory, and where
 * in which file that memory lies. It is the only way an address is turned into
 * a place in a file and back. Ranges are sorted by address and never overlap;
 * holes between them are normal, and so are several ranges that show the same
 * part of one file. It does not know who runs the guest.
 */
#ifndef MEMORY_MAP_H
#define MEMORY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#define PAGE_SHIFT 12
#define PAGE_BYTES (1UL << PAGE_SHIFT)

/* Guest-physical addresses end below 2^52; no sane map has more ranges. */
#define MEMORY_GPA_END    (1UL << 52)
#define MEMORY_RANGES_MAX 4096

enum {
	MEMORY_READONLY = 1 << 0, /* writes by the guest exit: rom, romd */
};

struct memory_range {
	uint64_t gpa;    /* page aligned, like length and offset */
	uint64_t length; /* bytes, not 0 */
	uint32_t file;   /* number of a file of the RAM image */
	uint32_t flags;  /* MEMORY_... */
	uint64_t offset; /* of the first byte in the file */
};

struct memory_map {
	struct memory_range *ranges; /* owned, sorted by gpa */
	size_t count;
};

/* `map` is empty and holds nothing. */
static inline void
memory_map_init(struct memory_map *map)
{
	*map = (struct memory_map){0};
}

void memory_map_done(struct memory_map *map);

/*
 * Adds a range where it belongs. -EINVAL names the range when it is not page
 * aligned, empty, beyond MEMORY_GPA_END or overlaps another; -ENOMEM.
 */
int memory_map_add(struct memory_map *map, const struct memory_range *range,
    struct lf_error *error);

int memory_map_copy(struct memory_map *to, const struct memory_map *from,
    struct lf_error *error);

/* The range that contains `gpa`; NULL in a hole. */
const struct memory_range *memory_map_find(
    const struct memory_map *map, uint64_t gpa);

/* Bytes of all ranges. */
uint64_t memory_map_bytes(const struct memory_map *map);

#endif
