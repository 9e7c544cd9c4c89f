/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * BTF: a header, then types one after the other, then strings. A type's
 * number is its place, counted from 1; so one pass over all of them notes
 * where each begins, and everything is checked in that pass that does not
 * depend on another type.
 */
#include "vmi/btf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/reader.h"
#include "base/sys.h"

#define BTF_MAGIC   0xeb9f
#define BTF_VERSION 1

#define TYPES_MAX   1000000U

/* Chains of typedefs and qualifiers, and structures in structures. */
#define DEPTH_MAX 32

/* Members of one structure with all unnamed ones in it. */
#define MEMBERS_MAX 1000000U

enum kind {
	KIND_INT = 1,
	KIND_PTR,
	KIND_ARRAY,
	KIND_STRUCT,
	KIND_UNION,
	KIND_ENUM,
	KIND_FWD,
	KIND_TYPEDEF,
	KIND_VOLATILE,
	KIND_CONST,
	KIND_RESTRICT,
	KIND_FUNC,
	KIND_FUNC_PROTO,
	KIND_VAR,
	KIND_DATASEC,
	KIND_FLOAT,
	KIND_DECL_TAG,
	KIND_TYPE_TAG,
	KIND_ENUM64,
	KIND_COUNT,
};

/* What follows a type's three words: bytes, and bytes for each of vlen. */
static const struct {
	uint8_t fixed, each;
} tails[KIND_COUNT] = {
    [KIND_INT] = {4, 0},
    [KIND_ARRAY] = {12, 0},
    [KIND_STRUCT] = {0, 12},
    [KIND_UNION] = {0, 12},
    [KIND_ENUM] = {0, 8},
    [KIND_FUNC_PROTO] = {0, 8},
    [KIND_VAR] = {4, 0},
    [KIND_DATASEC] = {0, 12},
    [KIND_DECL_TAG] = {4, 0},
    [KIND_ENUM64] = {0, 12},
};

struct btf {
	uint8_t *bytes; /* owned */
	struct reader types;
	const char *strings; /* strings_len > 0, the last byte is a NUL */
	uint32_t strings_len;
	uint32_t *offsets; /* of type number i + 1 in `types` */
	uint32_t count;
};

struct type {
	uint32_t name, vlen, size_or_type;
	enum kind kind;
	bool bitfields; /* kind_flag: a member's offset holds its size, too */
	size_t tail;    /* where what follows begins */
};

int
btf_length(const uint8_t *header, uint64_t *ret_len, struct lf_error *error)
{
	uint32_t header_len = 0, type_off = 0, type_len = 0, str_off = 0;
	uint32_t str_len = 0;
	uint16_t magic = 0;
	uint64_t len, other;
	uint8_t version = 0;
	struct reader r;
	int rc;

	reader_init(&r, header, BTF_HEADER_LEN, "BTF header");
	if ((rc = reader_le16(&r, "magic", &magic, error)) < 0 ||
	    (rc = reader_u8(&r, "version", &version, error)) < 0 ||
	    (rc = reader_skip(&r, "flags", 1, error)) < 0 ||
	    (rc = reader_le32(&r, "hdr_len", &header_len, error)) < 0 ||
	    (rc = reader_le32(&r, "type_off", &type_off, error)) < 0 ||
	    (rc = reader_le32(&r, "type_len", &type_len, error)) < 0 ||
	    (rc = reader_le32(&r, "str_off", &str_off, error)) < 0 ||
	    (rc = reader_le32(&r, "str_len", &str_len, error)) < 0)
		return rc;
	len = (uint64_t)header_len + type_off + type_len;
	other = (uint64_t)header_len + str_off + str_len;
	if (other > len)
		len = other;
	if (magic != BTF_MAGIC || version != BTF_VERSION ||
	    header_len < BTF_HEADER_LEN || len > BTF_MAX)
		return error_set(error, EBADMSG,
		    "BTF header: magic 0x%04x, version %u, header of %u bytes, "
		    "0x%llx bytes in all",
		    magic, version, header_len, (unsigned long long)len);
	*ret_len = len;
	return 0;
}

/* Finds the two sections; the header was checked by btf_length(). */
static int
find_sections(struct btf *btf, size_t len, struct lf_error *error)
{
	uint32_t header_len, type_off, type_len, str_off;
	struct reader r;
	int rc;

	reader_init(&r, btf->bytes, len, "BTF");
	if ((rc = reader_seek(&r, "hdr_len", 4, error)) < 0 ||
	    (rc = reader_le32(&r, "hdr_len", &header_len, error)) < 0 ||
	    (rc = reader_le32(&r, "type_off", &type_off, error)) < 0 ||
	    (rc = reader_le32(&r, "type_len", &type_len, error)) < 0 ||
	    (rc = reader_le32(&r, "str_off", &str_off, error)) < 0 ||
	    (rc = reader_le32(&r, "str_len", &btf->strings_len, error)) < 0)
		return rc;
	btf->strings = (const char *)btf->bytes + header_len + str_off;
	if (btf->strings_len == 0 || btf->strings[btf->strings_len - 1] != '\0')
		return error_set(error, EBADMSG,
		    "BTF: the string section does not end with a NUL");
	reader_init(&btf->types, btf->bytes + header_len + type_off, type_len,
	    "BTF types");
	return 0;
}

