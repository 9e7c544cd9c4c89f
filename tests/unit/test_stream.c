/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/stream, qemu/stream_write, qemu/vmdesc: a small stream written out byte
 * by byte, real ones from tests/data/streams, and what becomes of both when
 * they are cut, changed, or sent.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/writer.h"
#include "lib/fault.h"
#include "memory/image.h"
#include "qemu/devfile.h"
#include "qemu/stream.h"
#include "qemu/stream_write.h"

static struct lf_error error;

/* --- a small stream --- */

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

static void
put(struct writer *w, const char *bytes, size_t len)
{
	writer_bytes(w, bytes, len);
}
#define PUT(w, literal) put((w), (literal), sizeof(literal) - 1)

/* Blocks "ram" (2 pages, shared) and "rom" (2 pages: one full, one zero). */
static void
put_small(struct writer *w, const char *json)
{
	char page[STREAM_PAGE_BYTES];

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
	writer_be32(w, (uint32_t)strlen(json));
	put(w, json, strlen(json));
	cr_assert_eq(writer_status(w, &error), 0);
}

struct pages {
	unsigned full, zero, left_out;
	uint64_t last;
	size_t leave_out; /* block whose records are not kept */
};

static int
count_page(void *opaque, size_t block, uint64_t offset, const uint8_t *page,
    struct lf_error *e)
{
	struct pages *pages = opaque;

	(void)e;
	pages->full += page != NULL;
	pages->zero += page == NULL;
	pages->last = offset;
	if (block != pages->leave_out)
		return 0;
	pages->left_out++;
	return 1;
}

Test(stream, a_small_stream_is_taken_apart)
{
	struct pages pages = {.leave_out = 99};
	struct stream_sink sink = {.opaque = &pages, .page = count_page};
	const struct stream_section *cpu;
	struct stream *stream = NULL;
	struct writer w;
	char name[64];

	put_small(&w, description);
	cr_assert_eq(stream_parse(w.data, w.len, NULL, &stream, &error), 0,
	    "%s", error.message);
	cr_assert_str_eq(stream->machine, "pc");
	cr_assert(stream->ignore_shared);
	cr_assert_eq(stream->block_count, 2);
	cr_assert_str_eq(stream->blocks[1].idstr, "rom");
	cr_assert_eq(stream->blocks[1].length, 8192);
	cr_assert_eq(stream->blocks[1].gpa, 0xff0000);
	cr_assert_eq(stream->section_count, 2);

	cr_assert_null(stream_find(stream, "cpu", 1));
	cpu = stream_find(stream, "cpu", 0);
	cr_assert_eq(cpu->version, 12);
	cr_assert_eq(cpu->length, 2 * 8 + 4 + (1 + 1 + 5 + 4) + 1);
	vmdesc_name_offset(cpu->device, 8, name, sizeof(name));
	cr_assert_str_eq(name, "env.regs[1]");
	vmdesc_name_offset(cpu->device, 31, name, sizeof(name));
	cr_assert_str_eq(name, "cpu/x.x");

	cr_assert_eq(stream_walk_ram(stream, &sink, &error), 0);
	cr_assert_eq(pages.full, 1);
	cr_assert_eq(pages.zero, 1);
	cr_assert_eq(pages.last, 4096);
	stream_free(stream);
	writer_done(&w);
}

Test(stream, a_stream_cut_anywhere_is_refused)
{
	struct stream *stream = NULL;
	struct writer w;

	put_small(&w, description);
	for (size_t len = 0; len < w.len; len++) {
		/* Its own allocation, so that a sanitizer sees an overrun. */
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, w.data, len);
		lf_error_clear(&error);
		cr_assert_lt(stream_parse(copy, len, NULL, &stream, &error), 0);
		cr_assert_neq(error.message[0], '\0');
		free(copy);
	}
	writer_done(&w);
}

