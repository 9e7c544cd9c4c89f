/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making a symbol table: the readers of each format add symbols one by one,
 * then finish it. Only then is it read.
 */
#ifndef VMI_SYMBOLS_H
#define VMI_SYMBOLS_H

#include <stdbool.h>
#include <sys/types.h>

#include <libfork/symbols.h>

/* More symbols, or longer names, than any real table has. */
#define SYMBOLS_MAX     (16U << 20)
#define SYMBOL_NAME_MAX 4096U

/* An empty table; `name` says in messages where it came from. */
struct lf_symbols *symbols_new(const char *name, struct lf_error *error);

/* Names need no NUL at their end. */
struct symbol_source {
	const char *name;
	size_t name_len;
	const char *module; /* NULL: of none */
	size_t module_len;
	uint64_t address;
	uint64_t size; /* bytes; 0: unknown */
	char type;     /* as nm(1) prints it */
};

/*
 * Adds a symbol; its names are copied. -EBADMSG for a name that is empty, too
 * long, or has a NUL or a control character; -EFBIG, -ENOMEM.
 */
int symbols_add(struct lf_symbols *symbols, const struct symbol_source *from,
    struct lf_error *error);

/*
 * Moves the addresses by `slide` and sorts. After it the table is complete.
 * -ENODATA for one without symbols or with all addresses 0.
 */
int symbols_finish(
    struct lf_symbols *symbols, uint64_t slide, struct lf_error *error);

/* In the order of names: the first place whose name is not below `name`. */
size_t symbols_name_place(const struct lf_symbols *symbols, const char *name);
/* The symbol at a place; false past the last one. */
bool symbols_by_name(const struct lf_symbols *symbols, size_t place,
    struct lf_symbol *ret_symbol);

/* Where the table came from, for messages. */
const char *symbols_source(const struct lf_symbols *symbols);

/*
 * Adds what nm(1) or /proc/kallsyms printed. Every line has to be understood:
 * one that is not is named in the error.
 */
int symbols_add_text(struct lf_symbols *symbols, const char *text, size_t len,
    struct lf_error *error);

/* Where an ELF file's bytes come from: a descriptor, or memory. */
struct elf_source {
	int fd;              /* -1: `data` is used */
	const uint8_t *data; /* borrowed */
	uint64_t size;
	const char *name; /* for messages */
};

/* Adds an ELF file's .symtab, or its .dynsym when it has none. */
int symbols_add_elf(struct lf_symbols *symbols, const struct elf_source *source,
    struct lf_error *error);

#endif
