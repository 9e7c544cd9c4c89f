/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sender. One RAM start section with the list of blocks and one end section
 * with all pages: that is what QEMU itself sends when nothing is left to
 * iterate over (migration/ram.c, ram_save_complete).
 */
#include "qemu/stream_write.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fdpass.h"
#include "base/sys.h"
#include "base/writer.h"

/*
 * The receiver begins when the first bytes are there, and the allocator gives
 * buffers of this size again and again without asking the kernel.
 */
#define CHUNK_BYTES (32 * 1024)
#define FLUSH_BYTES (16 * 1024)
#define PIECE_BYTES (64 * 1024)

struct sender {
	int sock;
	int timeout_ms;
	struct writer w;
	uint64_t sent;
	uint8_t *chunk;                  /* CHUNK_BYTES of guest memory */
	const struct ram_block *block;   /* of the last page record */
	void (*meanwhile)(void *opaque); /* NULL: was called, or is not there */
	void *opaque;
};

static int
wait_room(struct sender *sender, struct lf_error *error)
{
	struct pollfd pfd = {.fd = sender->sock, .events = POLLOUT};
	int n;

	if (sender->meanwhile != NULL) {
		void (*meanwhile)(void *) = sender->meanwhile;

		sender->meanwhile = NULL;
		meanwhile(sender->opaque);
	}
	do
		n = sys.poll(&pfd, 1, sender->timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(error, errno, "cannot wait for QEMU");
	if (n == 0)
		return error_set(error, ETIMEDOUT,
		    "QEMU read nothing for %d s after %" PRIu64
		    " bytes of its stream",
		    sender->timeout_ms / 1000, sender->sent);
	return 0;
}

static int
send_bytes(struct sender *sender, const uint8_t *bytes, size_t len,
    struct lf_error *error)
{
	while (len > 0) {
		ssize_t n =
		    fdpass_send(sender->sock, bytes, len, NULL, 0, error);
		int rc = 0;

		if (n == -EAGAIN)
			rc = wait_room(sender, error);
		else if (n < 0)
			rc = error_prefix(error, (int)n,
			    "stream to QEMU, after %" PRIu64 " bytes",
			    sender->sent);
		if (rc < 0)
			return rc;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
			sender->sent += (uint64_t)n;
		}
	}
	return 0;
}

static int
flush(struct sender *sender, struct lf_error *error)
{
	int rc = writer_status(&sender->w, error);

	if (rc == 0)
		rc = send_bytes(sender, sender->w.data, sender->w.len, error);
	writer_reset(&sender->w);
	return rc;
}

static int
flush_when_full(struct sender *sender, struct lf_error *error)
{
	return sender->w.len >= FLUSH_BYTES ? flush(sender, error) : 0;
}

/* Large pieces that are in memory already go out as they are. */
static int
send_piece(struct sender *sender, const struct stream *stream, size_t start,
    size_t end, struct lf_error *error)
{
	int rc;

	if (end - start < PIECE_BYTES) {
		writer_bytes(&sender->w, stream->data + start, end - start);
		return flush_when_full(sender, error);
	}
	rc = flush(sender, error);
	return rc < 0 ? rc
		      : send_bytes(
			    sender, stream->data + start, end - start, error);
}

static void
put_section(struct writer *w, enum stream_mark mark, uint32_t number)
{
	writer_u8(w, (uint8_t)mark);
	writer_be32(w, number);
}

static void
put_footer(struct writer *w, uint32_t number)
{
	put_section(w, STREAM_FOOTER, number);
}

static void
put_ram_start(struct writer *w, const struct stream *stream)
{
	uint64_t total = 0;
	size_t i;

	for (i = 0; i < stream->block_count; i++)
		total += stream->blocks[i].length;
	put_section(w, STREAM_START, stream->ram_number);
	writer_counted_string(w, "ram");
	writer_be32(w, 0);
	writer_be32(w, 4);
	writer_be64(w, total | STREAM_RAM_MEM_SIZE);
	for (i = 0; i < stream->block_count; i++) {
		writer_counted_string(w, stream->blocks[i].idstr);
		writer_be64(w, stream->blocks[i].length);
		if (stream->ignore_shared)
			writer_be64(w, stream->blocks[i].gpa);
	}
	writer_be64(w, STREAM_RAM_EOS);
	put_footer(w, stream->ram_number);
}

