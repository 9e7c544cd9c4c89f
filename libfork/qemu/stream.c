/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The index of a stream, and its reception. The description is looked for from
 * the stream's end: it is the last thing in it, and its length in front of it
 * has to lead exactly there.
 */
#include "qemu/stream.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "qemu/stream_ram.h"
#include "qemu/stream_source.h"

#define SECTIONS_MAX 65536

void
stream_free(struct stream *stream)
{
	if (stream == NULL)
		return;
	free(stream->blocks);
	free(stream->sections);
	vmdesc_free(stream->vmdesc);
	free(stream);
}

const struct stream_section *
stream_find(const struct stream *stream, const char *name, uint32_t instance_id)
{
	size_t i;

	for (i = 0; i < stream->section_count; i++)
		if (strcmp(stream->sections[i].name, name) == 0 &&
		    stream->sections[i].instance_id == instance_id)
			return &stream->sections[i];
	return NULL;
}

/*
 * Where the description's mark is; 0 when there is none. JSON as QEMU writes
 * it has no control characters, so the mark cannot be inside of it.
 */
static size_t
find_vmdesc(const struct stream *stream)
{
	const uint8_t *data = stream->data;
	size_t least = stream->devices, at = stream->len;

	if (stream->len > VMDESC_BYTES_MAX &&
	    least < stream->len - VMDESC_BYTES_MAX)
		least = stream->len - VMDESC_BYTES_MAX;
	while (at-- > least) {
		uint32_t len;

		if (data[at] != STREAM_VMDESC || stream->len - at < 5)
			continue;
		memcpy(&len, data + at + 1, sizeof(len));
		if (be32toh(len) == stream->len - at - 5)
			return at;
	}
	return 0;
}