/* Reads the type that begins at r->pos, and goes behind it. */
static int
read_type(const struct btf *btf, struct reader *r, struct type *ret,
    struct lf_error *error)
{
	struct type type = {0};
	uint32_t info = 0;
	size_t start = r->pos;
	int rc;

	if ((rc = reader_le32(r, "name_off", &type.name, error)) < 0 ||
	    (rc = reader_le32(r, "info", &info, error)) < 0 ||
	    (rc = reader_le32(r, "size", &type.size_or_type, error)) < 0)
		return rc;
	type.vlen = info & 0xffff;
	type.kind = info >> 24 & 0x1f;
	type.bitfields = info >> 31;
	type.tail = r->pos;
	if (type.kind == 0 || type.kind >= KIND_COUNT)
		return error_set(error, EBADMSG,
		    "BTF types: type at 0x%zx of unknown kind %u", start,
		    type.kind);
	if (type.name >= btf->strings_len)
		return error_set(error, EBADMSG,
		    "BTF types: type at 0x%zx: name at 0x%x of 0x%x bytes of "
		    "strings",
		    start, type.name, btf->strings_len);
	rc = reader_skip(r, "what follows a type",
	    tails[type.kind].fixed + (size_t)tails[type.kind].each * type.vlen,
	    error);
	if (rc == 0)
		*ret = type;
	return rc;
}

static int
index_types(struct btf *btf, struct lf_error *error)
{
	struct reader r = btf->types;
	uint32_t room = 0, *offsets;
	struct type type;
	size_t start;
	int rc;

	while (reader_left(&r) > 0) {
		if (btf->count == room) {
			room = room == 0 ? 4096 : room * 2;
			if (room > TYPES_MAX * 2)
				return error_set(error, EBADMSG,
				    "BTF types: more than %u", TYPES_MAX);
			offsets =
			    sys.realloc(btf->offsets, room * sizeof(*offsets));
			if (offsets == NULL)
				return error_nomem(error);
			btf->offsets = offsets;
		}
		start = r.pos;
		rc = read_type(btf, &r, &type, error);
		if (rc < 0)
			return rc;
		btf->offsets[btf->count++] = start;
	}
	return 0;
}

int
btf_new(
    uint8_t *bytes, size_t len, struct btf **ret_btf, struct lf_error *error)
{
	struct btf *btf = sys.calloc(1, sizeof(*btf));
	uint64_t wanted = 0;
	int rc;

	if (btf == NULL) {
		free(bytes);
		return error_nomem(error);
	}
	btf->bytes = bytes;
	rc = len < BTF_HEADER_LEN
		 ? error_set(error, EBADMSG, "BTF: %zu bytes", len)
		 : btf_length(bytes, &wanted, error);
	if (rc == 0 && wanted > len)
		rc = error_set(error, EBADMSG,
		    "BTF: 0x%llx bytes wanted, there are 0x%zx",
		    (unsigned long long)wanted, len);
	if (rc == 0)
		rc = find_sections(btf, len, error);
	if (rc == 0)
		rc = index_types(btf, error);
	if (rc < 0) {
		btf_free(btf);
		return rc;
	}
	*ret_btf = btf;
	return 0;
}

void
btf_free(struct btf *btf)
{
	if (btf == NULL)
		return;
	free(btf->offsets);
	free(btf->bytes);
	free(btf);
}

/* Type number `id`; 0 is void and not here. */
static int
get_type(const struct btf *btf, uint32_t id, struct type *ret,
    struct lf_error *error)
{
	struct reader r = btf->types;

	if (id == 0 || id > btf->count)
		return error_set(
		    error, EBADMSG, "BTF types: type %u of %u", id, btf->count);
	r.pos = btf->offsets[id - 1];
	return read_type(btf, &r, ret, error);
}

/* Through typedefs and qualifiers to what holds data. */
static int
resolve(const struct btf *btf, uint32_t id, struct type *ret,
    struct lf_error *error)
{
	int depth, rc;

	for (depth = 0; depth < DEPTH_MAX; depth++) {
		rc = get_type(btf, id, ret, error);
		if (rc < 0)
			return rc;
		switch (ret->kind) {
		case KIND_TYPEDEF:
		case KIND_VOLATILE:
		case KIND_CONST:
		case KIND_RESTRICT:
		case KIND_TYPE_TAG:
			id = ret->size_or_type;
			break;
		default:
			return 0;
		}
	}
	return error_set(
	    error, EBADMSG, "BTF types: type %u leads to no end", id);
}

static bool
is_aggregate(const struct type *type)
{
	return type->kind == KIND_STRUCT || type->kind == KIND_UNION;
}