/* No crash and no hang; where it is still accepted, it can be walked. */
Test(stream, any_changed_byte_is_survived)
{
	struct writer w;

	put_small(&w, description);
	for (size_t at = 0; at < w.len; at++) {
		static const uint8_t masks[] = {0xff, 0x01, 0x80};

		if (at > 300 && at < 4300 && at % 64 != 0)
			continue; /* inside of the page */
		for (size_t m = 0; m < sizeof(masks); m++) {
			struct stream *stream = NULL;

			w.data[at] ^= masks[m];
			if (stream_parse(
				w.data, w.len, NULL, &stream, &error) == 0)
				cr_assert_eq(
				    stream_walk_ram(stream, NULL, &error), 0);
			stream_free(stream);
			w.data[at] ^= masks[m];
		}
	}
	writer_done(&w);
}

/* What is wrong with a stream: bytes at an offset, and the message. */
Test(stream, what_is_wrong_is_named)
{
	static const struct {
		const char *find; /* bytes to look for */
		size_t find_len, skip;
		const char *with; /* written there */
		size_t with_len;
		const char *message;
	} cases[] = {
#define CASE(find, skip, with, message) \
	{find, sizeof(find) - 1, skip, with, sizeof(with) - 1, message}
	    CASE("QEVM", 0, "QEMV", "not a QEMU stream"),
	    CASE("x-ignore-shared", 0, "x-ignore-shaved",
		"made with capability 'x-ignore-shaved'"),
	    CASE("\3ram\0\0\0\0\0\0\0\4", 1, "rem",
		"'rem' is sent in several parts"),
	    CASE("\3rom\0\0\0\0\0\0\x20\0", 1, "ram", "two RAM blocks 'ram'"),
	    CASE("\3rom\0\0\0\0\0\0\x20\0", 10, "\x40",
		"more bytes than announced"),
	    CASE("\0\0\0\0\0\0\0\x08\3rom", 9, "rim", "block 'rim'"),
	    CASE("\0\0\0\0\0\0\0\x08\3rom", 6, "\x20\x08",
		"page 0x2000 is outside of RAM block 'rom'"),
	    CASE("\0\0\0\0\0\0\0\x08\3rom", 7, "\x48", "kind 0x48"),
	    CASE("\0\0\0\0\0\0\x10\x22\0", 8, "\1", "filled with 0x01"),
	    CASE("\3cpu", 1, "cpv", "section 'cpv'"),
	    CASE("\5\5cpu/x", 2, "cpu/y", "no subsection 'cpu/x'"),
	    CASE("\x7e\0\0\0\5", 4, "\4", "section 'globalstate' does not end"),
	    CASE("\"instance_id\": 0, \"vmsd_name\": \"globalstate\"", 15, "1",
		"'globalstate' (instance 1"),
	    CASE("\"size\": 4}]}]}", 8, "9", "globalstate"),
	    CASE("\"page_size\": 4096", 13, "8192", "pages of 8192 bytes"),
	    CASE("\"devices\"", 1, "divices", "no devices"),
	    CASE("\"array_len\": 2", 13, "-", "not JSON"),
#undef CASE
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stream *stream = NULL;
		struct writer w;
		uint8_t *at;

		put_small(&w, description);
		at = memmem(w.data, w.len, cases[i].find, cases[i].find_len);
		cr_assert_not_null(at, "case %zu", i);
		memcpy(at + cases[i].skip, cases[i].with, cases[i].with_len);
		cr_assert_lt(stream_parse(w.data, w.len, NULL, &stream, &error),
		    0, "case %zu", i);
		cr_assert_not_null(strstr(error.message, cases[i].message),
		    "case %zu: %s", i, error.message);
		writer_done(&w);
	}
}

