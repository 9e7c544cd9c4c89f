/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The probe layer: a few bytes of guest memory shown changed to all forks of
 * one image in this process, while the image stays as it is. A page with a
 * patch is copied into a file of the layer's own, which views map over base
 * and delta: what is changed there is seen by every fork that has not written
 * the page, at once and without a copy. No part of the layer ever belongs to a
 * snapshot, and `layer_hide` takes it out of what is shown to users.
 *
 * Patches of one image are numbered from 0 and never go away; each is armed
 * (its bytes are in the layer) or not. A fork may also arm or lift one in its
 * own private memory: the layer is then only where its bytes are known. Any
 * thread may call any function.
 */
#ifndef MEMORY_LAYER_H
#define MEMORY_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "memory/image.h"

/* Bytes of the longest patch. */
#define LAYER_PATCH_MAX 2

/* There is no such patch. */
#define LAYER_NONE UINT32_MAX

struct layer;

struct layer_patch {
	uint32_t file; /* of the image; the patch lies in one page */
	uint8_t len;
	bool armed; /* in the layer */
	uint64_t offset;
	uint8_t bytes[LAYER_PATCH_MAX];
	uint8_t original[LAYER_PATCH_MAX];
	uint32_t next; /* patch of the same page, or LAYER_NONE */
};

/* A layer over `image`, of which it takes a reference. */
int layer_new(
    struct ram_image *image, struct layer **ret, struct lf_error *error);
struct layer *layer_ref(struct layer *layer);
void layer_unref(struct layer *layer);

/* Whether it lies over this image. */
bool layer_is_over(const struct layer *layer, const struct ram_image *image);

/*
 * Adds a patch of `len` bytes, not armed, and returns its number. With
 * `shared` its page becomes one of the layer's: views have to map it
 * (memory_view_map_layer()) before it can be armed there. A patch that is
 * there already is given again. -EXDEV: it crosses a page; -EEXIST: it
 * overlaps another; -ENOSPC: too many.
 */
int layer_add(struct layer *layer, uint32_t file, uint64_t offset,
    const uint8_t *bytes, size_t len, bool shared, struct lf_error *error);

/*
 * Puts a patch's bytes into the layer or takes them out. True when that
 * changed something: of several threads one is told so.
 */
bool layer_arm(struct layer *layer, uint32_t patch, bool armed);

/* The patch that begins at this place, or LAYER_NONE. */
uint32_t layer_find(struct layer *layer, uint32_t file, uint64_t offset);

void layer_get(struct layer *layer, uint32_t patch, struct layer_patch *ret);
uint32_t layer_count(struct layer *layer);

/*
 * Puts the original bytes where `buf`, which shows `len` bytes at `offset` of
 * a file, has those of a patch.
 */
void layer_hide(
    struct layer *layer, uint32_t file, uint64_t offset, void *buf, size_t len);

/* The layer's page there; NULL: the image's own is shown. */
const uint8_t *layer_page(struct layer *layer, uint32_t file, uint64_t offset);

/*
 * The layer's pages in the order in which they came: what page `index` is and
 * where it is to be mapped from.
 */
struct layer_place {
	uint32_t file;   /* of the image */
	uint64_t offset; /* in it */
	int fd;
	uint64_t at; /* in fd */
};
size_t layer_page_count(struct layer *layer);
void layer_place(struct layer *layer, size_t index, struct layer_place *ret);

#endif
