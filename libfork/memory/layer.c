/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages are found by a hash table of their places; the patches of a page form
 * a chain. Memory of the layer's file is mapped chunk by chunk and stays where
 * it is, so that pointers into it are good as long as the layer lives.
 */
#include "memory/layer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "memory/map.h"

#define CHUNK_PAGES 64UL
#define CHUNK_BYTES (CHUNK_PAGES * PAGE_BYTES)
#define CHUNKS_MAX  1024 /* 256 MiB of probed pages */
#define PATCHES_MAX (4U << 20)

#define NO_INDEX    UINT32_MAX

/* A page that has patches. */
struct page {
	uint32_t file;
	uint32_t patches; /* first of its chain */
	uint32_t index;   /* in the layer's file, or NO_INDEX */
	bool used;
	uint64_t offset;
};

struct layer {
	unsigned refs; /* atomic */
	pthread_mutex_t lock;
	struct ram_image *image; /* a reference */
	struct layer_patch *patches;
	uint32_t count, room;
	struct page *pages; /* hash table; size is a power of two */
	size_t page_count, page_room;
	int fd;
	uint8_t *chunks[CHUNKS_MAX];
	struct layer_place *places; /* of the pages in the file */
	size_t place_count, place_room;
};

int
layer_new(struct ram_image *image, struct layer **ret, struct lf_error *error)
{
	struct layer *layer = sys.calloc(1, sizeof(*layer));

	if (layer == NULL)
		return error_nomem(error);
	layer->fd = sys.memfd_create("libfork-probes", MFD_CLOEXEC);
	if (layer->fd < 0) {
		int code = errno;

		free(layer);
		return error_sys(error, code, "cannot make a file for probes");
	}
	layer->refs = 1;
	pthread_mutex_init(&layer->lock, NULL);
	layer->image = ram_image_ref(image);
	*ret = layer;
	return 0;
}

struct layer *
layer_ref(struct layer *layer)
{
	__atomic_add_fetch(&layer->refs, 1, __ATOMIC_RELAXED);
	return layer;
}

