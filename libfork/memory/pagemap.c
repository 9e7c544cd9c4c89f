/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel itself says about a view's pages (its documentation:
 * admin-guide/mm/pagemap): a witness that knows nothing of dirty rings.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "memory/view.h"

#define PAGEMAP_PRESENT (1UL << 63)
#define PAGEMAP_SWAPPED (1UL << 62)
#define PAGEMAP_FILE    (1UL << 61) /* page of a file, or shared */

#define CHUNK           512

static int
scan_file(const struct memory_view *view, const struct view_file *file, int fd,
    memory_view_page_fn *fn, void *opaque, struct lf_error *error)
{
	uint64_t pages = file->length >> PAGE_SHIFT, at = 0;

	while (at < pages) {
		uint64_t entries[CHUNK];
		size_t want = pages - at < CHUNK ? (size_t)(pages - at) : CHUNK;
		uint64_t index = ((uintptr_t)file->memory >> PAGE_SHIFT) + at;
		ssize_t n = sys.pread(fd, entries, want * sizeof(*entries),
		    (off_t)(index * sizeof(*entries)));
		size_t i;

		if (n <= 0 || (size_t)n % sizeof(*entries) != 0)
			return error_sys(error, n < 0 ? errno : EIO,
			    "cannot read /proc/self/pagemap");
		for (i = 0; i < (size_t)n / sizeof(*entries); i++) {
			uint64_t entry = entries[i];
			int rc;

			if (!(entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) ||
			    (entry & PAGEMAP_FILE))
				continue;
			rc = fn(opaque, file->first_page + at + i, error);
			if (rc < 0)
				return rc;
		}
		at += (size_t)n / sizeof(*entries);
	}
	(void)view;
	return 0;
}

/* Opened ahead, for the rest of the process's life; -1. */
static int ahead_fd = -1;

static int
open_pagemap(void)
{
	return sys.open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
}

void
memory_view_open_ahead(void)
{
	if (ahead_fd < 0)
		ahead_fd = open_pagemap();
	memory_view_mappings_max();
}

int
memory_view_private_pages(const struct memory_view *view,
    memory_view_page_fn *fn, void *opaque, struct lf_error *error)
{
	cleanup_close int opened = -1;
	int fd = ahead_fd, rc = 0;
	uint32_t i;

	if (fd < 0)
		fd = opened = open_pagemap();
	if (fd < 0)
		return error_sys(
		    error, errno, "cannot open /proc/self/pagemap");
	for (i = 0; i < view->image->file_count && rc == 0; i++)
		rc = scan_file(view, &view->files[i], fd, fn, opaque, error);
	return rc;
}

static int
compare_page(void *opaque, uint64_t page, struct lf_error *error)
{
	const struct memory_view *view = opaque;
	const uint8_t *found = memory_view_page(view, page);
	const uint8_t *wanted = memory_view_source(view, page);
	size_t i = 0;

	if (memcmp(found, wanted, PAGE_BYTES) == 0)
		return 0;
	while (found[i] == wanted[i])
		i++;
	return error_set(error, EILSEQ,
	    "memory differs from the snapshot: at 0x%" PRIx64
	    " it has 0x%02x, the snapshot 0x%02x",
	    memory_view_page_gpa(view, page) + i, found[i], wanted[i]);
}

int
memory_view_verify(const struct memory_view *view, struct lf_error *error)
{
	return memory_view_private_pages(
	    view, compare_page, (void *)view, error);
}