/* The size of what `id` names, in bytes; 0 where it has none. */
static uint64_t
size_of(const struct btf *btf, uint32_t id)
{
	uint32_t element = 0, count = 0;
	struct type type;
	struct reader r;
	uint64_t factor = 1;
	int depth;

	for (depth = 0; depth < DEPTH_MAX; depth++) {
		if (resolve(btf, id, &type, NULL) < 0)
			return 0;
		if (type.kind == KIND_PTR)
			return factor * 8;
		if (type.kind != KIND_ARRAY)
			return is_aggregate(&type) || type.kind == KIND_INT ||
				       type.kind == KIND_ENUM ||
				       type.kind == KIND_ENUM64 ||
				       type.kind == KIND_FLOAT
				   ? factor * type.size_or_type
				   : 0;
		r = btf->types;
		r.pos = type.tail;
		if (reader_le32(&r, "element type", &element, NULL) < 0 ||
		    reader_skip(&r, "index type", 4, NULL) < 0 ||
		    reader_le32(&r, "count", &count, NULL) < 0)
			return 0;
		if (count != 0 && factor > UINT32_MAX / count)
			return 0;
		factor *= count;
		id = element;
	}
	return 0;
}

struct search {
	const char *name;
	size_t len;
	struct lf_kernel_member found;
	uint32_t type;   /* of the member found */
	uint32_t budget; /* members that may still be looked at */
};

/* 1 found, 0 not here, or an error. */
static int
search_members(const struct btf *btf, const struct type *type,
    uint32_t bit_offset, int depth, struct search *search,
    struct lf_error *error)
{
	uint32_t i, name = 0, member_type = 0, place = 0, bits;
	struct reader r = btf->types;
	struct type inner;
	const char *text;
	uint64_t size;
	int rc;

	if (depth == DEPTH_MAX)
		return error_set(error, EBADMSG,
		    "BTF types: more than %d structures inside each other",
		    DEPTH_MAX);
	r.pos = type->tail;
	for (i = 0; i < type->vlen; i++) {
		if ((rc = reader_le32(&r, "member name", &name, error)) < 0 ||
		    (rc = reader_le32(&r, "member type", &member_type, error)) <
			0 ||
		    (rc = reader_le32(&r, "member offset", &place, error)) < 0)
			return rc;
		if (search->budget-- == 0)
			return error_set(error, EBADMSG,
			    "BTF types: more than %u members inside a "
			    "structure",
			    MEMBERS_MAX);
		if (name >= btf->strings_len)
			return error_set(error, EBADMSG,
			    "BTF types: member name at 0x%x of 0x%x", name,
			    btf->strings_len);
		bits = 0;
		if (type->bitfields) {
			bits = place >> 24;
			place &= 0xffffff;
		}
		text = btf->strings + name;
		if (strlen(text) == search->len && search->len > 0 &&
		    memcmp(text, search->name, search->len) == 0) {
			size = bits != 0 ? bits : size_of(btf, member_type) * 8;
			search->found = (struct lf_kernel_member){
			    .bit_offset = bit_offset + place,
			    .bit_size = size > UINT32_MAX ? 0 : size};
			search->type = member_type;
			return 1;
		}
		if (text[0] != '\0')
			continue;
		rc = resolve(btf, member_type, &inner, error);
		if (rc == 0 && is_aggregate(&inner))
			rc = search_members(btf, &inner, bit_offset + place,
			    depth + 1, search, error);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
find_aggregate(const struct btf *btf, const char *name, struct type *ret,
    struct lf_error *error)
{
	uint32_t id;
	int rc;

	for (id = 1; id <= btf->count; id++) {
		rc = get_type(btf, id, ret, error);
		if (rc < 0)
			return rc;
		if (is_aggregate(ret) &&
		    strcmp(btf->strings + ret->name, name) == 0)
			return 0;
	}
	return error_set(error, ENOENT,
	    "no structure '%.100s' in the guest kernel's BTF", name);
}

int
btf_member(const struct btf *btf, const char *type_name, const char *member,
    struct lf_kernel_member *ret_member, struct lf_error *error)
{
	struct search search;
	struct type type;
	uint32_t offset = 0;
	const char *at = member;
	int rc;

	rc = find_aggregate(btf, type_name, &type, error);
	if (rc < 0)
		return rc;
	for (;;) {
		search = (struct search){
		    .name = at, .len = strcspn(at, "."), .budget = MEMBERS_MAX};
		rc = is_aggregate(&type)
			 ? search_members(btf, &type, offset, 0, &search, error)
			 : 0;
		if (rc < 0)
			return rc;
		if (rc == 0)
			return error_set(error, ENOENT,
			    "no member '%.100s' in '%.100s' of the guest "
			    "kernel's BTF",
			    member, type_name);
		if (at[search.len] == '\0')
			break;
		at += search.len + 1;
		offset = search.found.bit_offset;
		rc = resolve(btf, search.type, &type, error);
		if (rc < 0)
			return rc;
	}
	*ret_member = search.found;
	return 0;
}

int
btf_type_size(const struct btf *btf, const char *name, uint32_t *ret_size,
    struct lf_error *error)
{
	struct type type;
	int rc = find_aggregate(btf, name, &type, error);

	if (rc == 0)
		*ret_size = type.size_or_type;
	return rc;
}