static bool
is_zero(const uint8_t *page)
{
	return page[0] == 0 &&
	       memcmp(page, page + 1, STREAM_PAGE_BYTES - 1) == 0;
}

static void
put_page(struct sender *sender, const struct ram_block *block, uint64_t offset,
    const uint8_t *page)
{
	uint64_t word = offset;
	bool zero = is_zero(page);

	word |= zero ? STREAM_RAM_ZERO : STREAM_RAM_PAGE;
	if (sender->block == block)
		word |= STREAM_RAM_CONTINUE;
	writer_be64(&sender->w, word);
	if (sender->block != block)
		writer_counted_string(&sender->w, block->idstr);
	sender->block = block;
	if (zero)
		writer_u8(&sender->w, 0);
	else
		writer_bytes(&sender->w, page, STREAM_PAGE_BYTES);
}

/* Memory as the view shows it or, without one, as the image has it. */
struct source {
	const struct ram_image *image;
	const struct memory_view *view;
};

/* Bytes of a file: where they are mapped, or read into the chunk. */
static int
find_bytes(struct sender *sender, const struct source *source, uint32_t file,
    uint64_t offset, size_t len, const uint8_t **ret_bytes,
    struct lf_error *error)
{
	const struct memory_view *view = source->view;

	*ret_bytes = view != NULL
			 ? memory_view_file_bytes(view, file, offset, len)
			 : NULL;
	if (*ret_bytes != NULL)
		return 0;
	*ret_bytes = sender->chunk;
	return view != NULL ? memory_view_read_file(
				  view, file, offset, sender->chunk, len, error)
			    : ram_image_read(source->image, file, offset,
				  sender->chunk, len, error);
}

/* The pages of `length` bytes at `start` of a block. */
static int
put_pages(struct sender *sender, const struct source *source,
    const struct ram_block *block, uint64_t start, uint64_t length,
    struct lf_error *error)
{
	uint64_t end = start + length;

	while (start < end) {
		size_t len = end - start < CHUNK_BYTES ? (size_t)(end - start)
						       : CHUNK_BYTES;
		const uint8_t *bytes;
		size_t i;
		int rc = find_bytes(sender, source, block->file,
		    block->offset + start, len, &bytes, error);

		if (rc < 0)
			return rc;
		for (i = 0; i < len; i += STREAM_PAGE_BYTES)
			put_page(sender, block, start + i, bytes + i);
		rc = flush_when_full(sender, error);
		if (rc < 0)
			return rc;
		start += len;
	}
	return 0;
}

/* What runs have of a block. */
static int
put_runs(struct sender *sender, const struct source *source,
    const struct ram_block *block, const struct ram_run *runs, size_t count,
    struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < count; i++) {
		uint64_t start, end = runs[i].offset + runs[i].length;

		if (runs[i].file != block->file || end <= block->offset ||
		    runs[i].offset >= block->offset + block->length)
			continue;
		start = runs[i].offset > block->offset
			    ? runs[i].offset - block->offset
			    : 0;
		end -= block->offset;
		if (end > block->length)
			end = block->length;
		rc =
		    put_pages(sender, source, block, start, end - start, error);
	}
	return rc;
}

/*
 * A block that the receiver does not have is sent whole, as the snapshot has
 * it, and then what a fork changed in it: what comes later counts.
 */
