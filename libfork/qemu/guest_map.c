/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Matching ranges with blocks. A region's name is the end of its block's
 * ("vga.vram" in "0000:00:02.0/vga.vram"); where two blocks end alike, the
 * address in the stream's block list decides.
 */
#include "qemu/guest_map.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"

/*
 * What chipset windows can hide of guest memory: 128 KiB of video memory and
 * up to 16 MiB of TSEG on q35; rounded up. More than this is memory whose
 * place was not understood.
 */
#define HIDDEN_MAX (UINT64_C(32) << 20)

int
guest_map_check_blocks(const struct ramblocks *list,
    const struct stream_block *blocks, size_t count, const char *ram_idstr,
    uint64_t ram_bytes, struct lf_error *error)
{
	bool found = false;
	size_t i, j;

	for (i = 0; i < count; i++) {
		const struct stream_block *block = &blocks[i];

		for (j = 0; j < list->count; j++)
			if (strcmp(list->blocks[j].idstr, block->idstr) == 0)
				break;
		if (j == list->count || list->blocks[j].used != block->length)
			return error_set(error, EBADMSG,
			    "RAM block '%s': 0x%" PRIx64 " bytes in the "
			    "stream, 0x%" PRIx64 " in QEMU's list",
			    block->idstr, block->length,
			    j < list->count ? list->blocks[j].used : 0);
		if (list->blocks[j].page_size != STREAM_PAGE_BYTES)
			return error_set(error, ENOTSUP,
			    "RAM block '%s' is made of huge pages (%" PRIu64
			    " KiB): such a domain cannot be forked",
			    block->idstr, list->blocks[j].page_size >> 10);
		if (strcmp(block->idstr, ram_idstr) != 0)
			continue;
		found = true;
		if (block->length != ram_bytes)
			return error_set(error, EBADMSG,
			    "RAM block '%s' has 0x%" PRIx64
			    " bytes, the domain 0x%" PRIx64,
			    ram_idstr, block->length, ram_bytes);
	}
	return found ? 0
		     : error_set(error, EBADMSG,
			   "QEMU's stream has no RAM block '%s'", ram_idstr);
}

/* Whether a block's name is the region's, whole or behind its device. */
static bool
names_match(const char *idstr, const char *region)
{
	size_t len = strlen(idstr), end = strlen(region);

	if (end > len || strcmp(idstr + len - end, region) != 0)
		return false;
	return end == len || idstr[len - end - 1] == '/';
}

static int
find_block(const struct mtree_range *range, const struct stream_block *blocks,
    size_t count, const struct stream_block **ret_block, struct lf_error *error)
{
	const struct stream_block *found = NULL;
	unsigned matches = 0;
	size_t i;

	for (i = 0; i < count; i++)
		if (names_match(blocks[i].idstr, range->region)) {
			found = &blocks[i];
			matches++;
		}
	if (matches > 1) {
		for (i = 0, matches = 0; i < count; i++)
			if (names_match(blocks[i].idstr, range->region) &&
			    blocks[i].gpa == range->gpa - range->offset) {
				found = &blocks[i];
				matches++;
			}
	}
	if (matches != 1)
		return error_set(error, ENOTSUP,
		    "memory map: region '%s' at 0x%" PRIx64
		    " belongs to %s RAM block of the stream",
		    range->region, range->gpa,
		    matches == 0 ? "no" : "no single");
	if (range->offset > found->length ||
	    range->length > found->length - range->offset)
		return error_set(error, EBADMSG,
		    "memory map: 0x%" PRIx64 "+0x%" PRIx64
		    " shows '%s' from 0x%" PRIx64 " on, beyond its 0x%" PRIx64
		    " bytes",
		    range->gpa, range->length, found->idstr, range->offset,
		    found->length);
	*ret_block = found;
	return 0;
}

/* A memslot has whole pages only; KVM in QEMU leaves out the same bytes. */
static bool
align_range(struct memory_range *range)
{
	uint64_t start = (range->gpa + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	uint64_t end = (range->gpa + range->length) & ~(PAGE_BYTES - 1);

	if (end <= start)
		return false;
	range->offset += start - range->gpa;
	range->gpa = start;
	range->length = end - start;
	return range->offset % PAGE_BYTES == 0;
}

int
guest_map_build(const struct mtree *mtree, const struct stream_block *blocks,
    size_t count, const char *ram_idstr, const struct ram_image *image,
    struct memory_map *map, struct lf_error *error)
{
	uint64_t shown = 0, ram_bytes = 0;
	size_t i;

	for (i = 0; i < mtree->count; i++) {
		const struct mtree_range *from = &mtree->ranges[i];
		const struct stream_block *block = NULL;
		const struct ram_block *place;
		struct memory_range range;
		int rc = find_block(from, blocks, count, &block, error);

		if (rc < 0)
			return rc;
		place = ram_image_find_block(image, block->idstr);
		if (place == NULL)
			return error_set(error, EINVAL,
			    "RAM block '%s' is not in the image", block->idstr);
		range = (struct memory_range){
		    .gpa = from->gpa,
		    .length = from->length,
		    .file = place->file,
		    .flags = from->readonly ? MEMORY_READONLY : 0,
		    .offset = place->offset + from->offset,
		};
		if (!align_range(&range))
			continue;
		rc = memory_map_add(map, &range, error);
		if (rc < 0)
			return rc;
		if (strcmp(block->idstr, ram_idstr) == 0) {
			ram_bytes = block->length;
			shown += range.length;
		}
	}
	if (ram_bytes == 0 || shown > ram_bytes ||
	    ram_bytes - shown > HIDDEN_MAX)
		return error_set(error, ENOTSUP,
		    "memory map: 0x%" PRIx64 " of 0x%" PRIx64
		    " bytes of guest memory are in it",
		    shown, ram_bytes);
	return 0;
}
