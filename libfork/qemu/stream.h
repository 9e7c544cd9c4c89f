/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's migration stream, as QEMU 7.2 writes it (migration/savevm.c, ram.c):
 *
 *	"QEVM", version 3
 *	[0x07 configuration: machine, capabilities]
 *	0x01 start of "ram": list of blocks      0x02, 0x03 parts: pages
 *	0x04 one full section per device
 *	0x00 end     0x06 description of the device sections, JSON
 *
 * each section followed by 0x7e and its number. Streams are outside data.
 *
 * stream_parse() indexes a stream that is all in memory; stream_receive()
 * takes one from QEMU as it comes, page by page, and keeps the rest.
 */
#ifndef QEMU_STREAM_H
#define QEMU_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "base/cleanup.h"
#include "qemu/vmdesc.h"

#define STREAM_PAGE_BYTES 4096

/* What begins a section. */
enum stream_mark {
	STREAM_EOF = 0x00,
	STREAM_START = 0x01,
	STREAM_PART = 0x02,
	STREAM_END = 0x03,
	STREAM_FULL = 0x04,
	STREAM_SUBSECTION = 0x05,
	STREAM_VMDESC = 0x06,
	STREAM_CONFIGURATION = 0x07,
	STREAM_COMMAND = 0x08,
	STREAM_FOOTER = 0x7e,
};

/* Bits below the page offset in a RAM record. */
enum stream_ram_flag {
	STREAM_RAM_ZERO = 0x02,
	STREAM_RAM_MEM_SIZE = 0x04,
	STREAM_RAM_PAGE = 0x08,
	STREAM_RAM_EOS = 0x10,
	STREAM_RAM_CONTINUE = 0x20,
};

/* A RAM block as the stream lists it. */
struct stream_block {
	char idstr[256];
	uint64_t length; /* bytes used */
	uint64_t gpa;    /* only with x-ignore-shared */
};

/* The section of a device. */
struct stream_section {
	char name[256];
	uint32_t instance_id;
	uint32_t version;
	uint32_t number;
	size_t start;  /* of the section's mark */
	size_t offset; /* of its body */
	size_t length; /* of its body */
	/* Borrowed from the description; NULL without one. */
	const struct vmdesc_device *device;
};

struct stream {
	const uint8_t *data; /* borrowed */
	size_t len;
	size_t ram;     /* offset of the RAM section; 0: none */
	size_t devices; /* of the first device section */
	size_t end;     /* of the end mark */
	uint32_t ram_number;
	bool ignore_shared; /* block list has addresses */
	char machine[64];   /* "pc-i440fx-7.2"; "" without configuration */
	struct stream_block *blocks;
	size_t block_count;
	struct stream_section *sections;
	size_t section_count;
	struct vmdesc *vmdesc; /* NULL: the stream has none */
};

/* Who gets what is in RAM sections. Any function may be NULL. */
struct stream_sink {
	void *opaque;
	/* Once, before any page. The array is the reader's. */
	int (*blocks)(void *opaque, const struct stream_block *blocks,
	    size_t count, struct lf_error *error);
	/*
	 * A page of block number `block`; `page` NULL: zeros. Returns 0, 1 to
	 * leave its record out of what stream_receive() keeps, or an error.
	 */
	int (*page)(void *opaque, size_t block, uint64_t offset,
	    const uint8_t *page, struct lf_error *error);
};

/*
 * Indexes a stream. `like` (NULL: none) lends its description to a stream
 * that has none, such as a file made with xen-save-devices-state: its sections
 * have to be the same ones in the same order. `data` is borrowed for as long as
 * the result lives.
 */
int stream_parse(const void *data, size_t len, const struct stream *like,
    struct stream **ret_stream, struct lf_error *error);
void stream_free(struct stream *stream);
DEFINE_CLEANUP(struct stream *, stream_free);

/* Gives the pages in an indexed stream's RAM sections to a sink. */
int stream_walk_ram(const struct stream *stream, const struct stream_sink *sink,
    struct lf_error *error);

/*
 * Reads a stream from `fd` until its end and writes all but the records that
 * the sink left out to `keep_fd`. Fails with -ETIMEDOUT when nothing comes for
 * `timeout_ms`.
 */
int stream_receive(int fd, int keep_fd, int timeout_ms,
    const struct stream_sink *sink, struct lf_error *error);

/* The section of that name and instance; NULL when there is none. */
const struct stream_section *stream_find(
    const struct stream *stream, const char *name, uint32_t instance_id);

#endif