Test(vmdesc, sizes_and_depth_are_limited)
{
	static const struct {
		const char *devices;
		const char *message;
	} cases[] = {
	    {"[{\"name\":\"a\",\"instance_id\":0,\"fields\":[{\"name\":\"f\","
	     "\"size\":268435456,\"array_len\":16}]}]",
		"more than 268435456 bytes"},
	    {"[{\"name\":\"a\",\"instance_id\":0,\"fields\":[{\"name\":\"f\","
	     "\"size\":-1}]}]",
		"no good 'size'"},
	    {"[{\"name\":\"a\",\"instance_id\":0,\"fields\":[{\"size\":1}]}]",
		"a field without a name"},
	    {"[{\"instance_id\":0}]", "a device without a name"},
	    {"[{\"name\":\"a\"}]", "no good 'instance_id'"},
	    {"[{\"name\":\"a\",\"instance_id\":0,\"subsections\":[{}]}]",
		"a subsection without a name"},
	    {"[]", "no devices"},
	};
	char text[65536], *p = text;
	struct vmdesc *vmdesc = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text),
		    "{\"page_size\":4096,\"devices\":%s}", cases[i].devices);
		cr_assert_lt(
		    vmdesc_parse(text, strlen(text), &vmdesc, &error), 0);
		cr_assert_not_null(strstr(error.message, cases[i].message),
		    "%s", error.message);
	}
	p += sprintf(p, "{\"page_size\":4096,\"devices\":[{\"name\":\"a\","
			"\"instance_id\":0");
	for (int i = 0; i < 40; i++)
		p += sprintf(p, ",\"fields\":[{\"name\":\"f\",\"size\":1,"
				"\"struct\":{\"x\":0");
	for (int i = 0; i < 40; i++)
		p += sprintf(p, "}}]");
	sprintf(p, "}]}");
	cr_assert_lt(vmdesc_parse(text, strlen(text), &vmdesc, &error), 0);
	cr_assert_not_null(
	    strstr(error.message, "32 levels"), "%s", error.message);
}

/* A list of which QEMU describes one element has the right size. */
/* Who walks the elements would never come to an end. */
Test(vmdesc, many_elements_of_no_bytes_are_one)
{
	static const char text[] =
	    "{\"page_size\":4096,\"devices\":[{\"name\":\"a\","
	    "\"instance_id\":0,\"fields\":[{\"name\":\"f\",\"size\":0,"
	    "\"array_len\":268435456,\"struct\":{\"fields\":[]}}]}]}";
	struct vmdesc *vmdesc;

	cr_assert_eq(vmdesc_parse(text, sizeof(text) - 1, &vmdesc, &error), 0,
	    "%s", error.message);
	cr_assert_eq(vmdesc->devices[0].node_count, 1);
	cr_assert_eq(vmdesc->devices[0].nodes[0].count, 1);
	vmdesc_free(vmdesc);
}

Test(vmdesc, what_does_not_add_up_is_opaque)
{
	static const char text[] =
	    "{\"page_size\":4096,\"devices\":[{\"name\":\"a\","
	    "\"instance_id\":0,\"fields\":[{\"name\":\"q\",\"type\":\"qtailq\","
	    "\"size\":12,\"vmsd_name\":\"e\",\"version\":1,\"fields\":"
	    "[{\"name\":\"f\",\"size\":4}],\"vmsd_name\":\"e\",\"version\":1,"
	    "\"fields\":[{\"name\":\"f\",\"size\":4}]}]}]}";
	struct vmdesc *vmdesc = NULL;

	cr_assert_eq(vmdesc_parse(text, strlen(text), &vmdesc, &error), 0, "%s",
	    error.message);
	cr_assert_eq(vmdesc->devices[0].size, 12);
	cr_assert_eq(vmdesc->devices[0].nodes[0].kind, VMDESC_FIELD);
	cr_assert_eq(vmdesc->devices[0].nodes[0].node_count, 0);
	vmdesc_free(vmdesc);
}

/* --- real streams --- */

static struct devfile *
sample(const char *name)
{
	struct devfile *file = NULL;
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/tests/data/streams/%s.stream",
	    getenv("top_srcdir"), name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(
	    devfile_read(fd, NULL, &file, &error), 0, "%s", error.message);
	close(fd);
	return file;
}

Test(stream, real_streams_have_every_section)
{
	struct devfile *file = sample("kvm-smp2");
	uint32_t hflags = 0;

	cr_assert_eq(strncmp(file->stream->machine, "pc-i440fx-", 10), 0);
	cr_assert_not_null(stream_find(file->stream, "cpu", 1));
	cr_assert_not_null(stream_find(file->stream, "apic", 1));
	cr_assert_not_null(stream_find(file->stream, "globalstate", 0));
	cr_assert_eq(
	    devfile_get_u32(file->stream, stream_find(file->stream, "cpu", 0),
		"env.hflags", &hflags),
	    0);
	cr_assert_neq(hflags, 0);
	cr_assert_eq(
	    devfile_get_u32(file->stream, stream_find(file->stream, "cpu", 0),
		"env.nothing", &hflags),
	    -ENOENT);
	devfile_free(file);
}

