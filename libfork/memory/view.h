/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A view: the memory of one fork. Every file of the RAM image is mapped once,
 * copy-on-write, with the delta's runs mapped over it; the ranges of the
 * guest-physical map point into these mappings, so that ranges showing the
 * same bytes stay the same bytes. Regions that a fork shares with the outside
 * replace parts of the map and are never restored.
 *
 * The pages of all files are numbered in one row, whatever their addresses
 * are: a page number is what the dirty set and the dirty ring speak of.
 */
#ifndef MEMORY_VIEW_H
#define MEMORY_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "memory/image.h"
#include "memory/map.h"

struct layer;
struct lf_region;

/* Where a range's pages have no number: a region, never restored. */
#define VIEW_NO_PAGE UINT64_MAX

struct view_file {
	uint8_t *memory;     /* NULL: no range shows the file */
	uint64_t offset;     /* of memory[0] in the file */
	uint64_t length;     /* bytes mapped */
	uint64_t first_page; /* number of the page at memory[0] */
};

struct view_range {
	uint64_t gpa;
	uint64_t length;
	uint8_t *memory;     /* of the first byte */
	uint64_t first_page; /* VIEW_NO_PAGE: a region */
	uint32_t flags;      /* MEMORY_... */
	/* Where it lies in the image; a region: what it hides, if anything. */
	uint32_t file;
	uint64_t offset;
};

/* A region hides no file: it lies in a hole. */
#define VIEW_NO_FILE UINT32_MAX

struct memory_view {
	struct ram_image *image;   /* a reference */
	struct view_range *ranges; /* owned, sorted by gpa */
	size_t range_count;
	uint64_t page_count;
	size_t mappings; /* at most as many in the kernel's list */
	struct {
		void *memory;
		size_t length;
	} * mapped; /* regions that the view itself mapped */
	size_t mapped_count;
	struct layer *layer;      /* a reference; NULL: none */
	size_t layer_mapped;      /* pages of it that are mapped */
	struct view_file files[]; /* as many as the image has */
};

/*
 * Maps an image as `map` shows it, with regions in place. -ENOMEM says when
 * vm.max_map_count is what is in the way.
 */
int memory_view_new(const struct memory_map *map, struct ram_image *image,
    const struct lf_region *regions, size_t region_count,
    struct memory_view **ret, struct lf_error *error);
void memory_view_free(struct memory_view *view);

/* The range that contains `gpa`; NULL in a hole. */
const struct view_range *memory_view_find(
    const struct memory_view *view, uint64_t gpa);

/* Where page number `page` is mapped, and what the image has there. */
uint8_t *memory_view_page(const struct memory_view *view, uint64_t page);
const uint8_t *memory_view_source(
    const struct memory_view *view, uint64_t page);

/* The file of the image that a page belongs to, and where in it. */
uint32_t memory_view_place(
    const struct memory_view *view, uint64_t page, uint64_t *ret_offset);

/*
 * Maps the pages of a probe layer that are not mapped yet over the image, as
 * its own from now on (memory_view_source()); what was written to these pages
 * is gone. A view has one layer: -EBUSY for another.
 */
int memory_view_map_layer(
    struct memory_view *view, struct layer *layer, struct lf_error *error);

/* Some guest-physical address of a page; UINT64_MAX when no range shows it. */
uint64_t memory_view_page_gpa(const struct memory_view *view, uint64_t page);

/* -EFAULT with the first address of gpa .. gpa+len-1 that is no memory. */
int memory_view_check(const struct memory_view *view, uint64_t gpa, size_t len,
    struct lf_error *error);

/* Reads what memory_view_check() accepted, without probes in it. */
void memory_view_read(
    const struct memory_view *view, uint64_t gpa, void *buf, size_t len);

/*
 * Reads what a view shows of the image's file `file`: the guest's bytes where
 * a range shows the file, a region's where it hides it, else the image's own;
 * no probes.
 */
int memory_view_read_file(const struct memory_view *view, uint32_t file,
    uint64_t offset, void *buf, size_t len, struct lf_error *error);

/*
 * The same bytes where they are mapped; NULL when they have to be read because
 * not all of them are, or because there are probes or regions.
 */
const uint8_t *memory_view_file_bytes(const struct memory_view *view,
    uint32_t file, uint64_t offset, uint64_t len);

/*
 * Calls `fn` for every page that the kernel holds privately for this view
 * (/proc/self/pagemap: not file-backed any more). Stops at a negative value
 * and returns it.
 */
typedef int memory_view_page_fn(
    void *opaque, uint64_t page, struct lf_error *error);
int memory_view_private_pages(const struct memory_view *view,
    memory_view_page_fn *fn, void *opaque, struct lf_error *error);

/*
 * Compares every privately held page with the image, independently of any
 * dirty set: 0, or -EILSEQ with the first difference.
 */
int memory_view_verify(const struct memory_view *view, struct lf_error *error);

/*
 * For a process that will not be able to open files: opens now what the
 * functions above and below open. Before there are other threads.
 */
void memory_view_open_ahead(void);

/* vm.max_map_count, read once. */
unsigned long memory_view_mappings_max(void);

#endif
