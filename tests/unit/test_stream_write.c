/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/stream_ram, qemu/stream_write: a stream on its way through a socket, in
 * either direction.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "memory/image.h"
#include "qemu/stream.h"
#include "qemu/stream_write.h"
#include "unit/small_stream.h"

static struct lf_error error;

struct feed {
	int sock;
	const uint8_t *bytes;
	size_t len;
};

static void *
feed_main(void *opaque)
{
	struct feed *feed = opaque;
	size_t done = 0;

	while (done < feed->len) {
		size_t len = feed->len - done < 777 ? feed->len - done : 777;
		ssize_t n =
		    send(feed->sock, feed->bytes + done, len, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(feed->sock);
	return NULL;
}

static size_t
receive(const uint8_t *bytes, size_t len, const struct stream_sink *sink,
    uint8_t *kept, int want)
{
	cleanup_close int keep = memfd_create("kept", MFD_CLOEXEC), ours = -1;
	struct feed feed = {.bytes = bytes, .len = len};
	pthread_t thread;
	int sv[2], rc;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ours = sv[0];
	feed.sock = sv[1];
	pthread_create(&thread, NULL, feed_main, &feed);
	rc = stream_receive(ours, keep, 2000, sink, &error);
	ours = close_fd(ours);
	pthread_join(thread, NULL);
	cr_assert_eq(rc, want, "%s", error.message);
	return (size_t)pread(keep, kept, 65536, 0);
}

Test(stream, what_is_received_is_kept_but_for_what_is_left_out)
{
	struct small_stream_pages pages = {.leave_out = 99};
	struct stream_sink sink = {
	    .opaque = &pages, .page = small_stream_count_page};
	struct stream *stream = NULL;
	static uint8_t kept[65536];
	struct writer w;
	size_t len;

	small_stream_put(&w);
	len = receive(w.data, w.len, &sink, kept, 0);
	cr_assert_eq(len, w.len);
	cr_assert_eq(memcmp(kept, w.data, len), 0);

	pages = (struct small_stream_pages){.leave_out = 1};
	len = receive(w.data, w.len, &sink, kept, 0);
	cr_assert_eq(pages.left_out, 2);
	cr_assert_eq(len, w.len - (8 + 4 + 4096) - (8 + 1));
	cr_assert_eq(stream_parse(kept, len, NULL, &stream, &error), 0, "%s",
	    error.message);
	cr_assert_eq(stream->section_count, 2);
	stream_free(stream);

	/* The end comes early, within the RAM section. */
	receive(w.data, 400, &sink, kept, -EBADMSG);
	writer_done(&w);
}

Test(stream, a_sender_that_falls_silent_is_given_up)
{
	cleanup_close int ours = -1, theirs = -1;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ours = sv[0];
	theirs = sv[1];
	cr_assert_eq(write(theirs, "QEVM", 4), 4);
	cr_assert_eq(stream_receive(ours, -1, 50, NULL, &error), -ETIMEDOUT);
}

struct sink_buffer {
	int sock;
	uint8_t bytes[65536];
	size_t len;
};

static void *
drain_main(void *opaque)
{
	struct sink_buffer *buffer = opaque;
	ssize_t n;

	while ((n = read(buffer->sock, buffer->bytes + buffer->len,
		    sizeof(buffer->bytes) - buffer->len)) > 0)
		buffer->len += (size_t)n;
	return NULL;
}

/* An image with the blocks of the small stream; "rom" has its pages. */
static struct ram_image *
small_image(const struct stream *stream)
{
	struct ram_file *files[3] = {NULL};
	struct ram_image *image = NULL;
	uint8_t bytes[8192] = {0};

	cr_assert_eq(ram_image_new(&image, &error), 0);
	for (uint32_t i = 0; i < 2; i++) {
		struct ram_block block = {
		    .file = i, .page_size = 4096, .length = 8192};

		strcpy(block.idstr, stream->blocks[i].idstr);
		ram_file_new("test", 8192, &files[i], &error);
		if (i == 1) {
			memset(bytes, 'p', 4096);
			ram_file_write(files[i], 0, bytes, 8192, &error);
		}
		cr_assert_eq(
		    ram_image_add_file(image, files[i], &error), (int)i);
		cr_assert_eq(ram_image_add_block(image, &block, &error), 0);
	}
	/* The delta: the second page of "ram". */
	ram_file_new("delta", 4096, &files[2], &error);
	memset(bytes, 'd', 4096);
	ram_file_write(files[2], 0, bytes, 4096, &error);
	cr_assert_eq(
	    ram_image_set_delta(image, files[2],
		&(struct ram_run){.file = 0, .offset = 4096, .length = 4096}, 1,
		&error),
	    0, "%s", error.message);
	for (int i = 0; i < 3; i++)
		ram_file_unref(files[i]);
	return image;
}

static int
send_all(int sock, const struct stream_plan *plan, int timeout_ms)
{
	int rc = stream_send_memory(sock, plan, timeout_ms, &error);

	return rc < 0 ? rc
		      : stream_send_devices(sock, plan, timeout_ms, &error);
}

Test(stream, what_is_sent_has_the_delta_and_what_was_overridden)
{
	static const uint8_t state[] = {0, 0, 0, 6};
	static const uint8_t empty[] = {STREAM_VMDESC, 0, 0, 0, 0};
	struct stream_override override = {
	    .name = "globalstate", .body = state, .len = sizeof(state)};
	struct small_stream_pages pages = {.leave_out = 99};
	struct stream_sink sink = {
	    .opaque = &pages, .page = small_stream_count_page};
	static struct sink_buffer buffer;
	const struct stream_section *section;
	struct stream *stream = NULL, *again = NULL;
	struct stream_plan plan;
	struct ram_image *image;
	pthread_t thread;
	struct writer w;
	int sv[2];

	small_stream_put(&w);
	cr_assert_eq(stream_parse(w.data, w.len, NULL, &stream, &error), 0);
	image = small_image(stream);
	plan = (struct stream_plan){
	    .base = stream,
	    .image = image,
	    .ram_idstr = "ram",
	    .overrides = &override,
	    .override_count = 1,
	};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	buffer.sock = sv[1];
	pthread_create(&thread, NULL, drain_main, &buffer);
	cr_assert_eq(send_all(sv[0], &plan, 2000), 0, "%s", error.message);
	close(sv[0]);
	pthread_join(thread, NULL);
	close(sv[1]);

	/* QEMU gets an empty description; ours is lent. */
	cr_assert_eq(memcmp(buffer.bytes + buffer.len - sizeof(empty), empty,
			 sizeof(empty)),
	    0);
	cr_assert_eq(stream_parse(buffer.bytes, buffer.len - sizeof(empty),
			 stream, &again, &error),
	    0, "%s", error.message);
	cr_assert_eq(stream_walk_ram(again, &sink, &error), 0);
	cr_assert_eq(pages.full, 2); /* of the delta, and of "rom" */
	cr_assert_eq(pages.zero, 1);
	section = stream_find(again, "globalstate", 0);
	cr_assert_eq(
	    memcmp(buffer.bytes + section->offset, state, sizeof(state)), 0);
	section = stream_find(again, "cpu", 0);
	cr_assert_eq(memcmp(buffer.bytes + section->offset,
			 stream->data + stream_find(stream, "cpu", 0)->offset,
			 section->length),
	    0);

	override.name = "nothing";
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	cr_assert_eq(send_all(sv[0], &plan, 2000), -EINVAL);
	close(sv[0]);
	close(sv[1]);
	stream_free(stream);
	stream_free(again);
	ram_image_unref(image);
	writer_done(&w);
}

Test(stream, a_receiver_that_does_not_read_is_given_up)
{
	struct stream *stream = NULL;
	struct stream_plan plan;
	struct ram_image *image;
	struct writer w;
	int sv[2], size = 2048;

	small_stream_put(&w);
	cr_assert_eq(stream_parse(w.data, w.len, NULL, &stream, &error), 0);
	image = small_image(stream);
	plan = (struct stream_plan){
	    .base = stream, .image = image, .ram_idstr = "ram"};
	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	cr_assert_eq(send_all(sv[0], &plan, 50), -ETIMEDOUT);
	close(sv[1]);
	cr_assert_eq(send_all(sv[0], &plan, 50), -EPIPE);
	close(sv[0]);
	stream_free(stream);
	ram_image_unref(image);
	writer_done(&w);
}
