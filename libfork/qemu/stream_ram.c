/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RAM sections. Formats: QEMU's migration/savevm.c (configuration), ram.c
 * (ram_save_setup, ram_save_page); the block list has addresses when the
 * stream was made with x-ignore-shared, which its configuration says.
 */
#include "qemu/stream_ram.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

#define MAGIC       0x5145564dU /* "QEVM" */
#define VERSION     3
#define RAM_VERSION 4
#define BLOCKS_MAX  256
#define BLOCK_BYTES (UINT64_C(1) << 46)
#define OFFSET_MASK (~(uint64_t)(STREAM_PAGE_BYTES - 1))
/* As many bytes as one record, header or configuration item can have. */
#define PIECE_BYTES (8 + 1 + 255 + STREAM_PAGE_BYTES)

struct ram {
	struct stream *stream;
	struct stream_source *source;
	const struct stream_sink *sink;
	size_t block; /* of the last record; block_count: none yet */
	size_t size;  /* of the array of blocks */
};

static int
read_header(struct reader *r, struct lf_error *error)
{
	uint32_t magic, version;
	int rc = reader_be32(r, "magic", &magic, error);

	if (rc == 0)
		rc = reader_be32(r, "version", &version, error);
	if (rc < 0)
		return rc;
	if (magic == MAGIC && version != VERSION)
		return error_set(error, EBADMSG,
		    "a QEMU stream of version %u; only version %u is known",
		    version, VERSION);
	if (magic != MAGIC)
		return error_set(error, EBADMSG,
		    "not a QEMU stream: it begins with 0x%08x 0x%08x", magic,
		    version);
	return 0;
}

static int
read_capabilities(
    struct stream *stream, struct reader *r, struct lf_error *error)
{
	char name[256];
	uint32_t count;
	int rc = reader_be32(r, "capabilities", &count, error);

	while (rc == 0 && count-- > 0) {
		rc = reader_counted_string(
		    r, "capability", name, sizeof(name), error);
		if (rc < 0)
			break;
		if (strcmp(name, "x-ignore-shared") != 0)
			return error_set(error, ENOTSUP,
			    "stream: made with capability '%s', which is not "
			    "supported",
			    name);
		stream->ignore_shared = true;
	}
	return rc;
}

static int
read_configuration_subsection(
    struct stream *stream, struct reader *r, struct lf_error *error)
{
	char name[256];
	uint32_t version;
	int rc = reader_skip(r, "subsection", 1, error);

	if (rc == 0)
		rc = reader_counted_string(
		    r, "subsection", name, sizeof(name), error);
	if (rc == 0)
		rc = reader_be32(r, "subsection version", &version, error);
	if (rc < 0)
		return rc;
	if (strcmp(name, "configuration/capabilities") == 0)
		return read_capabilities(stream, r, error);
	if (strcmp(name, "configuration/uuid") == 0)
		return reader_skip(r, name, 16, error);
	return error_set(
	    error, ENOTSUP, "stream: subsection '%s' is not supported", name);
}

static int
peek(const struct reader *r)
{
	return reader_left(r) > 0 ? r->data[r->pos] : -1;
}

static int
read_configuration(
    struct stream *stream, struct reader *r, struct lf_error *error)
{
	const uint8_t *machine = NULL;
	uint32_t len = 0;
	int rc;

	if (peek(r) != STREAM_CONFIGURATION)
		return 0;
	rc = reader_skip(r, "configuration", 1, error);
	if (rc == 0)
		rc = reader_be32(r, "machine length", &len, error);
	if (rc == 0)
		rc = reader_bytes(r, "machine", len, &machine, error);
	if (rc < 0)
		return rc;
	if (len >= sizeof(stream->machine) || memchr(machine, 0, len) != NULL)
		return error_set(error, EBADMSG, "stream: machine is no name");
	memcpy(stream->machine, machine, len);
	stream->machine[len] = '\0';
	while (rc == 0 && peek(r) == STREAM_SUBSECTION)
		rc = read_configuration_subsection(stream, r, error);
	return rc;
}

int
stream_read_section_header(struct reader *r, enum stream_mark mark,
    struct stream_section *ret_section, struct lf_error *error)
{
	struct stream_section section = {.start = r->pos};
	int rc = reader_skip(r, "section", 1, error);

	if (rc == 0)
		rc = reader_be32(r, "section number", &section.number, error);
	if (rc == 0 && (mark == STREAM_START || mark == STREAM_FULL)) {
		rc = reader_counted_string(r, "section name", section.name,
		    sizeof(section.name), error);
		if (rc == 0)
			rc = reader_be32(
			    r, section.name, &section.instance_id, error);
		if (rc == 0)
			rc = reader_be32(
			    r, section.name, &section.version, error);
	}
	section.offset = r->pos;
	if (rc == 0)
		*ret_section = section;
	return rc;
}

