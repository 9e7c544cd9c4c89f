/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses as users write and read them: a number, a symbol, symbol+offset.
 */
#include "vmi/symbols.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

static int
no_such_name(
    const struct lf_symbols *symbols, const char *name, struct lf_error *error)
{
	const char *nearest[4];
	char list[512] = "";
	size_t i, used = 0, count;

	count = lf_symbols_nearest(
	    symbols, name, nearest, sizeof(nearest) / sizeof(nearest[0]));
	for (i = 0; i < count && used < sizeof(list); i++)
		used += snprintf(list + used, sizeof(list) - used, "%s%s",
		    i == 0 ? "; nearest: " : ", ", nearest[i]);
	return error_set(error, ENOENT, "no symbol '%.200s' in '%s'%s", name,
	    symbols_source(symbols), list);
}

static int
several_addresses(const struct lf_symbols *symbols, const char *name,
    size_t first, size_t end, struct lf_error *error)
{
	struct lf_symbol symbol;
	char list[256] = "";
	size_t i, used = 0;

	for (i = first; i < end && used < sizeof(list) - 32; i++) {
		symbols_by_name(symbols, i, &symbol);
		used += snprintf(list + used, sizeof(list) - used, "%s0x%llx",
		    i == first ? "" : ", ", (unsigned long long)symbol.address);
	}
	return error_set(error, ENOTUNIQ,
	    "symbol '%.200s' in '%s' is at %zu addresses (%s%s): give one of "
	    "them instead",
	    name, symbols_source(symbols), end - first, list,
	    i < end ? ", ..." : "");
}

int
lf_symbols_lookup(const struct lf_symbols *symbols, const char *name,
    struct lf_symbol *ret_symbol, struct lf_error *error)
{
	size_t first = symbols_name_place(symbols, name), end = first;
	struct lf_symbol symbol, one;
	bool several = false;

	for (; symbols_by_name(symbols, end, &symbol); end++) {
		if (strcmp(symbol.name, name) != 0)
			break;
		if (end == first)
			one = symbol;
		several |= symbol.address != one.address;
	}
	if (end == first)
		return no_such_name(symbols, name, error);
	if (several)
		return several_addresses(symbols, name, first, end, error);
	*ret_symbol = one;
	return 0;
}

const char *
lf_symbols_format(
    const struct lf_symbols *symbols, uint64_t address, char *buf, size_t size)
{
	struct lf_symbol symbol;

	if (symbols == NULL || lf_symbols_find(symbols, address, &symbol) < 0)
		snprintf(buf, size, "0x%llx", (unsigned long long)address);
	else
		snprintf(buf, size, "%s+0x%llx%s%s%s", symbol.name,
		    (unsigned long long)(address - symbol.address),
		    symbol.module == NULL ? "" : " [",
		    symbol.module == NULL ? "" : symbol.module,
		    symbol.module == NULL ? "" : "]");
	return buf;
}

/* A whole number, hexadecimal with 0x; strtoull alone takes signs and blanks.
 */
static int
parse_number(const char *text, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end,
	    text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
	if (errno != 0 || *end != '\0')
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int
lf_symbols_resolve(const struct lf_symbols *symbols, const char *text,
    uint64_t *ret_address, struct lf_error *error)
{
	cleanup_free char *name = NULL;
	struct lf_symbol symbol;
	uint64_t offset = 0;
	const char *plus;
	int rc;

	if (isdigit((unsigned char)text[0])) {
		if (parse_number(text, ret_address) < 0)
			return error_set(error, EINVAL,
			    "'%.200s' is not an address: a number (0x... or "
			    "decimal), a symbol, or symbol+offset wanted",
			    text);
		return 0;
	}
	if (symbols == NULL)
		return error_set(error, ENOENT,
		    "symbol '%.200s': no symbol table was given; give one, or "
		    "an address",
		    text);
	/* A '+' can be part of a demangled name: only the last is looked at. */
	plus = strrchr(text, '+');
	if (plus != NULL && parse_number(plus + 1, &offset) < 0) {
		if (isdigit((unsigned char)plus[1]))
			return error_set(error, EINVAL,
			    "'%.200s': '%.40s' is not an offset", text,
			    plus + 1);
		plus = NULL;
	}
	name = sys.strndup(
	    text, plus == NULL ? strlen(text) : (size_t)(plus - text));
	if (name == NULL)
		return error_nomem(error);
	rc = lf_symbols_lookup(symbols, name, &symbol, error);
	if (rc < 0)
		return rc;
	*ret_address = symbol.address + offset;
	return 0;
}
