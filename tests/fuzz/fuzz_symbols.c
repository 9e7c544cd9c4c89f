/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Symbol tables as text and as ELF files: whatever is read can be looked up
 * again, by name and by address.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "vmi/symbols.h"

static void
look_up_all(const struct lf_symbols *symbols)
{
	struct lf_symbol symbol, found;
	size_t i;

	for (i = 0; i < lf_symbols_count(symbols) && i < 64; i++) {
		lf_symbols_get(symbols, i, &symbol);
		if (lf_symbols_find(symbols, symbol.address, &found) < 0 ||
		    found.address != symbol.address)
			abort();
		if (lf_symbols_lookup(symbols, symbol.name, &found, NULL) ==
			0 &&
		    strcmp(found.name, symbol.name) != 0)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct elf_source source = {
	    .fd = -1, .data = data, .size = len, .name = "fuzz"};
	const char *nearest[4];
	struct lf_symbols *symbols;
	struct lf_error error;
	int rc;

	symbols = symbols_new("fuzz", &error);
	if (symbols == NULL)
		return 0;
	if (len > 4 && memcmp(data,
			   "\x7f"
			   "ELF",
			   4) == 0)
		rc = symbols_add_elf(symbols, &source, &error);
	else
		rc = symbols_add_text(symbols, (const char *)data, len, &error);
	if (rc == 0)
		rc = symbols_finish(symbols, 0x1000, &error);
	if (rc == 0) {
		look_up_all(symbols);
		lf_symbols_nearest(symbols, "do_syscall_64", nearest, 4);
	}
	lf_symbols_free(symbols);
	return 0;
}
