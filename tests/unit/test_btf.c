/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmi/ BTF: a small description made here by hand, and the same damaged.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/writer.h"
#include "lib/fault.h"
#include "vmi/btf.h"

/* Kinds, as the format numbers them. */
enum { INT = 1, PTR, ARRAY, STRUCT, UNION, TYPEDEF = 8, CONST = 10 };

static void
le32(struct writer *w, uint32_t value)
{
	writer_u8(w, value);
	writer_u8(w, value >> 8);
	writer_u8(w, value >> 16);
	writer_u8(w, value >> 24);
}

static void
type(struct writer *w, uint32_t name, unsigned kind, unsigned vlen,
    unsigned bitfields, uint32_t size_or_type)
{
	le32(w, name);
	le32(w, vlen | kind << 24 | bitfields << 31);
	le32(w, size_or_type);
}

static void
member(struct writer *w, uint32_t name, uint32_t its_type, uint32_t offset)
{
	le32(w, name);
	le32(w, its_type);
	le32(w, offset);
}

/*
 * struct list { struct list *next; };
 * struct task { u32 pid; char comm[16]; union { u32 a; const struct list b; };
 *		 u32 level : 3, flags : 5; struct list children; };
 */
static const char strings[] = "\0u32\0list\0next\0task\0pid\0comm\0a\0b\0level"
			      "\0flags\0children\0nothing";

static uint32_t
text(const char *name)
{
	size_t i;

	for (i = 1; i < sizeof(strings); i += strlen(strings + i) + 1)
		if (strcmp(strings + i, name) == 0)
			return i;
	return 0;
}

static uint8_t *
make_btf(size_t *ret_len)
{
	struct writer types, w;

	writer_init(&types);
	type(&types, text("u32"), INT, 0, 0, 4); /* 1 */
	le32(&types, 32);
	type(&types, text("list"), STRUCT, 1, 0, 8); /* 2 */
	member(&types, text("next"), 3, 0);
	type(&types, 0, PTR, 0, 0, 2);   /* 3 */
	type(&types, 0, ARRAY, 0, 0, 0); /* 4 */
	le32(&types, 5);
	le32(&types, 1);
	le32(&types, 16);
	type(&types, text("u32"), INT, 0, 0, 1); /* 5: one byte */
	le32(&types, 8);
	type(&types, 0, UNION, 2, 0, 8); /* 6 */
	member(&types, text("a"), 1, 0);
	member(&types, text("b"), 7, 0);
	type(&types, 0, CONST, 0, 0, 2);              /* 7 */
	type(&types, text("task"), STRUCT, 6, 1, 48); /* 8 */
	member(&types, text("pid"), 9, 0);
	member(&types, text("comm"), 4, 32);
	member(&types, 0, 6, 192);
	member(&types, text("level"), 1, 256 | 3 << 24);
	member(&types, text("flags"), 1, 259 | 5 << 24);
	member(&types, text("children"), 2, 320);
	type(&types, text("nothing"), TYPEDEF, 0, 0, 1); /* 9 */

	writer_init(&w);
	writer_u8(&w, 0x9f);
	writer_u8(&w, 0xeb);
	writer_u8(&w, 1);
	writer_u8(&w, 0);
	le32(&w, 24);
	le32(&w, 0);
	le32(&w, types.len);
	le32(&w, types.len);
	le32(&w, sizeof(strings));
	writer_bytes(&w, types.data, types.len);
	writer_bytes(&w, strings, sizeof(strings));
	cr_assert_eq(writer_status(&w, NULL), 0);
	writer_done(&types);
	*ret_len = w.len;
	return w.data;
}

Test(btf, members_are_found_in_structures_and_unnamed_unions)
{
	static const struct {
		const char *type, *member;
		uint32_t offset, size;
	} cases[] = {
	    {"task", "pid", 0, 32},
	    {"task", "comm", 32, 128},
	    {"task", "a", 192, 32},
	    {"task", "b", 192, 64},
	    {"task", "b.next", 192, 64},
	    {"task", "level", 256, 3},
	    {"task", "flags", 259, 5},
	    {"task", "children.next", 320, 64},
	    {"list", "next", 0, 64},
	};
	struct lf_kernel_member found;
	struct lf_error error;
	struct btf *btf;
	uint8_t *bytes;
	uint32_t size;
	size_t len, i;

	bytes = make_btf(&len);
	cr_assert_eq(btf_new(bytes, len, &btf, &error), 0, "%s", error.message);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(btf_member(btf, cases[i].type, cases[i].member,
				 &found, &error),
		    0, "%s: %s", cases[i].member, error.message);
		cr_expect_eq(found.bit_offset, cases[i].offset);
		cr_expect_eq(found.bit_size, cases[i].size);
	}
	cr_assert_eq(btf_type_size(btf, "task", &size, &error), 0);
	cr_assert_eq(size, 48);
	btf_free(btf);
}