void
layer_unref(struct layer *layer)
{
	size_t i;

	if (layer == NULL ||
	    __atomic_sub_fetch(&layer->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (i = 0; i < CHUNKS_MAX && layer->chunks[i] != NULL; i++)
		munmap(layer->chunks[i], CHUNK_BYTES);
	close_fd(layer->fd);
	ram_image_unref(layer->image);
	pthread_mutex_destroy(&layer->lock);
	free(layer->patches);
	free(layer->pages);
	free(layer->places);
	free(layer);
}

bool
layer_is_over(const struct layer *layer, const struct ram_image *image)
{
	return layer->image == image;
}

/* --- pages --- */

static size_t
slot_of(const struct layer *layer, uint32_t file, uint64_t offset)
{
	uint64_t hash = ((offset >> PAGE_SHIFT) + ((uint64_t)file << 48) + 1) *
			0x9e3779b97f4a7c15ULL;
	size_t mask = layer->page_room - 1, at = (hash >> 32) & mask;

	while (layer->pages[at].used && (layer->pages[at].file != file ||
					    layer->pages[at].offset != offset))
		at = (at + 1) & mask;
	return at;
}

static struct page *
find_page(const struct layer *layer, uint32_t file, uint64_t offset)
{
	struct page *page;

	if (layer->page_room == 0)
		return NULL;
	page = &layer->pages[slot_of(layer, file, offset & -PAGE_BYTES)];
	return page->used ? page : NULL;
}

static uint8_t *
page_bytes(const struct layer *layer, uint32_t index)
{
	return layer->chunks[index / CHUNK_PAGES] +
	       index % CHUNK_PAGES * PAGE_BYTES;
}

static int
grow_pages(struct layer *layer, struct lf_error *error)
{
	size_t room = layer->page_room > 0 ? 2 * layer->page_room : 64, i;
	struct page *old = layer->pages, *pages;
	size_t old_room = layer->page_room;

	if (2 * layer->page_count < layer->page_room)
		return 0;
	pages = sys.calloc(room, sizeof(*pages));
	if (pages == NULL)
		return error_nomem(error);
	layer->pages = pages;
	layer->page_room = room;
	for (i = 0; i < old_room; i++)
		if (old[i].used)
			pages[slot_of(layer, old[i].file, old[i].offset)] =
			    old[i];
	free(old);
	return 0;
}

static int
add_page(struct layer *layer, uint32_t file, uint64_t offset, struct page **ret,
    struct lf_error *error)
{
	struct page *page = find_page(layer, file, offset);
	int rc;

	if (page == NULL) {
		rc = grow_pages(layer, error);
		if (rc < 0)
			return rc;
		offset &= -PAGE_BYTES;
		page = &layer->pages[slot_of(layer, file, offset)];
		*page = (struct page){
		    .file = file,
		    .offset = offset,
		    .patches = LAYER_NONE,
		    .index = NO_INDEX,
		    .used = true,
		};
		layer->page_count++;
	}
	*ret = page;
	return 0;
}

static int
add_chunk(struct layer *layer, size_t chunk, struct lf_error *error)
{
	void *memory;

	if (chunk >= CHUNKS_MAX)
		return error_set(error, ENOSPC, "probes in more than %lu pages",
		    CHUNKS_MAX * CHUNK_PAGES);
	if (sys.ftruncate(layer->fd, (off_t)((chunk + 1) * CHUNK_BYTES)) < 0)
		return error_sys(
		    error, errno, "cannot make the file of probes larger");
	memory = sys.mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
	    layer->fd, (off_t)(chunk * CHUNK_BYTES));
	if (memory == MAP_FAILED)
		return error_sys(error, errno, "cannot map the file of probes");
	layer->chunks[chunk] = memory;
	return 0;
}

/* Gives the page a place in the layer's file, with the image's content. */
static int
share_page(struct layer *layer, struct page *page, struct lf_error *error)
{
	size_t index = layer->place_count;
	int rc = 0;

	if (page->index != NO_INDEX)
		return 0;
	if (index == layer->place_room) {
		size_t room = index > 0 ? 2 * index : 64;
		struct layer_place *places =
		    sys.realloc(layer->places, room * sizeof(*places));

		if (places == NULL)
			return error_nomem(error);
		layer->places = places;
		layer->place_room = room;
	}
	if (index / CHUNK_PAGES >= CHUNKS_MAX ||
	    layer->chunks[index / CHUNK_PAGES] == NULL)
		rc = add_chunk(layer, index / CHUNK_PAGES, error);
	if (rc == 0)
		rc = ram_image_read(layer->image, page->file, page->offset,
		    page_bytes(layer, (uint32_t)index), PAGE_BYTES, error);
	if (rc < 0)
		return rc;
	layer->places[index] = (struct layer_place){
	    .file = page->file,
	    .offset = page->offset,
	    .fd = layer->fd,
	    .at = index * PAGE_BYTES,
	};
	page->index = (uint32_t)index;
	__atomic_store_n(&layer->place_count, index + 1, __ATOMIC_RELEASE);
	return 0;
}

/* --- patches --- */

static uint32_t
find(const struct layer *layer, uint32_t file, uint64_t offset)
{
	const struct page *page = find_page(layer, file, offset);
	uint32_t at = page != NULL ? page->patches : LAYER_NONE;

	while (at != LAYER_NONE && layer->patches[at].offset != offset)
		at = layer->patches[at].next;
	return at;
}

static bool
overlaps(const struct layer *layer, const struct page *page, uint64_t offset,
    size_t len)
{
	uint32_t at;

	for (at = page->patches; at != LAYER_NONE;
	     at = layer->patches[at].next) {
		const struct layer_patch *patch = &layer->patches[at];

		if (offset < patch->offset + patch->len &&
		    patch->offset < offset + len)
			return true;
	}
	return false;
}

static int
grow_patches(struct layer *layer, struct lf_error *error)
{
	uint32_t room = layer->room > 0 ? 2 * layer->room : 64;
	struct layer_patch *patches;

	if (layer->count < layer->room)
		return 0;
	if (room > PATCHES_MAX)
		return error_set(
		    error, ENOSPC, "more than %u probes", PATCHES_MAX);
	patches = sys.realloc(layer->patches, room * sizeof(*patches));
	if (patches == NULL)
		return error_nomem(error);
	layer->patches = patches;
	layer->room = room;
	return 0;
}

/* With the lock held. */
static int
add(struct layer *layer, uint32_t file, uint64_t offset, const uint8_t *bytes,
    size_t len, bool shared, struct lf_error *error)
{
	struct layer_patch patch = {
	    .file = file, .offset = offset, .len = (uint8_t)len};
	struct page *page = NULL;
	uint32_t there = find(layer, file, offset);
	int rc = add_page(layer, file, offset, &page, error);

	if (rc < 0)
		return rc;
	/* A shared one may overlap others that only forks arm. */
	if (there == LAYER_NONE && shared && overlaps(layer, page, offset, len))
		return error_set(error, EEXIST,
		    "it overlaps another probe at offset 0x%" PRIx64
		    " of file %u",
		    offset, file);
	rc = grow_patches(layer, error);
	if (rc == 0 && shared)
		rc = share_page(layer, page, error);
	if (rc < 0)
		return rc;
	if (there != LAYER_NONE)
		return (int)there;
	rc = ram_image_read(
	    layer->image, file, offset, patch.original, len, error);
	if (rc < 0)
		return rc;
	memcpy(patch.bytes, bytes, len);
	patch.next = page->patches;
	page->patches = layer->count;
	layer->patches[layer->count] = patch;
	return (int)layer->count++;
}

int
layer_add(struct layer *layer, uint32_t file, uint64_t offset,
    const uint8_t *bytes, size_t len, bool shared, struct lf_error *error)
{
	int rc;

	if (len == 0 || len > LAYER_PATCH_MAX ||
	    file >= layer->image->file_count)
		return error_set(error, EINVAL, "no place for a probe");
	if (offset / PAGE_BYTES != (offset + len - 1) / PAGE_BYTES)
		return error_set(error, EXDEV,
		    "a probe of %zu bytes would cross a page", len);
	pthread_mutex_lock(&layer->lock);
	rc = add(layer, file, offset, bytes, len, shared, error);
	pthread_mutex_unlock(&layer->lock);
	return rc;
}

/* Guest code lies at any address. */
typedef uint16_t __attribute__((aligned(1), may_alias)) unaligned16;

/*
 * A guest may be running through it: both bytes in one store, which other CPUs
 * see as one within a cache line (Intel SDM volume 3, 9.1.1).
 */
static void
store(uint8_t *to, const uint8_t *bytes, size_t len)
{
	if (len == 1)
		*(volatile uint8_t *)to = bytes[0];
	else
		*(volatile unaligned16 *)to = *(const unaligned16 *)bytes;
}

bool
layer_arm(struct layer *layer, uint32_t number, bool armed)
{
	struct layer_patch *patch;
	const struct page *page;
	bool changed = false;

	pthread_mutex_lock(&layer->lock);
	if (number < layer->count) {
		patch = &layer->patches[number];
		page = find_page(layer, patch->file, patch->offset);
		changed = page != NULL && page->index != NO_INDEX &&
			  patch->armed != armed;
		if (changed) {
			patch->armed = armed;
			store(page_bytes(layer, page->index) +
				  patch->offset % PAGE_BYTES,
			    armed ? patch->bytes : patch->original, patch->len);
		}
	}
	pthread_mutex_unlock(&layer->lock);
	return changed;
}

uint32_t
layer_find(struct layer *layer, uint32_t file, uint64_t offset)
{
	uint32_t at;

	pthread_mutex_lock(&layer->lock);
	at = find(layer, file, offset);
	pthread_mutex_unlock(&layer->lock);
	return at;
}

void
layer_get(struct layer *layer, uint32_t patch, struct layer_patch *ret)
{
	pthread_mutex_lock(&layer->lock);
	*ret = layer->patches[patch];
	pthread_mutex_unlock(&layer->lock);
}

uint32_t
layer_count(struct layer *layer)
{
	return __atomic_load_n(&layer->count, __ATOMIC_ACQUIRE);
}

/* A patch reaches at most one byte into what was asked for. */
static void
hide(const struct layer_patch *patch, uint64_t offset, uint8_t *buf, size_t len)
{
	unsigned i;

	for (i = 0; i < patch->len; i++) {
		uint64_t at = patch->offset + i - offset;

		if (at < len && buf[at] != patch->bytes[i])
			return;
	}
	for (i = 0; i < patch->len; i++) {
		uint64_t at = patch->offset + i - offset;

		if (at < len)
			buf[at] = patch->original[i];
	}
}

void
layer_hide(
    struct layer *layer, uint32_t file, uint64_t offset, void *buf, size_t len)
{
	uint64_t at = offset & -PAGE_BYTES;

	pthread_mutex_lock(&layer->lock);
	for (; layer->page_room > 0 && at < offset + len; at += PAGE_BYTES) {
		const struct page *page = find_page(layer, file, at);
		uint32_t next = page != NULL ? page->patches : LAYER_NONE;

		for (; next != LAYER_NONE; next = layer->patches[next].next)
			hide(&layer->patches[next], offset, buf, len);
	}
	pthread_mutex_unlock(&layer->lock);
}

const uint8_t *
layer_page(struct layer *layer, uint32_t file, uint64_t offset)
{
	const uint8_t *bytes = NULL;
	const struct page *page;

	pthread_mutex_lock(&layer->lock);
	page = find_page(layer, file, offset);
	if (page != NULL && page->index != NO_INDEX)
		bytes = page_bytes(layer, page->index);
	pthread_mutex_unlock(&layer->lock);
	return bytes;
}

size_t
layer_page_count(struct layer *layer)
{
	return __atomic_load_n(&layer->place_count, __ATOMIC_ACQUIRE);
}

void
layer_place(struct layer *layer, size_t index, struct layer_place *ret)
{
	pthread_mutex_lock(&layer->lock);
	*ret = layer->places[index];
	pthread_mutex_unlock(&layer->lock);
}