/* Every length has to be asked for, so the cuts are sampled. */
Test(stream, real_streams_cut_or_changed, .timeout = 600)
{
	struct devfile *file = sample("tcg-max");
	bool soak = getenv("LF_SOAK") != NULL;
	struct stream *stream = NULL;

	for (size_t len = 0; len < file->len; len += soak ? 1 : 997)
		cr_assert_lt(
		    stream_parse(file->data, len, NULL, &stream, &error), 0);
	for (size_t at = 0; at < file->len; at += soak ? 7 : 499) {
		((uint8_t *)file->data)[at] ^= 0x41;
		stream = NULL;
		if (stream_parse(
			file->data, file->len, NULL, &stream, &error) == 0)
			stream_free(stream);
		((uint8_t *)file->data)[at] ^= 0x41;
	}
	devfile_free(file);
}

Test(stream, every_failing_allocation_is_an_error)
{
	struct devfile *file = sample("kvm-hyperv");

	FAULT_LOOP(fault)
	{
		struct stream *stream = NULL;
		int rc;

		rc = stream_parse(file->data, file->len, NULL, &stream, &error);
		fault_end(&fault);
		cr_assert_eq(rc, fault.hit ? -ENOMEM : 0);
		stream_free(stream);
		/* Thousands of small ones, all of one kind. */
		if (fault.hit && fault.round > 20)
			fault.round += 50;
	}
	devfile_free(file);
}

Test(devfile, another_instant_is_refused_by_its_first_field)
{
	struct devfile *a = sample("kvm-smp2"), *b = sample("kvm-smp2"),
		       *other = sample("tcg-max");
	const struct stream_section *cpu = stream_find(b->stream, "cpu", 1);
	const struct vmdesc_node *eip;

	cr_assert_eq(devfile_check(a->stream, b->stream, &error), 0);
	eip = vmdesc_find(
	    cpu->device->nodes, cpu->device->node_count, "env.eip", -1);
	((uint8_t *)b->data)[cpu->offset + eip->offset + 7] ^= 1;
	cr_assert_eq(devfile_check(a->stream, b->stream, &error), -EINVAL);
	cr_assert_not_null(
	    strstr(error.message, "vCPU 1 differs from field 'env.eip' on"),
	    "%s", error.message);
	cr_assert_eq(devfile_check(a->stream, other->stream, &error), -EINVAL);
	/* Registers as they were, at another time. */
	((uint8_t *)b->data)[cpu->offset + eip->offset + 7] ^= 1;
	((uint8_t *)b->data)[stream_find(b->stream, "timer", 0)->offset] ^= 1;
	cr_assert_eq(devfile_check(a->stream, b->stream, &error), -EINVAL);
	cr_assert_not_null(
	    strstr(error.message, "the guest's clock differs from field "
				  "'cpu_ticks_offset' on"),
	    "%s", error.message);
	devfile_free(a);
	devfile_free(b);
	devfile_free(other);
}

/* --- sending and receiving --- */

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
	struct pages pages = {.leave_out = 99};
	struct stream_sink sink = {.opaque = &pages, .page = count_page};
	struct stream *stream = NULL;
	static uint8_t kept[65536];
	struct writer w;
	size_t len;

	put_small(&w, description);
	len = receive(w.data, w.len, &sink, kept, 0);
	cr_assert_eq(len, w.len);
	cr_assert_eq(memcmp(kept, w.data, len), 0);

	pages = (struct pages){.leave_out = 1};
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
	struct pages pages = {.leave_out = 99};
	struct stream_sink sink = {.opaque = &pages, .page = count_page};
	static struct sink_buffer buffer;
	const struct stream_section *section;
	struct stream *stream = NULL, *again = NULL;
	struct stream_plan plan;
	struct ram_image *image;
	pthread_t thread;
	struct writer w;
	int sv[2];

	put_small(&w, description);
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

	put_small(&w, description);
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
