/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From what QEMU says of a guest's memory to the snapshot's map: each range of
 * the flat view is matched with the RAM block whose bytes it shows, and with
 * the place of that block in the image. Three sources have to agree: the flat
 * view, QEMU's list of RAM blocks, and the block list in the stream.
 */
#ifndef QEMU_GUEST_MAP_H
#define QEMU_GUEST_MAP_H

#include <libfork/error.h>

#include "memory/image.h"
#include "memory/map.h"
#include "qemu/mtree.h"
#include "qemu/stream.h"

/*
 * Checks the blocks of a stream against QEMU's list: the same lengths, 4 KiB
 * pages (-ENOTSUP: huge pages), `ram_idstr` among them with `ram_bytes`.
 */
int guest_map_check_blocks(const struct ramblocks *list,
    const struct stream_block *blocks, size_t count, const char *ram_idstr,
    uint64_t ram_bytes, struct lf_error *error);

/*
 * Fills the map. The image has all blocks of the stream. An error names the
 * range: its region belongs to no block or to several, reaches outside of its
 * block, or guest memory is left out that no window can hide.
 */
int guest_map_build(const struct mtree *mtree,
    const struct stream_block *blocks, size_t count, const char *ram_idstr,
    const struct ram_image *image, struct memory_map *map,
    struct lf_error *error);

#endif
