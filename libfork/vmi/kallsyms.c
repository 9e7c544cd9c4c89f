/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding and decoding kallsyms tables. All tables are 8-byte aligned parts
 * of the kernel's read-only data:
 *
 *	to 6.3:   offsets, relative_base, num_syms, names, markers
 *		  [, seqs_of_names], token_table, token_index
 *	from 6.4: num_syms, names, markers, token_table, token_index, offsets,
 *		  relative_base, seqs_of_names
 *
 * They carry no mark, but hold each other fast: token_index lists where the
 * 256 strings of token_table begin, markers where each 256th name begins. So
 * the index is searched, the token table is in front of it, and the number of
 * symbols is where names and markers behind it fit. Nothing is believed that
 * is not confirmed by another table.
 */
#include "vmi/kallsyms.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "vmi/guest_memory.h"
#include "vmi/symbols.h"

#define TOKENS     256U
#define INDEX_SIZE (TOKENS * 2)
#define TOKEN_MAX  512U   /* KSYM_NAME_LEN */
#define TABLE_MAX  16384U /* of all tokens */

#define CHUNK      (1U << 20)

/* The tables before the token table are searched as far back as this. */
#define WINDOW_MAX   (24U << 20)
#define SYMBOLS_MIN  300U /* the second marker confirms the first 256 names */
#define NAME_MAX_LEN 1024U

/* Far more than the tables of a kernel and of a few copies take. */
#define TOKEN_TRIES 65536U
#define WINDOWS     32U
#define NAMES       (128U << 20)

/* Lowest address of a kernel image, and how large one may be. */
#define KERNEL_BASE     UINT64_C(0xffffffff80000000)
#define KERNEL_SIZE_MAX (UINT64_C(1) << 30)

struct tokens {
	uint8_t table[TABLE_MAX]; /* strings, terminated */
	uint16_t index[TOKENS];
	uint64_t gpa; /* of the table */
};

/* The tables between num_syms and the tokens, as they lie in memory. */
struct window {
	uint8_t *bytes; /* owned */
	uint64_t gpa;
	size_t len;      /* ends where the token table begins */
	size_t num_syms; /* offset of the number */
	uint32_t count;
};

static uint64_t
align8(uint64_t value)
{
	return (value + 7) & ~UINT64_C(7);
}

/*
 * Whether 512 bytes can be a token index: it begins at 0 and rises by the
 * lengths of short strings. Looked at for every 8 bytes of memory.
 */
static bool
looks_like_index(const uint8_t *bytes)
{
	unsigned i, before = 0, now;

	if (bytes[0] != 0 || bytes[1] != 0)
		return false;
	for (i = 1; i < TOKENS; i++) {
		now = get_le16(bytes + 2 * i);
		if (now <= before || now - before > TOKEN_MAX)
			return false;
		before = now;
	}
	return before < TABLE_MAX - TOKEN_MAX;
}

/*
 * Whether the strings are where the index says. Every token stands for text;
 * letters and digits that occur in names mostly stand for themselves.
 */
static bool
tokens_fit(const struct tokens *tokens, size_t len)
{
	unsigned i, themselves = 0;
	size_t at, end;

	for (i = 0; i < TOKENS; i++) {
		at = tokens->index[i];
		end = i + 1 < TOKENS ? tokens->index[i + 1] : len;
		if (end > len || end <= at)
			return false;
		for (; at < end && tokens->table[at] != '\0'; at++)
			if (tokens->table[at] < 0x20 ||
			    tokens->table[at] > 0x7e)
				return false;
		if (at == end || (i + 1 < TOKENS && at != end - 1))
			return false;
		if (tokens->table[tokens->index[i]] == i &&
		    tokens->table[tokens->index[i] + 1] == '\0')
			themselves++;
		/* Behind the last string there is padding only. */
		for (; at < end; at++)
			if (tokens->table[at] != '\0')
				return false;
	}
	return themselves >= 26;
}

