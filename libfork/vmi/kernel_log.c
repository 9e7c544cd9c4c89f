/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's log out of guest memory. Since 5.10 it is a ring of
 * descriptors (state and number in one word, where the text is), one of infos
 * (time, length, sequence number) beside it, and one of texts. What it looks
 * like is told by kernel/printk/printk_ringbuffer.c; the places of all members
 * come from BTF. Outside bytes: every number is checked before use.
 */
#include "vmi/kernel.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "base/writer.h"
#include "vmi/guest_memory.h"

/* A descriptor's state word: the upper two bits are the state. */
#define STATE_SHIFT  62
#define STATE_COMMIT 1 /* complete, may still be extended */
#define STATE_FINAL  2
#define ID_MASK      ((UINT64_C(1) << STATE_SHIFT) - 1)

/* 2^20 records, 2^30 bytes: more than any kernel is told to keep. */
#define COUNT_BITS_MAX 20
#define SIZE_BITS_MAX  30

/* Positions that stand for no text. */
#define NO_TEXT 1U

/* What is read from the ring's own structures. */
struct ring {
	struct lf_kernel *kernel;
	uint64_t descs, infos, text;
	uint64_t head_id, tail_id;
	uint32_t count_bits, size_bits;
	uint32_t desc_size, info_size;
	/* Offsets in bytes. */
	uint32_t state_var, begin, next;
	uint32_t ts_nsec, text_len;
};

struct member {
	const char *type, *name;
	uint32_t bytes; /* its size */
	uint32_t *ret_offset;
};

static int
find_members(struct lf_kernel *kernel, const struct member *members,
    size_t count, struct lf_error *error)
{
	struct lf_kernel_member found;
	size_t i;
	int rc;

	for (i = 0; i < count; i++) {
		rc = lf_kernel_member(
		    kernel, members[i].type, members[i].name, &found, error);
		if (rc < 0)
			return rc;
		if (found.bit_offset % 8 != 0 ||
		    found.bit_size != members[i].bytes * 8)
			return error_set(error, EBADMSG,
			    "guest kernel: %s.%s has %u bits at %u",
			    members[i].type, members[i].name, found.bit_size,
			    found.bit_offset);
		*members[i].ret_offset = found.bit_offset / 8;
	}
	return 0;
}

/* Reads the number of `bytes` bytes at an address. */
static int
read_number(const struct lf_kernel *kernel, uint64_t address, uint32_t bytes,
    uint64_t *ret_value, struct lf_error *error)
{
	uint8_t raw[8] = {0};
	int rc = lf_kernel_read(kernel, address, raw, bytes, error);

	if (rc == 0)
		*ret_value = get_le64(raw);
	return rc;
}

static int
read_members(const struct lf_kernel *kernel, uint64_t base,
    const struct member *members, uint64_t *const *values, size_t count,
    struct lf_error *error)
{
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < count; i++)
		rc = read_number(kernel, base + *members[i].ret_offset,
		    members[i].bytes, values[i], error);
	return rc;
}

/* `prb` points to the ring in use: the static one, or a larger one. */
static int
read_ring(struct ring *ring, struct lf_error *error)
{
	static const char type[] = "printk_ringbuffer";
	uint32_t offsets[7];
	uint64_t count_bits = 0, size_bits = 0, base = 0;
	const struct member members[] = {
	    {type, "desc_ring.count_bits", 4, &offsets[0]},
	    {type, "desc_ring.descs", 8, &offsets[1]},
	    {type, "desc_ring.infos", 8, &offsets[2]},
	    {type, "desc_ring.head_id", 8, &offsets[3]},
	    {type, "desc_ring.tail_id", 8, &offsets[4]},
	    {type, "text_data_ring.size_bits", 4, &offsets[5]},
	    {type, "text_data_ring.data", 8, &offsets[6]},
	};
	uint64_t *const values[] = {&count_bits, &ring->descs, &ring->infos,
	    &ring->head_id, &ring->tail_id, &size_bits, &ring->text};
	struct lf_symbol prb;
	int rc;

	rc = lf_symbols_lookup(ring->kernel->symbols, "prb", &prb, error);
	if (rc == 0)
		rc = find_members(ring->kernel, members,
		    sizeof(members) / sizeof(members[0]), error);
	if (rc == 0)
		rc = kernel_read_u64(ring->kernel, prb.address, &base, error);
	if (rc == 0)
		rc = read_members(ring->kernel, base, members, values,
		    sizeof(members) / sizeof(members[0]), error);
	if (rc < 0)
		return rc;
	if (count_bits == 0 || count_bits > COUNT_BITS_MAX || size_bits == 0 ||
	    size_bits > SIZE_BITS_MAX)
		return error_set(error, EBADMSG,
		    "guest kernel: log of 2^%llu records and 2^%llu bytes",
		    (unsigned long long)count_bits,
		    (unsigned long long)size_bits);
	ring->count_bits = count_bits;
	ring->size_bits = size_bits;
	return 0;
}

static int
read_layouts(struct ring *ring, struct lf_error *error)
{
	const struct member members[] = {
	    {"prb_desc", "state_var", 8, &ring->state_var},
	    {"prb_desc", "text_blk_lpos.begin", 8, &ring->begin},
	    {"prb_desc", "text_blk_lpos.next", 8, &ring->next},
	    {"printk_info", "ts_nsec", 8, &ring->ts_nsec},
	    {"printk_info", "text_len", 2, &ring->text_len},
	};
	int rc;

	rc = find_members(
	    ring->kernel, members, sizeof(members) / sizeof(members[0]), error);
	if (rc == 0)
		rc = lf_kernel_type_size(
		    ring->kernel, "prb_desc", &ring->desc_size, error);
	if (rc == 0)
		rc = lf_kernel_type_size(
		    ring->kernel, "printk_info", &ring->info_size, error);
	return rc;
}

