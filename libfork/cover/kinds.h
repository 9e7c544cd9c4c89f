/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kinds of coverage that need no probes.
 */
#ifndef COVER_KINDS_H
#define COVER_KINDS_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "cover/cover.h"

/*
 * The target counts by itself, in `map_bytes` (whole pages) at guest-virtual
 * `address`: these pages, wherever in guest-physical memory they lie, become
 * `map` of this process. Nothing is copied.
 */
int cover_shared_new(uint64_t address, uint8_t *map, size_t map_bytes,
    struct cover **ret_cover, struct lf_error *error);

#endif