int
stream_read_footer(struct reader *r, const struct stream_section *section,
    struct lf_error *error)
{
	size_t at = r->pos;
	uint32_t number;
	uint8_t mark;
	int rc = reader_u8(r, "footer", &mark, error);

	if (rc == 0)
		rc = reader_be32(r, "footer", &number, error);
	if (rc == 0 && (mark != STREAM_FOOTER || number != section->number))
		rc = error_set(error, EBADMSG,
		    "stream: section '%s' does not end at 0x%zx as it should",
		    section->name, at);
	return rc;
}

static int
add_block(
    struct ram *ram, const struct stream_block *block, struct lf_error *error)
{
	struct stream *stream = ram->stream;
	size_t i;

	if (block->length == 0 || block->length % STREAM_PAGE_BYTES != 0 ||
	    block->length > BLOCK_BYTES)
		return error_set(error, EBADMSG,
		    "stream: RAM block '%s' has 0x%" PRIx64 " bytes",
		    block->idstr, block->length);
	if (stream->block_count >= BLOCKS_MAX)
		return error_set(error, EBADMSG,
		    "stream: more than %d RAM blocks", BLOCKS_MAX);
	for (i = 0; i < stream->block_count; i++)
		if (strcmp(stream->blocks[i].idstr, block->idstr) == 0)
			return error_set(error, EBADMSG,
			    "stream: two RAM blocks '%s'", block->idstr);
	if (stream->block_count == ram->size) {
		size_t size = ram->size > 0 ? 2 * ram->size : 16;
		struct stream_block *blocks =
		    sys.realloc(stream->blocks, size * sizeof(*blocks));

		if (blocks == NULL)
			return error_nomem(error);
		stream->blocks = blocks;
		ram->size = size;
	}
	stream->blocks[stream->block_count++] = *block;
	return 0;
}

/* The list is over when its blocks have `total` bytes together. */
static int
read_blocks(struct ram *ram, uint64_t total, struct lf_error *error)
{
	struct stream *stream = ram->stream;
	struct reader *r = &ram->source->r;

	if (stream->block_count > 0)
		return error_set(
		    error, EBADMSG, "stream: two lists of RAM blocks");
	while (total > 0) {
		struct stream_block block = {0};
		int rc = stream_source_want(ram->source, PIECE_BYTES, error);

		if (rc == 0)
			rc = reader_counted_string(r, "RAM block", block.idstr,
			    sizeof(block.idstr), error);
		if (rc == 0)
			rc = reader_be64(
			    r, "RAM block length", &block.length, error);
		if (rc == 0 && stream->ignore_shared)
			rc = reader_be64(
			    r, "RAM block address", &block.gpa, error);
		if (rc == 0)
			rc = add_block(ram, &block, error);
		if (rc < 0)
			return rc;
		if (block.length > total)
			return error_set(error, EBADMSG,
			    "stream: the RAM blocks have more bytes than "
			    "announced");
		total -= block.length;
	}
	ram->block = stream->block_count;
	if (ram->sink != NULL && ram->sink->blocks != NULL)
		return ram->sink->blocks(ram->sink->opaque, stream->blocks,
		    stream->block_count, error);
	return 0;
}

static int
read_block_name(struct ram *ram, uint64_t flags, struct lf_error *error)
{
	char idstr[256];
	size_t i;
	int rc;

	if (flags & STREAM_RAM_CONTINUE) {
		if (ram->block < ram->stream->block_count)
			return 0;
		return error_set(error, EBADMSG,
		    "stream: a page that belongs to no RAM block at 0x%" PRIx64,
		    stream_source_at(ram->source));
	}
	rc = reader_counted_string(
	    &ram->source->r, "RAM block", idstr, sizeof(idstr), error);
	if (rc < 0)
		return rc;
	for (i = 0; i < ram->stream->block_count; i++)
		if (strcmp(ram->stream->blocks[i].idstr, idstr) == 0)
			break;
	ram->block = i;
	if (i == ram->stream->block_count)
		return error_set(error, EBADMSG,
		    "stream: a page of RAM block '%s', which is not listed",
		    idstr);
	return 0;
}

/* A zero record's fill byte has been 0 since QEMU 1.x, and must be. */
static int
read_page(struct ram *ram, uint64_t flags, const uint8_t **ret_page,
    struct lf_error *error)
{
	struct reader *r = &ram->source->r;
	uint8_t fill = 0;
	int rc;

	*ret_page = NULL;
	if (flags & STREAM_RAM_PAGE)
		return reader_bytes(
		    r, "page", STREAM_PAGE_BYTES, ret_page, error);
	rc = reader_u8(r, "zero page", &fill, error);
	if (rc == 0 && fill != 0)
		rc = error_set(
		    error, EBADMSG, "stream: a page filled with 0x%02x", fill);
	return rc;
}