Test(btf, what_is_not_there_is_named)
{
	struct lf_kernel_member found;
	struct lf_error error;
	struct btf *btf;
	uint8_t *bytes;
	uint32_t size;
	size_t len;

	bytes = make_btf(&len);
	cr_assert_eq(btf_new(bytes, len, &btf, &error), 0);
	cr_assert_eq(btf_member(btf, "tsk", "pid", &found, &error), -ENOENT);
	cr_assert_str_eq(
	    error.message, "no structure 'tsk' in the guest kernel's BTF");
	cr_assert_eq(
	    btf_member(btf, "task", "comm.next", &found, &error), -ENOENT);
	cr_assert_str_eq(error.message,
	    "no member 'comm.next' in 'task' of the guest kernel's BTF");
	cr_assert_eq(btf_member(btf, "task", "", &found, &error), -ENOENT);
	cr_assert_eq(btf_member(btf, "task", "b.", &found, &error), -ENOENT);
	cr_assert_eq(btf_type_size(btf, "u32", &size, &error), -ENOENT);
	btf_free(btf);
}

Test(btf, a_damaged_description_is_an_error_or_an_answer)
{
	static const uint8_t values[] = {0x00, 0x01, 0x06, 0x7f, 0xff};
	struct lf_kernel_member found;
	struct lf_error error;
	struct btf *btf;
	uint8_t *bytes;
	size_t len, i, j, refused = 0;
	uint32_t size;

	free(make_btf(&len));
	for (i = 0; i < len; i++) {
		for (j = 0; j < sizeof(values); j++) {
			bytes = make_btf(&len);
			bytes[i] = values[j];
			if (btf_new(bytes, len, &btf, &error) < 0) {
				cr_assert_neq(error.message[0], '\0');
				refused++;
				continue;
			}
			btf_member(btf, "task", "b.next", &found, &error);
			btf_member(btf, "task", "none", &found, &error);
			btf_type_size(btf, "task", &size, &error);
			btf_free(btf);
		}
	}
	cr_assert_gt(refused, 50);
	for (i = 0; i < len; i++) {
		bytes = make_btf(&len);
		cr_assert_eq(
		    btf_new(bytes, i, &btf, &error), -EBADMSG, "cut at %zu", i);
	}
}

Test(btf, a_structure_that_holds_itself_comes_to_an_end)
{
	struct lf_kernel_member found;
	struct lf_error error;
	struct btf *btf;
	uint8_t *bytes;
	size_t len, at;

	bytes = make_btf(&len);
	/* The unnamed member of 'task' (its third) becomes a 'task'. */
	at = 24 + 16 + 24 + 12 + 24 + 16 + 36 + 12 + 12 + 2 * 12 + 4;
	cr_assert_eq(bytes[at], 6);
	bytes[at] = 8;
	cr_assert_eq(btf_new(bytes, len, &btf, &error), 0);
	cr_assert_eq(btf_member(btf, "task", "none", &found, &error), -EBADMSG);
	btf_free(btf);
}

Test(btf, every_failing_call_is_an_error_and_leaks_nothing)
{
	struct lf_error error;
	struct btf *btf;
	struct fault fault = {0};
	uint8_t *bytes, *copy;
	size_t len;
	int rc;

	bytes = make_btf(&len);
	for (;;) {
		/* Not a call of what is tested. */
		copy = malloc(len);
		cr_assert_not_null(copy);
		memcpy(copy, bytes, len);
		if (!fault_next(&fault)) {
			free(copy);
			break;
		}
		rc = btf_new(copy, len, &btf, &error);
		fault_end(&fault);
		cr_assert_eq(rc, fault.hit ? -ENOMEM : 0);
		if (rc == 0)
			btf_free(btf);
	}
	free(bytes);
}
