/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The symbols of the kernel's modules: a list of struct module in guest
 * memory, each with an ELF symbol table that the kernel keeps for
 * /proc/kallsyms (kernel/module/kallsyms.c). The places of the members come
 * from BTF. Outside bytes: lists and tables have a limit, names an end.
 */
#include "vmi/kernel.h"

#include <elf.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "vmi/guest_memory.h"
#include "vmi/symbols.h"

#define MODULES_MAX        4096U
#define MODULE_SYMBOLS_MAX (1U << 18)

/* Of all modules together: what a hostile guest can make us read. */
#define ALL_SYMBOLS_MAX (1U << 20)

#define MODULE_NAME_LEN 56

struct layout {
	/* Offsets in bytes, in struct module and in struct mod_kallsyms. */
	uint32_t list, name, kallsyms;
	uint32_t symtab, num_symtab, strtab, typetab;
};

static int
find_layout(
    struct lf_kernel *kernel, struct layout *ret, struct lf_error *error)
{
	const struct {
		const char *type, *name;
		uint32_t *ret_offset;
	} members[] = {
	    {"module", "list.next", &ret->list},
	    {"module", "name", &ret->name},
	    {"module", "kallsyms", &ret->kallsyms},
	    {"mod_kallsyms", "symtab", &ret->symtab},
	    {"mod_kallsyms", "num_symtab", &ret->num_symtab},
	    {"mod_kallsyms", "strtab", &ret->strtab},
	    {"mod_kallsyms", "typetab", &ret->typetab},
	};
	struct lf_kernel_member found;
	size_t i;
	int rc;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		rc = lf_kernel_member(
		    kernel, members[i].type, members[i].name, &found, error);
		if (rc < 0)
			return rc;
		*members[i].ret_offset = found.bit_offset / 8;
	}
	return 0;
}

/* A string; cut where memory ends. Returns its length. */
static size_t
read_string(
    const struct lf_kernel *kernel, uint64_t address, char *buf, size_t size)
{
	size_t len = 0, part;

	/* In small parts: what is behind a string need not be there. */
	while (len + 1 < size) {
		part = 64 - (address + len) % 64;
		if (part > size - 1 - len)
			part = size - 1 - len;
		if (lf_kernel_read(
			kernel, address + len, buf + len, part, NULL) < 0)
			break;
		if (memchr(buf + len, '\0', part) != NULL)
			return len + strlen(buf + len);
		len += part;
	}
	buf[len] = '\0';
	return len;
}

struct table {
	uint64_t symtab, strtab, typetab;
	uint32_t count;
};

static int
read_table(const struct lf_kernel *kernel, const struct layout *layout,
    uint64_t module, struct table *ret, struct lf_error *error)
{
	uint64_t at = 0;
	uint8_t count[4];
	int rc;

	if ((rc = kernel_read_u64(
		 kernel, module + layout->kallsyms, &at, error)) < 0 ||
	    (rc = kernel_read_u64(
		 kernel, at + layout->symtab, &ret->symtab, error)) < 0 ||
	    (rc = kernel_read_u64(
		 kernel, at + layout->strtab, &ret->strtab, error)) < 0 ||
	    (rc = kernel_read_u64(
		 kernel, at + layout->typetab, &ret->typetab, error)) < 0 ||
	    (rc = lf_kernel_read(kernel, at + layout->num_symtab, count,
		 sizeof(count), error)) < 0)
		return rc;
	ret->count = get_le32(count);
	if (ret->count > MODULE_SYMBOLS_MAX)
		return error_set(error, EBADMSG,
		    "guest kernel: a module with %u symbols", ret->count);
	return 0;
}

/* `left` is how many symbols may still be read, with a name or without. */
static int
add_module(struct lf_kernel *kernel, const struct layout *layout,
    uint64_t module, struct lf_symbols *symbols, uint32_t *left,
    struct lf_error *error)
{
	cleanup_free uint8_t *entries = NULL, *types = NULL;
	char name[SYMBOL_NAME_MAX], its_name[MODULE_NAME_LEN + 1];
	struct symbol_source from = {.name = name, .module = its_name};
	struct table table = {0};
	size_t len;
	uint32_t i;
	int rc;

	from.module_len = read_string(
	    kernel, module + layout->name, its_name, sizeof(its_name));
	rc = read_table(kernel, layout, module, &table, error);
	if (rc < 0 || table.count == 0)
		return rc;
	if (table.count > *left)
		return error_set(error, EBADMSG,
		    "guest kernel: modules with more than %u symbols",
		    ALL_SYMBOLS_MAX);
	*left -= table.count;
	entries = sys.malloc((size_t)table.count * sizeof(Elf64_Sym));
	types = sys.malloc(table.count);
	if (entries == NULL || types == NULL)
		return error_nomem(error);
	rc = lf_kernel_read(kernel, table.symtab, entries,
	    (size_t)table.count * sizeof(Elf64_Sym), error);
	if (rc == 0)
		rc = lf_kernel_read(
		    kernel, table.typetab, types, table.count, error);
	for (i = 0; rc == 0 && i < table.count; i++) {
		const uint8_t *entry = entries + i * sizeof(Elf64_Sym);

		len = read_string(kernel,
		    table.strtab +
			get_le32(entry + offsetof(Elf64_Sym, st_name)),
		    name, sizeof(name));
		/* Some have no name, the first of all; /proc/kallsyms leaves
		 * them out too. */
		if (len == 0)
			continue;
		from.name_len = len;
		from.address = get_le64(entry + offsetof(Elf64_Sym, st_value));
		from.size = get_le64(entry + offsetof(Elf64_Sym, st_size));
		from.type = (char)types[i];
		rc = symbols_add(symbols, &from, error);
	}
	return rc;
}

int
kernel_add_modules(struct lf_kernel *kernel, struct lf_symbols *symbols,
    struct lf_error *error)
{
	struct layout layout;
	struct lf_symbol head;
	uint64_t at = 0;
	uint32_t left = ALL_SYMBOLS_MAX;
	unsigned count = 0;
	int rc;

	rc = lf_symbols_lookup(kernel->symbols, "modules", &head, error);
	if (rc == 0)
		rc = find_layout(kernel, &layout, error);
	if (rc == 0)
		rc = kernel_read_u64(kernel, head.address, &at, error);
	while (rc == 0 && at != head.address) {
		if (++count > MODULES_MAX)
			return error_set(error, EBADMSG,
			    "guest kernel: a list of modules without end");
		rc = add_module(
		    kernel, &layout, at - layout.list, symbols, &left, error);
		if (rc == 0)
			rc = kernel_read_u64(kernel, at, &at, error);
	}
	return rc;
}
