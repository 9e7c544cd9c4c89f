/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The symbol table: one array in the order of addresses, one index in the
 * order of names, all strings in one pool. It does not know where symbols come
 * from.
 */
#include "vmi/symbols.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

/* How far from a symbol of unknown size an address may be. */
#define REACH_MAX (1U << 20)

/* How many symbols inside another one are looked past. */
#define INNER_MAX  64

#define UPPER_HALF (UINT64_C(1) << 63)

struct entry {
	uint64_t address;
	uint64_t size;
	uint32_t name;   /* offset in the pool */
	uint32_t module; /* 0: none (the pool begins with a NUL) */
	uint32_t order;  /* as it was added */
	char type;
};

struct lf_symbols {
	struct entry *entries;
	size_t count, room;
	uint32_t *by_name; /* indices of entries */
	char *pool;
	size_t pool_len, pool_room;
	char name[256];
};

struct lf_symbols *
symbols_new(const char *name, struct lf_error *error)
{
	struct lf_symbols *symbols = sys.calloc(1, sizeof(*symbols));

	if (symbols == NULL) {
		error_nomem(error);
		return NULL;
	}
	snprintf(symbols->name, sizeof(symbols->name), "%s", name);
	return symbols;
}

void
lf_symbols_free(struct lf_symbols *symbols)
{
	if (symbols == NULL)
		return;
	free(symbols->entries);
	free(symbols->by_name);
	free(symbols->pool);
	free(symbols);
}

/* Makes room for `more` bytes in the pool. */
static int
pool_grow(struct lf_symbols *symbols, size_t more, struct lf_error *error)
{
	size_t room = symbols->pool_room;
	char *pool;

	if (symbols->pool_len + more <= room)
		return 0;
	if (symbols->pool_len + more > UINT32_MAX)
		return error_set(error, EFBIG,
		    "symbols in '%s': more than 4 GiB of names", symbols->name);
	if (room == 0)
		room = 4096;
	while (room < symbols->pool_len + more)
		room *= 2;
	pool = sys.realloc(symbols->pool, room);
	if (pool == NULL)
		return error_nomem(error);
	symbols->pool = pool;
	symbols->pool_room = room;
	return 0;
}

/* The pool has room. */
static uint32_t
pool_put(struct lf_symbols *symbols, const char *s, size_t len)
{
	uint32_t at = symbols->pool_len;

	memcpy(symbols->pool + at, s, len);
	symbols->pool[at + len] = '\0';
	symbols->pool_len += len + 1;
	return at;
}

static int
check_name(const struct lf_symbols *symbols, const char *name, size_t len,
    struct lf_error *error)
{
	size_t i;

	if (len == 0 || len > SYMBOL_NAME_MAX)
		return error_set(error, EBADMSG,
		    "symbols in '%s': a name of %zu bytes, 1 to %u allowed",
		    symbols->name, len, SYMBOL_NAME_MAX);
	for (i = 0; i < len; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return error_set(error, EBADMSG,
			    "symbols in '%s': control character 0x%02x in "
			    "name '%.*s'",
			    symbols->name, (unsigned char)name[i], (int)len,
			    name);
	return 0;
}

static int
entries_grow(struct lf_symbols *symbols, struct lf_error *error)
{
	size_t room = symbols->room == 0 ? 256 : symbols->room * 2;
	struct entry *entries;

	if (symbols->count < symbols->room)
		return 0;
	if (symbols->count >= SYMBOLS_MAX)
		return error_set(error, EFBIG,
		    "symbols in '%s': more than %u of them", symbols->name,
		    SYMBOLS_MAX);
	entries = sys.realloc(symbols->entries, room * sizeof(*entries));
	if (entries == NULL)
		return error_nomem(error);
	symbols->entries = entries;
	symbols->room = room;
	return 0;
}

int
symbols_add(struct lf_symbols *symbols, const struct symbol_source *from,
    struct lf_error *error)
{
	struct entry *entry;
	const char *last;
	int rc;

