/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/stream, qemu/devfile: a small stream, real ones from tests/data/streams,
 * and what becomes of both when they are cut or changed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fault.h"
#include "lib/sample.h"
#include "qemu/devfile.h"
#include "qemu/stream.h"
#include "unit/small_stream.h"

static struct lf_error error;

/* --- a small stream --- */

Test(stream, a_small_stream_is_taken_apart)
{
	struct small_stream_pages pages = {.leave_out = 99};
	struct stream_sink sink = {
	    .opaque = &pages, .page = small_stream_count_page};
	const struct stream_section *cpu;
	struct stream *stream = NULL;
	struct writer w;
	char name[64];

	small_stream_put(&w);
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

	small_stream_put(&w);
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

	small_stream_put(&w);
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

		small_stream_put(&w);
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

/* --- real streams --- */

static struct devfile *
sample(const char *name)
{
	struct devfile *file = NULL;
	int fd = sample_fd(name);

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
