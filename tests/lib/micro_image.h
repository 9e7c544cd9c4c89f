/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots of the micro-guests under guest/micro/: the flat image in memory
 * at MICRO_IMAGE, entered there at CPL 3, with its symbols. Fails by abort().
 */
#ifndef TESTS_LIB_MICRO_IMAGE_H
#define TESTS_LIB_MICRO_IMAGE_H

#include <libfork/snapshot.h>
#include <libfork/symbols.h>

struct micro_image {
	struct lf_snapshot *snapshot;
	struct lf_symbols *symbols;
};

/* Loads guest NAME ("json"). */
void micro_image_open(struct micro_image *image, const char *name);
void micro_image_close(struct micro_image *image);

/* The address of a symbol, which is there. */
uint64_t micro_image_symbol(const struct micro_image *image, const char *name);

#endif
