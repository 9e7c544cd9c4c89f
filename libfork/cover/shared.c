/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Coverage that is counted by the target's own code, in memory that it shares
 * with the fuzzer. A process's map is in one piece for itself only: its pages
 * lie anywhere in guest-physical memory, so each run of neighbours becomes a
 * region of its own.
 */
#include <stdlib.h>

#include "base/error.h"
#include "base/sys.h"
#include "cover/kinds.h"
#include "vmi/space.h"

#define PAGE 4096UL

struct cover_shared {
	struct cover cover;
	uint64_t address;
};

static int
add_page(struct cover *cover, uint64_t gpa, size_t offset,
    struct cover_regions *regions, struct lf_error *error)
{
	struct lf_region *last =
	    regions->count > 0 ? &regions->region[regions->count - 1] : NULL;

	if (last != NULL && last->fd < 0 && last->gpa + last->length == gpa &&
	    (uint8_t *)last->address + last->length == cover->map + offset) {
		last->length += PAGE;
		return 0;
	}
	if (regions->count == regions->max)
		return error_set(error, E2BIG,
		    "the coverage map lies in more than %zu pieces of guest "
		    "memory; make it smaller",
		    regions->max);
	regions->region[regions->count++] = (struct lf_region){
	    .gpa = gpa,
	    .length = PAGE,
	    .fd = -1,
	    .address = cover->map + offset,
	};
	return 0;
}

static int
shared_prepare(struct cover *cover, struct lf_domain *scout,
    struct cover_regions *regions, struct lf_error *error)
{
	struct cover_shared *shared = (struct cover_shared *)cover;
	struct vmi_space space;
	size_t offset;
	int rc = vmi_space_init(&space, scout, cover->vcpu, error);

	for (offset = 0; rc == 0 && offset < cover->map_bytes; offset += PAGE) {
		uint64_t gpa;

		rc = vmi_space_translate(
		    &space, shared->address + offset, &gpa, NULL, error);
		if (rc == 0)
			rc = add_page(cover, gpa, offset, regions, error);
	}
	return rc < 0 ? error_prefix(error, rc, "coverage map at 0x%llx",
			    (unsigned long long)shared->address)
		      : 0;
}

static void
shared_free(struct cover *cover)
{
	free(cover);
}

static const struct cover_ops shared_ops = {
    .name = "shared",
    .prepare = shared_prepare,
    .free = shared_free,
};

int
cover_shared_new(uint64_t address, uint8_t *map, size_t map_bytes,
    struct cover **ret_cover, struct lf_error *error)
{
	struct cover_shared *shared;

	if (address % PAGE != 0 || map_bytes % PAGE != 0 || map_bytes == 0 ||
	    (uintptr_t)map % PAGE != 0)
		return error_set(error, EINVAL,
		    "the coverage map at 0x%llx, %zu bytes, is not whole pages",
		    (unsigned long long)address, map_bytes);
	shared = sys.calloc(1, sizeof(*shared));
	if (shared == NULL)
		return error_nomem(error);
	shared->cover.ops = &shared_ops;
	shared->cover.map = map;
	shared->cover.map_bytes = map_bytes;
	shared->address = address;
	*ret_cover = &shared->cover;
	return 0;
}
