/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Symbol tables: names for addresses and addresses for names, read from a
 * file in the format of nm(1) (a System.map is one), from a copy of a guest's
 * /proc/kallsyms, or from an ELF file. <libfork/vmi.h> finds the table of a
 * running Linux kernel in guest memory.
 *
 * A table does not change once it is made: any number of threads may read it
 * at once. Files are outside data: whatever is in them, these functions return
 * an error and nothing else happens.
 */
#ifndef LIBFORK_SYMBOLS_H
#define LIBFORK_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_symbols;

/* One symbol. The strings live as long as the table. */
struct lf_symbol {
	const char *name;
	const char *module; /* kernel module; NULL: the kernel or program */
	uint64_t address;   /* guest-virtual, the slide added */
	uint64_t size;      /* bytes; 0: not known */
	char type;          /* as nm(1): 'T' text, 'd' data, 'A' absolute ... */
};

/*
 * Reads the table at `path`. The format is told by the content. `slide` is
 * added to every address: the distance by which a kernel with KASLR, or a
 * position-independent program, was moved from where the file says. In a table
 * with kernel addresses (upper half) those of the lower half are offsets of
 * per-CPU variables and are not moved.
 *
 * -ENOENT and other errors of open(2); -EBADMSG: not one of the formats, or
 * damaged, the message says where; -ENODATA: no symbol in it, or all addresses
 * are 0 (what /proc/kallsyms shows without the right to see them); -EFBIG.
 */
LF_API int lf_symbols_open(const char *path, uint64_t slide,
    struct lf_symbols **ret_symbols, struct lf_error *error);

/*
 * As lf_symbols_open(), from a descriptor, which stays the caller's. `name` is
 * used in messages. The descriptor's offset is not used where the file can be
 * read at any offset.
 */
LF_API int lf_symbols_read(int fd, const char *name, uint64_t slide,
    struct lf_symbols **ret_symbols, struct lf_error *error);

/* Frees the table and all strings from it. NULL is allowed. */
LF_API void lf_symbols_free(struct lf_symbols *symbols);

/* How many symbols there are. */
LF_API size_t lf_symbols_count(const struct lf_symbols *symbols);

/* The symbol number `index` (0 to count - 1) in the order of addresses. */
LF_API void lf_symbols_get(const struct lf_symbols *symbols, size_t index,
    struct lf_symbol *ret_symbol);

/*
 * The symbol called `name`. -ENOENT: there is none, the message shows the
 * nearest names; -ENOTUNIQ: several addresses have that name, the message
 * shows them (use one of them instead).
 */
LF_API int lf_symbols_lookup(const struct lf_symbols *symbols, const char *name,
    struct lf_symbol *ret_symbol, struct lf_error *error);

/*
 * The symbol that `address` lies in: the last one at or below it, if the
 * address is within its size, or where that is not known, before the next
 * symbol and at most 1 MiB away. Of several at one address a global one is
 * preferred to a weak, a weak to a local. -ENOENT: none.
 */
LF_API int lf_symbols_find(const struct lf_symbols *symbols, uint64_t address,
    struct lf_symbol *ret_symbol);

/*
 * An address as a user writes it: "0x..." or a decimal number, a symbol's
 * name, or name+offset. `symbols` may be NULL: then only numbers are known.
 * Errors as lf_symbols_lookup(); -EINVAL for a number that is not one.
 */
LF_API int lf_symbols_resolve(const struct lf_symbols *symbols,
    const char *text, uint64_t *ret_address, struct lf_error *error);

/*
 * Writes `address` as "name+0x1f", "name+0x1f [module]", or "0x..." where no
 * symbol is; always terminated, cut to `size`. Returns `buf`. `symbols` may be
 * NULL.
 */
LF_API const char *lf_symbols_format(
    const struct lf_symbols *symbols, uint64_t address, char *buf, size_t size);

/*
 * The names nearest to `name`, nearest first, at most `max` of them (and 16).
 * Returns how many were written to `ret_names`.
 */
LF_API size_t lf_symbols_nearest(const struct lf_symbols *symbols,
    const char *name, const char **ret_names, size_t max);

#ifdef __cplusplus
}
#endif

#endif
