/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Symbols of an ELF file (64-bit, little-endian). Only the headers and the
 * two tables are read, a kernel with debug information is a gigabyte. Outside
 * bytes: every offset, size and index is checked.
 *
 * Layouts: System V ABI, "Object Files"; the numbers are <elf.h>'s.
 */
#include "vmi/symbols.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/reader.h"
#include "base/sys.h"

#define SECTIONS_MAX 0x100000U
#define STRINGS_MAX  (UINT64_C(1) << 30)

struct section {
	uint32_t type, link;
	uint64_t flags, offset, size, entry_size;
};

struct elf {
	const struct elf_source *source;
	struct section *sections; /* owned */
	size_t count;
};

/* `len` bytes at `offset`, in memory that the caller frees. */
static int
load(const struct elf_source *source, const char *what, uint64_t offset,
    uint64_t len, uint8_t **ret_bytes, struct lf_error *error)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t got = 0;
	ssize_t n;

	if (offset > source->size || len > source->size - offset)
		return error_set(error, EBADMSG,
		    "%s: %s: 0x%llx bytes wanted at 0x%llx, the file has "
		    "0x%llx",
		    source->name, what, (unsigned long long)len,
		    (unsigned long long)offset,
		    (unsigned long long)source->size);
	bytes = sys.malloc(len == 0 ? 1 : len);
	if (bytes == NULL)
		return error_nomem(error);
	if (source->fd < 0) {
		memcpy(bytes, source->data + offset, len);
		got = len;
	}
	while (got < len) {
		n = sys.pread(source->fd, bytes + got, len - got, offset + got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(
			    error, errno, "cannot read '%s'", source->name);
		if (n == 0)
			return error_set(error, EBADMSG,
			    "%s: %s: the file became shorter while it was "
			    "read",
			    source->name, what);
		got += n;
	}
	*ret_bytes = take_ptr(bytes);
	return 0;
}

static int
read_section(struct reader *r, struct section *ret, struct lf_error *error)
{
	struct section s = {0};
	int rc;

	if ((rc = reader_skip(r, "sh_name", 4, error)) < 0 ||
	    (rc = reader_le32(r, "sh_type", &s.type, error)) < 0 ||
	    (rc = reader_le64(r, "sh_flags", &s.flags, error)) < 0 ||
	    (rc = reader_skip(r, "sh_addr", 8, error)) < 0 ||
	    (rc = reader_le64(r, "sh_offset", &s.offset, error)) < 0 ||
	    (rc = reader_le64(r, "sh_size", &s.size, error)) < 0 ||
	    (rc = reader_le32(r, "sh_link", &s.link, error)) < 0 ||
	    (rc = reader_skip(r, "sh_info, sh_addralign", 12, error)) < 0 ||
	    (rc = reader_le64(r, "sh_entsize", &s.entry_size, error)) < 0)
		return rc;
	*ret = s;
	return 0;
}

/* The section table; its length may stand in its own first entry. */
static int
load_sections(
    struct elf *elf, uint64_t offset, uint64_t count, struct lf_error *error)
{
	cleanup_free uint8_t *bytes = NULL;
	struct section first = {0};
	struct reader r;
	int rc;