static int
put_block(struct sender *sender, const struct stream_plan *plan,
    const struct ram_block *block, struct lf_error *error)
{
	const struct ram_image *image = plan->image;
	const struct source snapshot = {.image = image};
	const struct source fork = {.image = image, .view = plan->view};
	bool known = strcmp(block->idstr, plan->ram_idstr) == 0;
	int rc = 0;

	if (!known)
		rc = put_pages(
		    sender, &snapshot, block, 0, block->length, error);
	if (rc == 0 && plan->view != NULL)
		rc = put_runs(
		    sender, &fork, block, plan->runs, plan->run_count, error);
	else if (rc == 0 && known)
		rc = put_runs(sender, &snapshot, block, image->runs,
		    image->run_count, error);
	return rc;
}

static int
send_ram(struct sender *sender, const struct stream_plan *plan,
    struct lf_error *error)
{
	const struct stream *stream = plan->base;
	size_t i;
	int rc = 0;

	put_ram_start(&sender->w, stream);
	put_section(&sender->w, STREAM_END, stream->ram_number);
	for (i = 0; rc == 0 && i < stream->block_count; i++) {
		const char *idstr = stream->blocks[i].idstr;
		const struct ram_block *block =
		    ram_image_find_block(plan->image, idstr);

		if (block == NULL || block->length != stream->blocks[i].length)
			return error_set(error, EINVAL,
			    "RAM block '%s' is not in the snapshot as its "
			    "stream has it",
			    idstr);
		rc = put_block(sender, plan, block, error);
	}
	writer_be64(&sender->w, STREAM_RAM_EOS);
	put_footer(&sender->w, stream->ram_number);
	return rc;
}

static const struct stream_override *
find_override(
    const struct stream_plan *plan, const struct stream_section *section)
{
	size_t i;

	for (i = 0; i < plan->override_count; i++)
		if (plan->overrides[i].instance_id == section->instance_id &&
		    strcmp(plan->overrides[i].name, section->name) == 0)
			return &plan->overrides[i];
	return NULL;
}

/* Sections as they are, in pieces as large as possible. */
static int
send_devices(struct sender *sender, const struct stream_plan *plan,
    struct lf_error *error)
{
	const struct stream *stream =
	    plan->devices != NULL ? plan->devices : plan->base;
	size_t done = stream->devices, used = 0, i;
	int rc;

	for (i = 0; i < stream->section_count; i++) {
		const struct stream_section *section = &stream->sections[i];
		const struct stream_override *override =
		    find_override(plan, section);

		if (override == NULL)
			continue;
		rc = send_piece(sender, stream, done, section->offset, error);
		if (rc < 0)
			return rc;
		writer_bytes(&sender->w, override->body, override->len);
		done = section->offset + section->length;
		used++;
	}
	if (used != plan->override_count)
		return error_set(error, EINVAL,
		    "%zu of %zu device sections to replace are not in the "
		    "stream",
		    plan->override_count - used, plan->override_count);
	return send_piece(sender, stream, done, stream->end, error);
}

/* QEMU complains where no description is, but looks into none. */
static int
send_end(struct sender *sender, struct lf_error *error)
{
	writer_u8(&sender->w, STREAM_EOF);
	put_section(&sender->w, STREAM_VMDESC, 0);
	return flush(sender, error);
}

int
stream_send_memory(int sock, const struct stream_plan *plan, int timeout_ms,
    struct lf_error *error)
{
	struct sender sender = {
	    .sock = sock,
	    .timeout_ms = timeout_ms,
	    .meanwhile = plan->meanwhile,
	    .opaque = plan->opaque,
	};
	int rc;

	sender.chunk = sys.malloc(CHUNK_BYTES);
	if (sender.chunk == NULL)
		return error_nomem(error);
	writer_bytes(&sender.w, plan->base->data, plan->base->ram);
	rc = send_ram(&sender, plan, error);
	if (rc == 0)
		rc = flush(&sender, error);
	writer_done(&sender.w);
	free(sender.chunk);
	return rc;
}

int
stream_send_devices(int sock, const struct stream_plan *plan, int timeout_ms,
    struct lf_error *error)
{
	struct sender sender = {.sock = sock, .timeout_ms = timeout_ms};
	int rc = send_devices(&sender, plan, error);

	if (rc == 0)
		rc = send_end(&sender, error);
	writer_done(&sender.w);
	return rc;
}