/*
 * The text of a record: where it begins in the text ring and how long it is.
 * Positions count on for ever; a text that would cross the ring's end lies at
 * its start instead. Before each text stands its descriptor's number.
 */
static int
locate_text(const struct ring *ring, uint64_t begin, uint64_t next,
    uint64_t *ret_address, uint64_t *ret_len)
{
	uint64_t size = UINT64_C(1) << ring->size_bits, start;

	*ret_len = 0;
	if ((begin & NO_TEXT) != 0 && (next & NO_TEXT) != 0)
		return 0;
	if (next - begin > 2 * size || next == begin)
		return -EBADMSG;
	if (begin >> ring->size_bits == (next - 1) >> ring->size_bits) {
		start = begin & (size - 1);
		*ret_len = next - begin;
	} else {
		start = 0;
		*ret_len = next & (size - 1);
	}
	if (*ret_len < 8 || *ret_len > size - start)
		return -EBADMSG;
	*ret_address = ring->text + start + 8;
	*ret_len -= 8;
	return 0;
}

static void
write_stamp(struct writer *w, uint64_t ns)
{
	char stamp[40];
	int len = snprintf(stamp, sizeof(stamp), "[%5llu.%06llu] ",
	    (unsigned long long)(ns / 1000000000),
	    (unsigned long long)(ns % 1000000000 / 1000));

	writer_bytes(w, stamp, len);
}

/* Each line of a record gets the record's time. */
static void
write_text(struct writer *w, uint64_t ns, const char *text, size_t len)
{
	const char *end;
	size_t i, part;
	char c;

	for (;;) {
		end = memchr(text, '\n', len);
		part = end == NULL ? len : (size_t)(end - text);
		write_stamp(w, ns);
		for (i = 0; i < part; i++) {
			c = text[i];
			if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
				c = '?';
			writer_u8(w, c);
		}
		writer_u8(w, '\n');
		if (end == NULL || part + 1 == len)
			break;
		text += part + 1;
		len -= part + 1;
	}
}

/* Adds the record with number `id`, if it is one that is complete. */
static int
add_record(const struct ring *ring, uint64_t id, char *text, struct writer *w,
    struct lf_error *error)
{
	uint64_t index = id & ((UINT64_C(1) << ring->count_bits) - 1);
	uint64_t desc = ring->descs + index * ring->desc_size;
	uint64_t info = ring->infos + index * ring->info_size;
	uint64_t state = 0, begin = 0, next = 0, ns = 0, text_len = 0;
	uint64_t address = 0, len = 0;
	int rc;

	if ((rc = read_number(
		 ring->kernel, desc + ring->state_var, 8, &state, error)) < 0 ||
	    (rc = read_number(
		 ring->kernel, desc + ring->begin, 8, &begin, error)) < 0 ||
	    (rc = read_number(
		 ring->kernel, desc + ring->next, 8, &next, error)) < 0 ||
	    (rc = read_number(
		 ring->kernel, info + ring->ts_nsec, 8, &ns, error)) < 0 ||
	    (rc = read_number(
		 ring->kernel, info + ring->text_len, 2, &text_len, error)) < 0)
		return rc;
	if ((state & ID_MASK) != (id & ID_MASK) ||
	    (state >> STATE_SHIFT != STATE_COMMIT &&
		state >> STATE_SHIFT != STATE_FINAL))
		return 0;
	if (locate_text(ring, begin, next, &address, &len) < 0)
		return error_set(error, EBADMSG,
		    "guest kernel: log record %llu has its text from 0x%llx "
		    "to 0x%llx",
		    (unsigned long long)id, (unsigned long long)begin,
		    (unsigned long long)next);
	if (text_len < len)
		len = text_len;
	rc = len == 0 ? 0
		      : lf_kernel_read(ring->kernel, address, text, len, error);
	if (rc == 0)
		write_text(w, ns, text, len);
	return rc;
}

static int
add_records(const struct ring *ring, size_t max_lines, struct writer *w,
    struct lf_error *error)
{
	uint64_t count = (ring->head_id - ring->tail_id + 1) & ID_MASK, i;
	cleanup_free char *text = sys.malloc(UINT16_MAX);
	int rc = 0;

	if (text == NULL)
		return error_nomem(error);
	if (count > UINT64_C(1) << ring->count_bits)
		return error_set(error, EBADMSG,
		    "guest kernel: log records from %llu to %llu, 2^%u at most",
		    (unsigned long long)ring->tail_id,
		    (unsigned long long)ring->head_id, ring->count_bits);
	i = max_lines != 0 && count > max_lines ? count - max_lines : 0;
	for (; rc == 0 && i < count; i++)
		rc = add_record(
		    ring, (ring->tail_id + i) & ID_MASK, text, w, error);
	return rc;
}

int
lf_kernel_log(struct lf_kernel *kernel, size_t max_lines, char **ret_text,
    struct lf_error *error)
{
	struct ring ring = {.kernel = kernel};
	struct writer w;
	int rc;

	rc = read_ring(&ring, error);
	if (rc == 0)
		rc = read_layouts(&ring, error);
	if (rc < 0)
		return rc;
	writer_init(&w);
	rc = add_records(&ring, max_lines, &w, error);
	writer_u8(&w, '\0');
	if (rc == 0)
		rc = writer_status(&w, error);
	if (rc < 0)
		writer_done(&w);
	else
		*ret_text = (char *)w.data;
	return rc;
}
