/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit/small_stream.h"

#include <criterion/criterion.h>
#include <string.h>

static const char description[] =
    "{\"page_size\": 4096, \"devices\": ["
    "{\"name\": \"cpu\", \"instance_id\": 0, \"vmsd_name\": \"cpu\","
    " \"version\": 12, \"fields\": ["
    "{\"name\": \"env.regs\", \"array_len\": 2, \"type\": \"uint64\","
    " \"size\": 8},"
    "{\"name\": \"env.hflags\", \"type\": \"uint32\", \"size\": 4}],"
    " \"subsections\": [{\"vmsd_name\": \"cpu/x\", \"version\": 1,"
    " \"fields\": [{\"name\": \"x\", \"type\": \"uint8\", \"size\": 1}]}]},"
    "{\"name\": \"globalstate\", \"instance_id\": 0,"
    " \"vmsd_name\": \"globalstate\", \"version\": 1, \"fields\": ["
    "{\"name\": \"size\", \"type\": \"uint32\", \"size\": 4}]}]}";

#define PUT(w, literal) writer_bytes((w), (literal), sizeof(literal) - 1)

void
small_stream_put(struct writer *w)
{
	char page[STREAM_PAGE_BYTES];
	struct lf_error error;

	memset(page, 'p', sizeof(page));
	writer_init(w);
	PUT(w, "QEVM\0\0\0\3");
	/* Configuration: machine "pc", capability x-ignore-shared. */
	PUT(w, "\7\0\0\0\2pc");
	PUT(w, "\5\32configuration/capabilities\0\0\0\1");
	PUT(w, "\0\0\0\1\17x-ignore-shared");
	/* Start of section 2, "ram", instance 0, version 4. */
	PUT(w, "\1\0\0\0\2\3ram\0\0\0\0\0\0\0\4");
	/* 4 pages in all: name, length and address of each block. */
	PUT(w, "\0\0\0\0\0\0\x40\4");
	PUT(w, "\3ram\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\0\0");
	PUT(w, "\3rom\0\0\0\0\0\0\x20\0\0\0\0\0\0\xff\0\0");
	PUT(w, "\0\0\0\0\0\0\0\x10\x7e\0\0\0\2");
	/* End of it: page 0 of rom, then page 1, zero, of the same block. */
	PUT(w, "\3\0\0\0\2");
	PUT(w, "\0\0\0\0\0\0\0\x08\3rom");
	writer_bytes(w, page, sizeof(page));
	PUT(w, "\0\0\0\0\0\0\x10\x22\0");
	PUT(w, "\0\0\0\0\0\0\0\x10\x7e\0\0\0\2");
	/* Full section 4, "cpu", version 12: registers, hflags, x. */
	PUT(w, "\4\0\0\0\4\3cpu\0\0\0\0\0\0\0\x0c");
	PUT(w, "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\x20\0\0");
	PUT(w, "\5\5cpu/x\0\0\0\1\xaa");
	PUT(w, "\x7e\0\0\0\4");
	PUT(w, "\4\0\0\0\5\13globalstate\0\0\0\0\0\0\0\1\0\0\0\7\x7e\0\0\0\5");
	PUT(w, "\0\6");
	writer_be32(w, sizeof(description) - 1);
	PUT(w, description);
	cr_assert_eq(writer_status(w, &error), 0);
}

int
small_stream_count_page(void *opaque, size_t block, uint64_t offset,
    const uint8_t *page, struct lf_error *e)
{
	struct small_stream_pages *pages = opaque;

	(void)e;
	pages->full += page != NULL;
	pages->zero += page == NULL;
	pages->last = offset;
	if (block != pages->leave_out)
		return 0;
	pages->left_out++;
	return 1;
}