	if (count == 0) {
		rc = load(elf->source, "first section header", offset,
		    sizeof(Elf64_Shdr), &bytes, error);
		if (rc < 0)
			return rc;
		reader_init(&r, bytes, sizeof(Elf64_Shdr), elf->source->name);
		rc = read_section(&r, &first, error);
		if (rc < 0)
			return rc;
		free(take_ptr(bytes));
		count = first.size;
	}
	if (count == 0 || count > SECTIONS_MAX)
		return error_set(error, EBADMSG, "%s: %llu sections",
		    elf->source->name, (unsigned long long)count);
	rc = load(elf->source, "section headers", offset,
	    count * sizeof(Elf64_Shdr), &bytes, error);
	if (rc < 0)
		return rc;
	elf->sections = sys.calloc(count, sizeof(*elf->sections));
	if (elf->sections == NULL)
		return error_nomem(error);
	reader_init(&r, bytes, count * sizeof(Elf64_Shdr), elf->source->name);
	for (; elf->count < count; elf->count++) {
		rc = read_section(&r, &elf->sections[elf->count], error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
load_headers(struct elf *elf, struct lf_error *error)
{
	const struct elf_source *source = elf->source;
	cleanup_free uint8_t *bytes = NULL;
	uint16_t entry_size, count;
	uint64_t offset;
	struct reader r;
	int rc;

	rc = load(source, "ELF header", 0, sizeof(Elf64_Ehdr), &bytes, error);
	if (rc < 0)
		return rc;
	if (bytes[EI_CLASS] != ELFCLASS64 || bytes[EI_DATA] != ELFDATA2LSB)
		return error_set(error, EBADMSG,
		    "%s: an ELF file, but not a 64-bit little-endian one",
		    source->name);
	reader_init(&r, bytes, sizeof(Elf64_Ehdr), source->name);
	if ((rc = reader_seek(&r, "e_shoff", 40, error)) < 0 ||
	    (rc = reader_le64(&r, "e_shoff", &offset, error)) < 0 ||
	    (rc = reader_seek(&r, "e_shentsize", 58, error)) < 0 ||
	    (rc = reader_le16(&r, "e_shentsize", &entry_size, error)) < 0 ||
	    (rc = reader_le16(&r, "e_shnum", &count, error)) < 0)
		return rc;
	if (offset == 0)
		return error_set(error, ENODATA,
		    "%s: an ELF file without section headers, so without "
		    "symbols",
		    source->name);
	if (entry_size != sizeof(Elf64_Shdr))
		return error_set(error, EBADMSG,
		    "%s: section headers of %u bytes, %zu wanted", source->name,
		    entry_size, sizeof(Elf64_Shdr));
	return load_sections(elf, offset, count, error);
}

/* The letter that nm prints. */
static char
type_letter(const struct elf *elf, unsigned info, uint16_t index)
{
	const struct section *section;
	char letter;

	if (ELF64_ST_BIND(info) == STB_WEAK)
		return ELF64_ST_TYPE(info) == STT_OBJECT ? 'V' : 'W';
	if (index == SHN_ABS)
		letter = 'A';
	else if (index == SHN_COMMON)
		letter = 'C';
	else if (index >= elf->count)
		letter = ELF64_ST_TYPE(info) == STT_FUNC ? 'T' : 'D';
	else {
		section = &elf->sections[index];
		if (section->flags & SHF_EXECINSTR)
			letter = 'T';
		else if (section->type == SHT_NOBITS)
			letter = 'B';
		else if (section->flags & SHF_WRITE)
			letter = 'D';
		else
			letter = 'R';
	}
	return ELF64_ST_BIND(info) == STB_LOCAL
		   ? (char)tolower((unsigned char)letter)
		   : letter;
}

static int
add_symbol(struct lf_symbols *symbols, const struct elf *elf, struct reader *r,
    const uint8_t *strings, uint64_t strings_len, struct lf_error *error)
{
	uint64_t value, size;
	uint16_t index;
	uint32_t name;
	uint8_t info;
	size_t len;
	int rc;

	if ((rc = reader_le32(r, "st_name", &name, error)) < 0 ||
	    (rc = reader_u8(r, "st_info", &info, error)) < 0 ||
	    (rc = reader_skip(r, "st_other", 1, error)) < 0 ||
	    (rc = reader_le16(r, "st_shndx", &index, error)) < 0 ||
	    (rc = reader_le64(r, "st_value", &value, error)) < 0 ||
	    (rc = reader_le64(r, "st_size", &size, error)) < 0)
		return rc;
	/* Only what has an address: a thread-local's value is an offset. */
	if (index == SHN_UNDEF || ELF64_ST_TYPE(info) == STT_SECTION ||
	    ELF64_ST_TYPE(info) == STT_FILE || ELF64_ST_TYPE(info) == STT_TLS)
		return 0;
	if (name >= strings_len)
		return error_set(error, EBADMSG,
		    "%s: symbol at 0x%zx: name at 0x%x of a string table of "
		    "0x%llx bytes",
		    r->name, r->pos - sizeof(Elf64_Sym), name,
		    (unsigned long long)strings_len);
	len = strnlen((const char *)strings + name, strings_len - name);
	if (len == strings_len - name)
		return error_set(error, EBADMSG,
		    "%s: symbol at 0x%zx: its name has no end", r->name,
		    r->pos - sizeof(Elf64_Sym));
	if (len == 0)
		return 0;
	return symbols_add(symbols,
	    &(struct symbol_source){.name = (const char *)strings + name,
		.name_len = len,
		.address = value,
		.size = size,
		.type = type_letter(elf, info, index)},
	    error);
}

static int
add_table(struct lf_symbols *symbols, const struct elf *elf,
    const struct section *table, struct lf_error *error)
{
	const struct elf_source *source = elf->source;
	cleanup_free uint8_t *bytes = NULL, *strings = NULL;
	const struct section *names;
	struct reader r;
	int rc;

	if (table->entry_size != sizeof(Elf64_Sym) ||
	    table->link >= elf->count ||
	    elf->sections[table->link].type != SHT_STRTAB)
		return error_set(error, EBADMSG,
		    "%s: symbol table with entries of %llu bytes and string "
		    "table %u",
		    source->name, (unsigned long long)table->entry_size,
		    table->link);
	names = &elf->sections[table->link];
	if (table->size / sizeof(Elf64_Sym) > SYMBOLS_MAX ||
	    names->size > STRINGS_MAX)
		return error_set(error, EFBIG,
		    "%s: symbol table of 0x%llx bytes with 0x%llx bytes of "
		    "names",
		    source->name, (unsigned long long)table->size,
		    (unsigned long long)names->size);
	rc = load(
	    source, "symbol table", table->offset, table->size, &bytes, error);
	if (rc == 0)
		rc = load(source, "symbol names", names->offset, names->size,
		    &strings, error);
	if (rc < 0)
		return rc;
	reader_init(&r, bytes, table->size, source->name);
	while (rc == 0 && reader_left(&r) >= sizeof(Elf64_Sym))
		rc = add_symbol(symbols, elf, &r, strings, names->size, error);
	return rc;
}

static const struct section *
section_of_type(const struct elf *elf, uint32_t type)
{
	size_t i;

	for (i = 0; i < elf->count; i++)
		if (elf->sections[i].type == type)
			return &elf->sections[i];
	return NULL;
}

int
symbols_add_elf(struct lf_symbols *symbols, const struct elf_source *source,
    struct lf_error *error)
{
	struct elf elf = {.source = source};
	const struct section *table;
	int rc;

	rc = load_headers(&elf, error);
	if (rc < 0)
		goto out;
	table = section_of_type(&elf, SHT_SYMTAB);
	if (table == NULL)
		table = section_of_type(&elf, SHT_DYNSYM);
	if (table == NULL)
		rc = error_set(error, ENODATA,
		    "%s: an ELF file without a symbol table (stripped)",
		    source->name);
	else
		rc = add_table(symbols, &elf, table, error);
out:
	free(elf.sections);
	return rc;
}
