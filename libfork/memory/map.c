/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest-physical map: a sorted array. Every range is checked when it is
 * added, so that whoever reads a map can rely on it.
 */
#include "memory/map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

void
memory_map_done(struct memory_map *map)
{
	free(map->ranges);
	memory_map_init(map);
}

static int
check_range(const struct memory_range *range, struct lf_error *error)
{
	if (((range->gpa | range->length | range->offset) % PAGE_BYTES) != 0)
		return error_set(error, EINVAL,
		    "range 0x%" PRIx64 "+0x%" PRIx64 " at offset 0x%" PRIx64
		    " is not made of whole pages",
		    range->gpa, range->length, range->offset);
	if (range->length == 0)
		return error_set(error, EINVAL,
		    "range at 0x%" PRIx64 " is empty", range->gpa);
	if (range->gpa >= MEMORY_GPA_END ||
	    range->length > MEMORY_GPA_END - range->gpa ||
	    range->offset > INT64_MAX - range->length)
		return error_set(error, EINVAL,
		    "range 0x%" PRIx64 "+0x%" PRIx64 " at offset 0x%" PRIx64
		    " is out of bounds",
		    range->gpa, range->length, range->offset);
	return 0;
}

/* The number of ranges that begin at or below `gpa`. */
static size_t
count_up_to(const struct memory_map *map, uint64_t gpa)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (map->ranges[middle].gpa <= gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int
overlap(const struct memory_range *a, const struct memory_range *b,
    struct lf_error *error)
{
	return error_set(error, EINVAL,
	    "range 0x%" PRIx64 "+0x%" PRIx64 " overlaps 0x%" PRIx64
	    "+0x%" PRIx64,
	    a->gpa, a->length, b->gpa, b->length);
}

int
memory_map_add(struct memory_map *map, const struct memory_range *range,
    struct lf_error *error)
{
	struct memory_range *ranges;
	size_t at;
	int rc;

	rc = check_range(range, error);
	if (rc < 0)
		return rc;
	if (map->count >= MEMORY_RANGES_MAX)
		return error_set(error, EINVAL, "a map of more than %d ranges",
		    MEMORY_RANGES_MAX);
	at = count_up_to(map, range->gpa);
	if (at > 0) {
		const struct memory_range *before = &map->ranges[at - 1];

		if (range->gpa - before->gpa < before->length)
			return overlap(range, before, error);
	}
	if (at < map->count && map->ranges[at].gpa - range->gpa < range->length)
		return overlap(range, &map->ranges[at], error);

	ranges = sys.realloc(map->ranges, (map->count + 1) * sizeof(*ranges));
	if (ranges == NULL)
		return error_nomem(error);
	memmove(
	    ranges + at + 1, ranges + at, (map->count - at) * sizeof(*ranges));
	ranges[at] = *range;
	map->ranges = ranges;
	map->count++;
	return 0;
}

int
memory_map_copy(struct memory_map *to, const struct memory_map *from,
    struct lf_error *error)
{
	struct memory_range *ranges = NULL;

	if (from->count > 0) {
		ranges = sys.malloc(from->count * sizeof(*ranges));
		if (ranges == NULL)
			return error_nomem(error);
		memcpy(ranges, from->ranges, from->count * sizeof(*ranges));
	}
	to->ranges = ranges;
	to->count = from->count;
	return 0;
}

const struct memory_range *
memory_map_find(const struct memory_map *map, uint64_t gpa)
{
	size_t count = count_up_to(map, gpa);
	const struct memory_range *range;

	if (count == 0)
		return NULL;
	range = &map->ranges[count - 1];
	return gpa - range->gpa < range->length ? range : NULL;
}

uint64_t
memory_map_bytes(const struct memory_map *map)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < map->count; i++)
		bytes += map->ranges[i].length;
	return bytes;
}