/* The token table that ends, but for padding, at the index. */
static bool
find_tokens(const struct lf_guest_memory *memory, uint64_t lowest,
    uint64_t index_gpa, const uint8_t *index, struct tokens *ret_tokens)
{
	size_t shortest, longest, len;
	unsigned i;

	for (i = 0; i < TOKENS; i++)
		ret_tokens->index[i] = get_le16(index + 2 * i);
	shortest = align8(ret_tokens->index[TOKENS - 1] + 2);
	longest = shortest + TOKEN_MAX;
	if (longest > TABLE_MAX)
		longest = TABLE_MAX;
	if (longest > index_gpa - lowest)
		longest = (index_gpa - lowest) & ~UINT64_C(7);
	for (len = shortest; len <= longest; len += 8) {
		ret_tokens->gpa = index_gpa - len;
		if (memory->read(memory->opaque, ret_tokens->gpa,
			ret_tokens->table, len) < 0)
			return false;
		if (tokens_fit(ret_tokens, len))
			return true;
	}
	return false;
}

/*
 * A name's length: one byte, or from 6.1 on two with seven bits each. Returns
 * how many bytes that took, 0 at the end or for a length that no name has.
 */
static unsigned
name_length(const uint8_t *bytes, size_t left, uint32_t *ret_len)
{
	unsigned used = 1;
	uint32_t len;

	if (left < 2)
		return 0;
	len = bytes[0];
	if (len & 0x80) {
		len = (len & 0x7f) | (uint32_t)bytes[1] << 7;
		used = 2;
	}
	if (len == 0 || len > NAME_MAX_LEN || len > left - used)
		return 0;
	*ret_len = len;
	return used;
}

/*
 * Walks `count` names from `start`; with `markers` NULL only to find where
 * they end. Returns the end, or 0 when they do not fit.
 */
static size_t
walk_names(const struct window *w, size_t start, uint32_t count,
    const uint8_t *markers, uint32_t *budget)
{
	size_t at = start;
	uint32_t i, len = 0;
	unsigned used;

	for (i = 0; i < count; i++) {
		if (*budget == 0)
			return 0;
		(*budget)--;
		if (markers != NULL && i % 256 == 0 &&
		    get_le32(markers + i / 256 * 4) != at - start)
			return 0;
		used = name_length(w->bytes + at, w->len - at, &len);
		if (used == 0)
			return 0;
		at += used + len;
	}
	return at;
}

/* Whether num_syms is at `at`, with names and markers behind it. */
static bool
num_syms_fits(const struct window *w, size_t at, uint32_t *budget)
{
	uint32_t count = get_le32(w->bytes + at);
	size_t names = at + 8, end, markers_len;

	if (count < SYMBOLS_MIN || count > SYMBOLS_MAX ||
	    get_le32(w->bytes + at + 4) != 0 || count > (w->len - names) / 2)
		return false;
	markers_len = (count + 255) / 256 * 4;
	end = walk_names(w, names, count, NULL, budget);
	if (end == 0)
		return false;
	end = align8(end);
	if (end > w->len || markers_len > w->len - end)
		return false;
	return walk_names(w, names, count, w->bytes + end, budget) != 0;
}

/* num_syms is somewhere before the token table: 1, 0, or an error. */
static int
find_names(const struct lf_guest_memory *memory, const struct tokens *tokens,
    uint64_t lowest, struct window *w, uint32_t *budget, struct lf_error *error)
{
	uint64_t gpa = tokens->gpa;
	size_t at;

	w->len = gpa - lowest < WINDOW_MAX ? gpa - lowest : WINDOW_MAX;
	w->gpa = gpa - w->len;
	w->bytes = sys.malloc(w->len);
	if (w->bytes == NULL)
		return error_nomem(error);
	if (memory->read(memory->opaque, w->gpa, w->bytes, w->len) < 0)
		return 0;
	for (at = w->len & ~(size_t)7; at >= 16; at -= 8) {
		if (at + 8 > w->len || !num_syms_fits(w, at, budget))
			continue;
		w->num_syms = at;
		w->count = get_le32(w->bytes + at);
		return 1;
	}
	return 0;
}

/*
 * Symbol addresses are 32-bit offsets. With per-CPU symbols kept absolute (to
 * 6.14 on SMP) those are positive and all others negative, counted down from
 * base - 1; else all count up from the base.
 */