/* Subsections begin with a mark and their name, which have to be there. */
static int
check_subsections(const struct stream *stream,
    const struct stream_section *section, const struct vmdesc_node *nodes,
    uint32_t node_count, size_t at, struct lf_error *error)
{
	uint32_t i;

	for (i = 0; i < node_count; i++) {
		const struct vmdesc_node *node = &nodes[i];
		size_t start = at + node->offset;
		int rc;

		if (node->kind == VMDESC_FIELD || node->count != 1)
			continue;
		if (node->kind == VMDESC_SUBSECTION) {
			struct reader r;
			char name[256];
			uint32_t version = 0;
			uint8_t mark = 0;

			reader_init(&r, stream->data,
			    section->offset + section->length, "stream");
			r.pos = start;
			rc = reader_u8(&r, node->name, &mark, error);
			if (rc == 0)
				rc = reader_counted_string(
				    &r, node->name, name, sizeof(name), error);
			if (rc == 0)
				rc = reader_be32(
				    &r, node->name, &version, error);
			if (rc < 0)
				return rc;
			if (mark != STREAM_SUBSECTION ||
			    strcmp(name, node->name) != 0 ||
			    version != node->version)
				return error_set(error, EBADMSG,
				    "stream: section '%s': no subsection '%s' "
				    "at 0x%zx",
				    section->name, node->name, start);
		}
		rc = check_subsections(stream, section, node->nodes,
		    node->node_count, start, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The section at the reader has to be the one that is described. */
static int
read_section(struct stream *stream, struct reader *r,
    const struct vmdesc_device *device, struct lf_error *error)
{
	struct stream_section *section =
	    &stream->sections[stream->section_count];
	size_t at = r->pos;
	uint8_t mark;
	int rc;

	rc = reader_u8(r, device->name, &mark, error);
	if (rc < 0)
		return rc;
	if (mark != STREAM_FULL)
		return error_set(error, EBADMSG,
		    "stream: 0x%02x at 0x%zx where section '%s' should be",
		    mark, at, device->name);
	r->pos = at;
	rc = stream_read_section_header(r, STREAM_FULL, section, error);
	if (rc < 0)
		return rc;
	if (strcmp(section->name, device->name) != 0 ||
	    section->instance_id != device->instance_id ||
	    (device->vmsd_name[0] != '\0' &&
		section->version != device->version))
		return error_set(error, EBADMSG,
		    "stream: section '%s' (instance %u, version %u) at 0x%zx "
		    "where '%s' (instance %u, version %u) should be",
		    section->name, section->instance_id, section->version, at,
		    device->name, device->instance_id, device->version);
	section->device = device;
	section->length = device->size;
	rc = reader_skip(r, section->name, section->length, error);
	if (rc == 0)
		rc = stream_read_footer(r, section, error);
	if (rc == 0)
		rc = check_subsections(stream, section, device->nodes,
		    device->node_count, section->offset, error);
	if (rc == 0)
		stream->section_count++;
	return rc;
}

static int
read_sections(
    struct stream *stream, const struct vmdesc *vmdesc, struct lf_error *error)
{
	struct reader r;
	uint32_t i;
	uint8_t mark;
	int rc = 0;

	if (vmdesc->device_count > SECTIONS_MAX)
		return error_set(error, EBADMSG,
		    "stream: more than %d sections", SECTIONS_MAX);
	stream->sections =
	    sys.calloc(vmdesc->device_count, sizeof(*stream->sections));
	if (stream->sections == NULL)
		return error_nomem(error);
	reader_init(&r, stream->data, stream->len, "stream");
	r.pos = stream->devices;
	for (i = 0; i < vmdesc->device_count && rc == 0; i++)
		rc = read_section(stream, &r, &vmdesc->devices[i], error);
	stream->end = r.pos;
	if (rc == 0)
		rc = reader_u8(&r, "end mark", &mark, error);
	if (rc < 0)
		return rc;
	if (mark != STREAM_EOF)
		return error_set(error, EBADMSG,
		    "stream: 0x%02x at 0x%zx where its end should be", mark,
		    stream->end);
	if (stream->vmdesc == NULL && reader_left(&r) > 0)
		return error_set(error, EBADMSG,
		    "stream: %zu bytes behind its end", reader_left(&r));
	return 0;
}

static int
index_sections(
    struct stream *stream, const struct stream *like, struct lf_error *error)
{
	size_t at = find_vmdesc(stream);
	int rc;

	if (at == 0) {
		if (like == NULL || like->vmdesc == NULL)
			return error_set(error, EBADMSG,
			    "stream: no description at its end; it is cut, or "
			    "made by xen-save-devices-state, which writes "
			    "none");
		return read_sections(stream, like->vmdesc, error);
	}
	rc = vmdesc_parse(stream->data + at + 5, stream->len - at - 5,
	    &stream->vmdesc, error);
	if (rc < 0)
		return rc;
	rc = read_sections(stream, stream->vmdesc, error);
	if (rc == 0 && stream->end + 1 != at)
		rc = error_set(error, EBADMSG,
		    "stream: it ends at 0x%zx, its description begins at "
		    "0x%zx",
		    stream->end, at);
	return rc;
}

int
stream_parse(const void *data, size_t len, const struct stream *like,
    struct stream **ret_stream, struct lf_error *error)
{
	cleanup(stream_free_p) struct stream *stream = NULL;
	struct stream_source source;
	int rc;

	stream = sys.calloc(1, sizeof(*stream));
	if (stream == NULL)
		return error_nomem(error);
	stream->data = data;
	stream->len = len;
	stream_source_init_memory(&source, data, len);
	rc = stream_ram_read(stream, &source, NULL, error);
	if (rc == 0)
		rc = index_sections(stream, like, error);
	if (rc < 0)
		return rc;
	*ret_stream = take_ptr(stream);
	return 0;
}

int
stream_walk_ram(const struct stream *stream, const struct stream_sink *sink,
    struct lf_error *error)
{
	struct stream again = {0};
	struct stream_source source;
	int rc;

	stream_source_init_memory(&source, stream->data, stream->devices);
	rc = stream_ram_read(&again, &source, sink, error);
	free(again.blocks);
	return rc;
}

int
stream_receive(int fd, int keep_fd, int timeout_ms,
    const struct stream_sink *sink, struct lf_error *error)
{
	struct stream stream = {0};
	struct stream_source source;
	int rc;

	rc = stream_source_init_fd(&source, fd, keep_fd, timeout_ms, error);
	if (rc == 0)
		rc = stream_ram_read(&stream, &source, sink, error);
	if (rc == 0)
		rc = stream_source_copy_rest(&source, error);
	stream_source_done(&source);
	free(stream.blocks);
	return rc;
}