	rc = check_name(symbols, from->name, from->name_len, error);
	if (rc == 0 && from->module != NULL)
		rc = check_name(symbols, from->module, from->module_len, error);
	if (rc == 0)
		rc = entries_grow(symbols, error);
	if (rc == 0)
		rc = pool_grow(
		    symbols, from->name_len + from->module_len + 3, error);
	if (rc < 0)
		return rc;
	if (symbols->pool_len == 0)
		pool_put(symbols, "", 0);
	entry = &symbols->entries[symbols->count];
	*entry = (struct entry){.address = from->address,
	    .size = from->size,
	    .order = symbols->count,
	    .type = from->type};
	if (from->module != NULL) {
		/* A module's symbols come together: its name is kept once. */
		entry->module =
		    symbols->count == 0
			? 0
			: symbols->entries[symbols->count - 1].module;
		last = symbols->pool + entry->module;
		if (strlen(last) != from->module_len ||
		    memcmp(last, from->module, from->module_len) != 0)
			entry->module =
			    pool_put(symbols, from->module, from->module_len);
	}
	entry->name = pool_put(symbols, from->name, from->name_len);
	symbols->count++;
	return 0;
}

/* Lower is preferred where several symbols have one address. */
static int
rank_of(char type)
{
	switch (type) {
	case 'A':
	case 'a':
		return 3;
	case 'W':
	case 'V':
	case 'w':
	case 'v':
		return 1;
	default:
		return isupper((unsigned char)type) ? 0 : 2;
	}
}

static int
compare_address(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (rank_of(x->type) != rank_of(y->type))
		return rank_of(x->type) - rank_of(y->type);
	return x->order < y->order ? -1 : 1;
}

static int
compare_name(const void *a, const void *b, void *opaque)
{
	const struct lf_symbols *symbols = opaque;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = strcmp(symbols->pool + symbols->entries[x].name,
	    symbols->pool + symbols->entries[y].name);

	if (order != 0)
		return order;
	return x < y ? -1 : x > y;
}

static void
move_by(struct lf_symbols *symbols, uint64_t slide)
{
	bool kernel = false;
	size_t i;

	for (i = 0; i < symbols->count; i++)
		kernel |= (symbols->entries[i].address & UPPER_HALF) != 0;
	for (i = 0; i < symbols->count; i++)
		if (!kernel || (symbols->entries[i].address & UPPER_HALF) != 0)
			symbols->entries[i].address += slide;
}

int
symbols_finish(
    struct lf_symbols *symbols, uint64_t slide, struct lf_error *error)
{
	size_t i;

	if (symbols->count == 0)
		return error_set(
		    error, ENODATA, "no symbols in '%s'", symbols->name);
	for (i = 0; i < symbols->count; i++)
		if (symbols->entries[i].address != 0)
			break;
	if (i == symbols->count)
		return error_set(error, ENODATA,
		    "symbols in '%s': every address is 0; copy the guest's "
		    "/proc/kallsyms as root, with kernel.kptr_restrict at 0",
		    symbols->name);
	symbols->by_name =
	    sys.malloc(symbols->count * sizeof(*symbols->by_name));
	if (symbols->by_name == NULL)
		return error_nomem(error);
	move_by(symbols, slide);
	qsort(symbols->entries, symbols->count, sizeof(*symbols->entries),
	    compare_address);
	for (i = 0; i < symbols->count; i++)
		symbols->by_name[i] = i;
	qsort_r(symbols->by_name, symbols->count, sizeof(*symbols->by_name),
	    compare_name, symbols);
	return 0;
}

size_t
lf_symbols_count(const struct lf_symbols *symbols)
{
	return symbols->count;
}

void
lf_symbols_get(const struct lf_symbols *symbols, size_t index,
    struct lf_symbol *ret_symbol)
{
	const struct entry *entry = &symbols->entries[index];

	*ret_symbol = (struct lf_symbol){
	    .name = symbols->pool + entry->name,
	    .module = entry->module == 0 ? NULL : symbols->pool + entry->module,
	    .address = entry->address,
	    .size = entry->size,
	    .type = entry->type,
	};
}

size_t
symbols_name_place(const struct lf_symbols *symbols, const char *name)
{
	size_t low = 0, high = symbols->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct entry *entry =
		    &symbols->entries[symbols->by_name[middle]];

		if (strcmp(symbols->pool + entry->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool
symbols_by_name(const struct lf_symbols *symbols, size_t place,
    struct lf_symbol *ret_symbol)
{
	if (place >= symbols->count)
		return false;
	lf_symbols_get(symbols, symbols->by_name[place], ret_symbol);
	return true;
}

const char *
symbols_source(const struct lf_symbols *symbols)
{
	return symbols->name;
}

/* Whether `address`, not below the symbol's, lies in it. */
static bool
covers(const struct entry *entry, uint64_t address)
{
	uint64_t reach = entry->size != 0 ? entry->size : REACH_MAX;

	return address - entry->address < reach || address == entry->address;
}

int
lf_symbols_find(const struct lf_symbols *symbols, uint64_t address,
    struct lf_symbol *ret_symbol)
{
	size_t low = 0, high = symbols->count, steps;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (symbols->entries[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return -ENOENT;
	/* A function may have smaller symbols inside it: look past those. */
	for (steps = 0; low > 0 && steps < INNER_MAX; steps++)
		if (covers(&symbols->entries[--low], address))
			break;
	if (!covers(&symbols->entries[low], address))
		return -ENOENT;
	/* Back to the first, the preferred one, of those at one address. */
	while (low > 0 &&
	       symbols->entries[low - 1].address ==
		   symbols->entries[low].address &&
	       covers(&symbols->entries[low - 1], address))
		low--;
	lf_symbols_get(symbols, low, ret_symbol);
	return 0;
}