struct offsets {
	const uint8_t *bytes;
	uint32_t count;
	uint64_t gpa;
	uint64_t base;
	bool absolute_percpu;
};

static uint64_t
address_of(const struct offsets *offsets, uint32_t i)
{
	uint32_t raw = get_le32(offsets->bytes + (size_t)i * 4);

	if (!offsets->absolute_percpu)
		return offsets->base + raw;
	if (raw < 0x80000000)
		return raw;
	return offsets->base - 1 - (int64_t)(int32_t)raw;
}

/* The kernel looks addresses up by bisection: they rise. */
static bool
offsets_fit(struct offsets *offsets)
{
	uint64_t before = 0, now;
	uint32_t i;

	if (offsets->base < KERNEL_BASE || (offsets->base & 0xfff) != 0)
		return false;
	offsets->absolute_percpu = false;
	for (i = 0; i < offsets->count; i++)
		if (get_le32(offsets->bytes + (size_t)i * 4) >= 0x80000000)
			offsets->absolute_percpu = true;
	for (i = 0; i < offsets->count; i++) {
		now = address_of(offsets, i);
		if (now < before || (now >= offsets->base &&
					now - offsets->base > KERNEL_SIZE_MAX))
			return false;
		before = now;
	}
	return before > offsets->base;
}

/* The offsets of either order; `*ret_copy` owns those read apart. */
static bool
find_offsets(const struct lf_guest_memory *memory, const struct window *w,
    uint64_t index_gpa, struct offsets *ret, uint8_t **ret_copy)
{
	size_t len = align8((size_t)w->count * 4);
	cleanup_free uint8_t *copy = NULL;

	ret->count = w->count;
	if (w->num_syms >= len + 8) {
		ret->base = get_le64(w->bytes + w->num_syms - 8);
		ret->bytes = w->bytes + w->num_syms - 8 - len;
		ret->gpa = w->gpa + w->num_syms - 8 - len;
		if (offsets_fit(ret))
			return true;
	}
	copy = sys.malloc(len + 8);
	if (copy == NULL || memory->read(memory->opaque, index_gpa + INDEX_SIZE,
				copy, len + 8) < 0)
		return false;
	ret->base = get_le64(copy + len);
	ret->bytes = copy;
	ret->gpa = index_gpa + INDEX_SIZE;
	if (!offsets_fit(ret))
		return false;
	*ret_copy = take_ptr(copy);
	return true;
}

/* Expands one name; its first character is the type. */
static int
expand(const struct tokens *tokens, const uint8_t *bytes, uint32_t len,
    char *buf, size_t size, size_t *ret_len)
{
	const char *token;
	size_t used = 0, token_len;
	uint32_t i;

	for (i = 0; i < len; i++) {
		token = (const char *)tokens->table + tokens->index[bytes[i]];
		token_len = strlen(token);
		if (token_len >= size - used)
			return -EBADMSG;
		memcpy(buf + used, token, token_len);
		used += token_len;
	}
	*ret_len = used;
	return used < 2 ? -EBADMSG : 0;
}

static int
decode(const struct tokens *tokens, const struct window *w,
    const struct offsets *offsets, struct lf_symbols **ret_symbols,
    struct lf_error *error)
{
	struct lf_symbols *symbols = symbols_new("guest", error);
	size_t at = w->num_syms + 8, text_len = 0;
	uint32_t i, len = 0;
	char text[2048];
	int rc = 0;

	if (symbols == NULL)
		return -ENOMEM;
	for (i = 0; rc == 0 && i < w->count; i++) {
		at += name_length(w->bytes + at, w->len - at, &len);
		rc = expand(
		    tokens, w->bytes + at, len, text, sizeof(text), &text_len);
		if (rc < 0)
			rc = error_set(error, EBADMSG,
			    "kallsyms: name of symbol %u at guest-physical "
			    "0x%llx",
			    i, (unsigned long long)(w->gpa + at));
		else
			rc = symbols_add(symbols,
			    &(struct symbol_source){.name = text + 1,
				.name_len = text_len - 1,
				.address = address_of(offsets, i),
				.type = text[0]},
			    error);
		at += len;
	}
	if (rc == 0)
		rc = symbols_finish(symbols, 0, error);
	if (rc < 0)
		lf_symbols_free(symbols);
	else
		*ret_symbols = symbols;
	return rc;
}

