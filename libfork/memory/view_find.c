/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking into a view: from guest-physical addresses to ranges, from pages to
 * where they are mapped and to what they were in the snapshot.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "memory/layer.h"
#include "memory/view.h"

const struct view_range *
memory_view_find(const struct memory_view *view, uint64_t gpa)
{
	size_t low = 0, high = view->range_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct view_range *range = &view->ranges[middle];

		if (gpa < range->gpa)
			high = middle;
		else if (gpa - range->gpa >= range->length)
			low = middle + 1;
		else
			return range;
	}
	return NULL;
}

/* The file that a page belongs to, and its offset in the mapping. */
static uint32_t
file_of_page(const struct memory_view *view, uint64_t page, uint64_t *ret_into)
{
	uint32_t i = 0;

	while (page - view->files[i].first_page >= view->files[i].length >>
	       PAGE_SHIFT)
		i++;
	*ret_into = (page - view->files[i].first_page) << PAGE_SHIFT;
	return i;
}

uint8_t *
memory_view_page(const struct memory_view *view, uint64_t page)
{
	uint64_t into;
	uint32_t file = file_of_page(view, page, &into);

	return view->files[file].memory + into;
}

uint32_t
memory_view_place(
    const struct memory_view *view, uint64_t page, uint64_t *ret_offset)
{
	uint64_t into;
	uint32_t file = file_of_page(view, page, &into);

	*ret_offset = view->files[file].offset + into;
	return file;
}

const uint8_t *
memory_view_source(const struct memory_view *view, uint64_t page)
{
	const struct ram_image *image = view->image;
	uint64_t offset;
	uint32_t file = memory_view_place(view, page, &offset);

	if (view->layer != NULL) {
		const uint8_t *bytes = layer_page(view->layer, file, offset);

		if (bytes != NULL)
			return bytes;
	}
	if (image->run_count > 0) {
		size_t at = ram_image_find_run(image, file, offset);
		const struct ram_run *run = &image->runs[at];

		if (at < image->run_count && run->file == file &&
		    run->offset <= offset)
			return ram_file_bytes(image->delta) + run->at +
			       (offset - run->offset);
	}
	return ram_file_bytes(image->files[file]) + offset;
}

uint64_t
memory_view_page_gpa(const struct memory_view *view, uint64_t page)
{
	size_t i;

	for (i = 0; i < view->range_count; i++) {
		const struct view_range *range = &view->ranges[i];

		if (range->first_page != VIEW_NO_PAGE &&
		    page >= range->first_page &&
		    page - range->first_page < range->length >> PAGE_SHIFT)
			return range->gpa +
			       ((page - range->first_page) << PAGE_SHIFT);
	}
	return UINT64_MAX;
}

int
memory_view_check(const struct memory_view *view, uint64_t gpa, size_t len,
    struct lf_error *error)
{
	while (len > 0) {
		const struct view_range *range = memory_view_find(view, gpa);
		uint64_t here;

		if (range == NULL)
			return error_set(error, EFAULT,
			    "guest-physical address 0x%" PRIx64 " is no memory",
			    gpa);
		here = range->length - (gpa - range->gpa);
		if (here >= len)
			break;
		gpa += here;
		len -= (size_t)here;
	}
	return 0;
}

void
memory_view_read(
    const struct memory_view *view, uint64_t gpa, void *buf, size_t len)
{
	char *to = buf;

	while (len > 0) {
		const struct view_range *range = memory_view_find(view, gpa);
		uint64_t into;
		size_t here;

		if (range == NULL)
			return;
		into = gpa - range->gpa;
		here = range->length - into < len
			   ? (size_t)(range->length - into)
			   : len;
		memcpy(to, range->memory + into, here);
		if (view->layer != NULL && range->first_page != VIEW_NO_PAGE)
			layer_hide(view->layer, range->file,
			    range->offset + into, to, here);
		to += here;
		gpa += here;
		len -= here;
	}
}

/* --- by file --- */

/* The part of a region that hides something of offset .. end-1 of a file. */
static bool
clip_region(const struct view_range *range, uint32_t file, uint64_t offset,
    uint64_t end, uint64_t *ret_from, uint64_t *ret_to)
{
	if (range->first_page != VIEW_NO_PAGE || range->file != file)
		return false;
	*ret_from = range->offset > offset ? range->offset : offset;
	*ret_to = range->offset + range->length < end
		      ? range->offset + range->length
		      : end;
	return *ret_from < *ret_to;
}

const uint8_t *
memory_view_file_bytes(const struct memory_view *view, uint32_t number,
    uint64_t offset, uint64_t len)
{
	const struct view_file *file = &view->files[number];
	uint64_t from, to;
	size_t i;

	if (view->layer != NULL || offset < file->offset ||
	    offset - file->offset > file->length ||
	    len > file->length - (offset - file->offset))
		return NULL;
	for (i = 0; i < view->range_count; i++)
		if (clip_region(&view->ranges[i], number, offset, offset + len,
			&from, &to))
			return NULL;
	return file->memory + (offset - file->offset);
}

/* As memory_view_read_file(), with what regions hide. */
static int
read_below(const struct memory_view *view, uint32_t number, uint64_t offset,
    uint8_t *to, size_t len, struct lf_error *error)
{
	const struct view_file *file = &view->files[number];
	uint64_t shown_end = file->offset + file->length;

	while (len > 0) {
		bool shown = offset >= file->offset && offset < shown_end;
		size_t here = len;
		int rc = 0;

		if (shown && here > shown_end - offset)
			here = (size_t)(shown_end - offset);
		if (offset < file->offset && here > file->offset - offset)
			here = (size_t)(file->offset - offset);
		if (shown)
			memcpy(
			    to, file->memory + (offset - file->offset), here);
		else
			rc = ram_image_read(
			    view->image, number, offset, to, here, error);
		if (rc < 0)
			return rc;
		if (shown && view->layer != NULL)
			layer_hide(view->layer, number, offset, to, here);
		to += here;
		offset += here;
		len -= here;
	}
	return 0;
}

int
memory_view_read_file(const struct memory_view *view, uint32_t file,
    uint64_t offset, void *buf, size_t len, struct lf_error *error)
{
	uint64_t from, to;
	size_t i;
	int rc = read_below(view, file, offset, buf, len, error);

	for (i = 0; i < view->range_count && rc == 0; i++) {
		const struct view_range *range = &view->ranges[i];

		if (clip_region(range, file, offset, offset + len, &from, &to))
			memcpy((uint8_t *)buf + (from - offset),
			    range->memory + (from - range->offset), to - from);
	}
	return rc;
}