/* One page record whose first word was read. */
static int
read_record(
    struct ram *ram, size_t start, uint64_t word, struct lf_error *error)
{
	uint64_t flags = word & ~OFFSET_MASK, offset = word & OFFSET_MASK;
	const uint8_t *page = NULL;
	int rc;

	if ((flags & ~(uint64_t)STREAM_RAM_CONTINUE) != STREAM_RAM_PAGE &&
	    (flags & ~(uint64_t)STREAM_RAM_CONTINUE) != STREAM_RAM_ZERO)
		return error_set(error, ENOTSUP,
		    "stream: RAM record of kind 0x%" PRIx64 " at 0x%" PRIx64,
		    flags, stream_source_at(ram->source) - 8);
	rc = read_block_name(ram, flags, error);
	if (rc == 0)
		rc = read_page(ram, flags, &page, error);
	if (rc < 0)
		return rc;
	if (offset >= ram->stream->blocks[ram->block].length)
		return error_set(error, EBADMSG,
		    "stream: page 0x%" PRIx64 " is outside of RAM block '%s' "
		    "(0x%" PRIx64 " bytes)",
		    offset, ram->stream->blocks[ram->block].idstr,
		    ram->stream->blocks[ram->block].length);
	if (ram->sink == NULL || ram->sink->page == NULL)
		return 0;
	rc =
	    ram->sink->page(ram->sink->opaque, ram->block, offset, page, error);
	if (rc == 1)
		rc = stream_source_drop(ram->source, start, error);
	return rc;
}

/* Records up to the end of the section. */
static int
read_records(struct ram *ram, struct lf_error *error)
{
	struct reader *r = &ram->source->r;

	for (;;) {
		uint64_t word = 0;
		size_t start;
		int rc = stream_source_want(ram->source, PIECE_BYTES, error);

		start = r->pos;
		if (rc == 0)
			rc = reader_be64(r, "RAM record", &word, error);
		if (rc < 0)
			return rc;
		if (word == STREAM_RAM_EOS)
			return 0;
		if ((word & ~OFFSET_MASK) == STREAM_RAM_MEM_SIZE)
			rc = read_blocks(ram, word & OFFSET_MASK, error);
		else
			rc = read_record(ram, start, word, error);
		if (rc < 0)
			return rc;
	}
}

static int
read_ram_section(struct ram *ram, enum stream_mark mark, struct lf_error *error)
{
	struct stream *stream = ram->stream;
	struct stream_section section;
	size_t at = ram->source->r.pos;
	int rc;

	rc = stream_read_section_header(&ram->source->r, mark, &section, error);
	if (rc < 0)
		return rc;
	if (mark == STREAM_START) {
		if (strcmp(section.name, "ram") != 0)
			return error_set(error, ENOTSUP,
			    "stream: '%s' is sent in several parts, which is "
			    "not supported",
			    section.name);
		if (section.version != RAM_VERSION || stream->block_count > 0)
			return error_set(error, EBADMSG,
			    "stream: 'ram' has version %u or starts twice",
			    section.version);
		stream->ram = at;
		stream->ram_number = section.number;
	} else if (stream->block_count == 0 ||
		   section.number != stream->ram_number) {
		return error_set(error, EBADMSG,
		    "stream: a part of section %u, which never started",
		    section.number);
	}
	strcpy(section.name, "ram");
	rc = read_records(ram, error);
	if (rc == 0)
		rc = stream_source_want(ram->source, PIECE_BYTES, error);
	if (rc == 0)
		rc = stream_read_footer(&ram->source->r, &section, error);
	return rc;
}

static int
skip_command(struct reader *r, struct lf_error *error)
{
	uint16_t len = 0;
	int rc = reader_skip(r, "command", 3, error);

	if (rc == 0)
		rc = reader_be16(r, "command length", &len, error);
	if (rc == 0)
		rc = reader_skip(r, "command", len, error);
	return rc;
}

int
stream_ram_read(struct stream *stream, struct stream_source *source,
    const struct stream_sink *sink, struct lf_error *error)
{
	struct ram ram = {.stream = stream, .source = source, .sink = sink};
	int rc = stream_source_want(source, PIECE_BYTES, error);

	if (rc == 0)
		rc = read_header(&source->r, error);
	if (rc == 0)
		rc = read_configuration(stream, &source->r, error);
	while (rc == 0) {
		int mark;

		/* A command has at most 64 KiB. */
		rc = stream_source_want(source, 5 + UINT16_MAX, error);
		if (rc < 0)
			return rc;
		mark = peek(&source->r);
		switch (mark) {
		case STREAM_START:
		case STREAM_PART:
		case STREAM_END:
			rc = read_ram_section(
			    &ram, (enum stream_mark)mark, error);
			break;
		case STREAM_COMMAND:
			rc = skip_command(&source->r, error);
			break;
		default:
			stream->devices = source->r.pos;
			return 0;
		}
	}
	return rc;
}