/* All tables around an index that looks like one: 1, 0 or an error. */
static int
examine(const struct lf_guest_memory *memory, struct kallsyms_search *search,
    uint64_t lowest, uint64_t index_gpa, const uint8_t *index,
    struct kallsyms *ret_tables, struct lf_error *error)
{
	cleanup_free struct tokens *tokens = NULL;
	cleanup_free uint8_t *window_bytes = NULL, *copy = NULL;
	struct offsets offsets;
	struct window w = {0};
	int rc;

	if (search->token_tries == 0 || search->windows == 0 ||
	    search->names == 0)
		return error_set(error, ENOENT,
		    "the search for kallsyms tables was given up at "
		    "guest-physical 0x%llx: too much looks like them",
		    (unsigned long long)index_gpa);
	search->token_tries--;
	tokens = sys.malloc(sizeof(*tokens));
	if (tokens == NULL)
		return error_nomem(error);
	if (!find_tokens(memory, lowest, index_gpa, index, tokens))
		return 0;
	search->windows--;
	rc = find_names(memory, tokens, lowest, &w, &search->names, error);
	window_bytes = w.bytes;
	if (rc <= 0)
		return rc;
	if (!find_offsets(memory, &w, index_gpa, &offsets, &copy))
		return 0;
	rc = decode(tokens, &w, &offsets, &ret_tables->symbols, error);
	if (rc < 0)
		return rc == -EBADMSG ? 0 : rc;
	ret_tables->num_syms = w.gpa + w.num_syms;
	ret_tables->token_index = index_gpa;
	ret_tables->offsets = offsets.gpa;
	ret_tables->count = w.count;
	return 1;
}

/* One range, in chunks that overlap by an index: 1, 0 or an error. */
static int
search_range(const struct lf_guest_memory *memory,
    const struct lf_guest_range *range, struct kallsyms_search *search,
    uint8_t *chunk, struct kallsyms *ret_tables, struct lf_error *error)
{
	uint64_t end = range->gpa + range->length, gpa;
	size_t len, at;
	int rc;

	gpa = search->position > range->gpa ? search->position : range->gpa;
	for (gpa = align8(gpa); gpa + INDEX_SIZE <= end; gpa += CHUNK) {
		len = CHUNK + INDEX_SIZE;
		if (len > end - gpa)
			len = end - gpa;
		rc = guest_memory_read(
		    memory, "search for kallsyms", gpa, chunk, len, error);
		if (rc < 0)
			return rc;
		for (at = 0; at + INDEX_SIZE <= len && at < CHUNK; at += 8) {
			if (!looks_like_index(chunk + at))
				continue;
			rc = examine(memory, search, range->gpa, gpa + at,
			    chunk + at, ret_tables, error);
			if (rc != 0) {
				search->position = gpa + at + 8;
				return rc;
			}
		}
	}
	return 0;
}

void
kallsyms_search_init(struct kallsyms_search *search)
{
	*search = (struct kallsyms_search){
	    .token_tries = TOKEN_TRIES, .windows = WINDOWS, .names = NAMES};
}

int
kallsyms_find(const struct lf_guest_memory *memory,
    struct kallsyms_search *search, struct kallsyms *ret_tables,
    struct lf_error *error)
{
	cleanup_free uint8_t *chunk = sys.malloc(CHUNK + INDEX_SIZE);
	const struct lf_guest_range *range;
	size_t i;
	int rc;

	if (chunk == NULL)
		return error_nomem(error);
	for (i = 0; i < memory->range_count; i++) {
		range = &memory->ranges[i];
		if (range->length > UINT64_MAX - range->gpa)
			return error_set(
			    error, EINVAL, "guest memory: a range that wraps");
		if (range->gpa + range->length <= search->position)
			continue;
		rc = search_range(
		    memory, range, search, chunk, ret_tables, error);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
	return error_set(error, ENOENT,
	    "no kallsyms tables of a Linux kernel in guest memory");
}
