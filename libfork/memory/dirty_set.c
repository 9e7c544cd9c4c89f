/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dirty set: an array of hot pages and one bit per page of the view. A
 * reset walks the array once; nothing in it allocates or asks the kernel,
 * unless pages are given up.
 */
#include "memory/dirty_set.h"

#include <immintrin.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

#define BITS 64

int
dirty_set_init(struct dirty_set *set, const struct memory_view *view,
    struct lf_error *error)
{
	*set = (struct dirty_set){.view = view};
	set->bits = sys.calloc(view->page_count / BITS + 1, sizeof(*set->bits));
	return set->bits != NULL ? 0 : error_nomem(error);
}

void
dirty_set_done(struct dirty_set *set)
{
	free(set->bits);
	free(set->pages);
	*set = (struct dirty_set){0};
}

int
dirty_set_reserve(struct dirty_set *set, size_t count, struct lf_error *error)
{
	struct dirty_page *pages;
	size_t size = set->size > 0 ? set->size : 64;

	if (set->size - set->count >= count)
		return 0;
	while (size - set->count < count)
		size *= 2;
	pages = sys.realloc(set->pages, size * sizeof(*pages));
	if (pages == NULL)
		return error_nomem(error);
	set->pages = pages;
	set->size = size;
	return 0;
}

bool
dirty_set_has(const struct dirty_set *set, uint64_t page)
{
	return set->bits[page / BITS] >> (page % BITS) & 1;
}

void
dirty_set_add(struct dirty_set *set, uint64_t page)
{
	uint64_t bit = 1UL << (page % BITS);

	if (set->bits[page / BITS] & bit)
		return;
	set->bits[page / BITS] |= bit;
	set->pages[set->count++] = (struct dirty_page){
	    .memory = memory_view_page(set->view, page),
	    .source = memory_view_source(set->view, page),
	    .page = page,
	};
}

void
dirty_set_rebase(struct dirty_set *set)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		set->pages[i].source =
		    memory_view_source(set->view, set->pages[i].page);
}

static void
forget(struct dirty_set *set, uint64_t page)
{
	set->bits[page / BITS] &= ~(1UL << (page % BITS));
}

int
dirty_set_write(struct dirty_set *set, uint64_t gpa, const void *bytes,
    size_t len, struct lf_error *error)
{
	const char *from = bytes;
	int rc;

	rc = dirty_set_reserve(set, len / PAGE_BYTES + 2, error);
	if (rc < 0)
		return rc;
	while (len > 0) {
		const struct view_range *range =
		    memory_view_find(set->view, gpa);
		uint64_t into;
		size_t here;

		if (range == NULL)
			return error_set(error, EFAULT,
			    "guest-physical address 0x%" PRIx64 " is no memory",
			    gpa);
		into = gpa - range->gpa;
		here = PAGE_BYTES - into % PAGE_BYTES;
		if (here > len)
			here = len;
		if (range->first_page != VIEW_NO_PAGE)
			dirty_set_add(
			    set, range->first_page + (into >> PAGE_SHIFT));
		memcpy(range->memory + into, from, here);
		from += here;
		gpa += here;
		len -= here;
	}
	return 0;
}

/* --- restoring --- */

/*
 * Makes a page equal to its source and writes only the parts that differ: most
 * hot pages differ in few lines, and a line not written is one not to be
 * fetched for ownership and written back. False when nothing differed.
 */
__attribute__((target("avx2"))) static bool
restore_page_avx2(uint8_t *memory, const uint8_t *source)
{
	__m256i *to = (__m256i *)memory;
	const __m256i *from = (const __m256i *)source;
	bool changed = false;
	size_t i;

	for (i = 0; i < PAGE_BYTES / sizeof(*to); i += 4) {
		__m256i a = from[i], b = from[i + 1];
		__m256i c = from[i + 2], d = from[i + 3];
		__m256i differs = (a ^ to[i]) | (b ^ to[i + 1]) |
				  (c ^ to[i + 2]) | (d ^ to[i + 3]);

		if (_mm256_testz_si256(differs, differs))
			continue;
		to[i] = a;
		to[i + 1] = b;
		to[i + 2] = c;
		to[i + 3] = d;
		changed = true;
	}
	return changed;
}

static bool
restore_page_plain(uint8_t *memory, const uint8_t *source)
{
	if (memcmp(memory, source, PAGE_BYTES) == 0)
		return false;
	memcpy(memory, source, PAGE_BYTES);
	return true;
}

static inline bool
restore_page(bool avx2, uint8_t *memory, const uint8_t *source)
{
	return avx2 ? restore_page_avx2(memory, source)
		    : restore_page_plain(memory, source);
}

/*
 * Makes every page equal and counts how long each has been so. Returns how
 * many are old.
 */
static size_t
restore_all(struct dirty_set *set)
{
	bool avx2 = __builtin_cpu_supports("avx2");
	size_t restored = 0, old = 0, i;

	for (i = 0; i < set->count; i++) {
		struct dirty_page *page = &set->pages[i];

		if (restore_page(avx2, page->memory, page->source)) {
			page->age = 0;
			restored++;
		} else if (++page->age >= DIRTY_AGE_MAX) {
			old++;
		}
	}
	set->restored += restored;
	set->unchanged += set->count - restored;
	return old;
}

/*
 * Shares all pages again that are `age` or older: one call per row of
 * neighbours. Where the kernel refuses, the page just stays; it is equal.
 */
static void
give_up(struct dirty_set *set, uint32_t age)
{
	size_t i = 0, kept = 0;

	while (i < set->count) {
		size_t end = i + 1;
		struct dirty_page *first = &set->pages[i];

		if (first->age < age) {
			set->pages[kept++] = *first;
			i++;
			continue;
		}
		while (end < set->count && set->pages[end].age >= age &&
		       set->pages[end].memory ==
			   first->memory + (end - i) * PAGE_BYTES)
			end++;
		if (sys.madvise(first->memory, (end - i) * PAGE_BYTES,
			MADV_DONTNEED) == 0) {
			set->dropped += end - i;
			for (; i < end; i++)
				forget(set, set->pages[i].page);
			continue;
		}
		for (; i < end; i++) {
			set->pages[kept] = set->pages[i];
			set->pages[kept++].age = 0;
		}
	}
	set->count = kept;
}

void
dirty_set_restore(struct dirty_set *set)
{
	if (restore_all(set) > 0)
		give_up(set, DIRTY_AGE_MAX);
}

void
dirty_set_drop(struct dirty_set *set)
{
	size_t count = set->count, i;

	give_up(set, 0);
	set->restored += count - set->count;
	for (i = 0; i < set->count; i++)
		memcpy(set->pages[i].memory, set->pages[i].source, PAGE_BYTES);
}

void
dirty_set_restore_forget(struct dirty_set *set)
{
	size_t i;

	for (i = 0; i < set->count; i++) {
		memcpy(set->pages[i].memory, set->pages[i].source, PAGE_BYTES);
		forget(set, set->pages[i].page);
	}
	set->restored += set->count;
	set->count = 0;
}
