/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmi/ symbols: the three formats, look-ups both ways, and what is said about
 * names that are not there.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libfork/symbols.h>

#include "base/cleanup.h"
#include "lib/fault.h"

static const char nm_text[] = "0000000000001000 T start\n"
			      "                 U puts\n"
			      "                 w __gmon_start__\n"
			      "\n"
			      "0000000000001010 t helper\n"
			      "0000000000001010 T helper_alias\n"
			      "0000000000001020 W weak_one\n"
			      "0000000000001030 t twice\n"
			      "0000000000001040 t twice\n"
			      "0000000000001050 D data with spaces(int, char)\n"
			      "00001060 00000004 d sized\n";

static const char kallsyms_text[] =
    "0000000000000000 A fixed_percpu_data\n"
    "0000000000001f00 A cpu_debug_store\n"
    "ffffffff81000000 T _text\n"
    "ffffffff81003ef0 T do_syscall_64\n"
    "ffffffff81003f90 t do_syscall_64.cold\n"
    "ffffffff81004000 T do_int80_syscall_32\n"
    "ffffffffc0000000 t init_one\t[virtio_net]\n"
    "ffffffffc0000100 t init_two\t[virtio_net]\n";

static int
bytes_fd(const void *bytes, size_t len)
{
	int fd = memfd_create("symbols", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, bytes, len, 0), (ssize_t)len);
	return fd;
}

static int
read_bytes(const void *bytes, size_t len, uint64_t slide,
    struct lf_symbols **ret_symbols, struct lf_error *error)
{
	cleanup_close int fd = bytes_fd(bytes, len);

	return lf_symbols_read(fd, "symbols.map", slide, ret_symbols, error);
}

static struct lf_symbols *
from_text(const char *text, uint64_t slide)
{
	struct lf_symbols *symbols = NULL;
	struct lf_error error;

	cr_assert_eq(read_bytes(text, strlen(text), slide, &symbols, &error), 0,
	    "%s", error.message);
	return symbols;
}

Test(symbols, what_nm_prints_is_read)
{
	struct lf_symbols *symbols = from_text(nm_text, 0);
	struct lf_symbol symbol;

	cr_assert_eq(lf_symbols_count(symbols), 8);
	cr_assert_eq(lf_symbols_lookup(symbols, "start", &symbol, NULL), 0);
	cr_assert_eq(symbol.address, 0x1000);
	cr_assert_eq(symbol.type, 'T');
	cr_assert_null(symbol.module);
	cr_assert_eq(lf_symbols_lookup(symbols, "sized", &symbol, NULL), 0);
	cr_assert_eq(symbol.address, 0x1060);
	cr_assert_eq(symbol.size, 4);
	cr_assert_eq(lf_symbols_lookup(
			 symbols, "data with spaces(int, char)", &symbol, NULL),
	    0);
	cr_assert_eq(lf_symbols_lookup(symbols, "puts", &symbol, NULL), -ENOENT,
	    "an undefined symbol has no address");
	lf_symbols_free(symbols);
}

Test(symbols, proc_kallsyms_names_its_modules_and_per_cpu_offsets_do_not_slide)
{
	struct lf_symbols *symbols = from_text(kallsyms_text, 0x1a000000);
	struct lf_symbol symbol;
	char text[64];

	cr_assert_eq(lf_symbols_lookup(symbols, "_text", &symbol, NULL), 0);
	cr_assert_eq(symbol.address, 0xffffffff9b000000);
	cr_assert_eq(
	    lf_symbols_lookup(symbols, "cpu_debug_store", &symbol, NULL), 0);
	cr_assert_eq(symbol.address, 0x1f00);
	cr_assert_eq(lf_symbols_lookup(symbols, "init_two", &symbol, NULL), 0);
	cr_assert_str_eq(symbol.module, "virtio_net");
	cr_assert_str_eq(
	    lf_symbols_format(symbols, 0xffffffffda000104, text, sizeof(text)),
	    "init_two+0x4 [virtio_net]");
	lf_symbols_free(symbols);
}

Test(symbols, an_address_belongs_to_the_last_symbol_below_it)
{
	struct lf_symbols *symbols = from_text(nm_text, 0);
	struct lf_symbol symbol;

	cr_assert_eq(lf_symbols_find(symbols, 0xfff, &symbol), -ENOENT);
	cr_assert_eq(lf_symbols_find(symbols, 0x100f, &symbol), 0);
	cr_assert_str_eq(symbol.name, "start");
	cr_assert_eq(lf_symbols_find(symbols, 0x1011, &symbol), 0);
	cr_assert_str_eq(
	    symbol.name, "helper_alias", "a global name is preferred");
	cr_assert_eq(lf_symbols_find(symbols, 0x1063, &symbol), 0);
	cr_assert_str_eq(symbol.name, "sized");
	cr_assert_eq(lf_symbols_find(symbols, 0x1064, &symbol), 0,
	    "past a sized symbol the one around it is found");
	cr_assert_str_eq(symbol.name, "data with spaces(int, char)");
	cr_assert_eq(
	    lf_symbols_find(symbols, 0x1060 + (2 << 20), &symbol), -ENOENT);
	cr_assert_eq(lf_symbols_find(symbols, UINT64_MAX, &symbol), -ENOENT);
	lf_symbols_free(symbols);
}

Test(symbols, every_symbol_is_found_again_by_its_address)
{
	struct lf_symbols *symbols = from_text(kallsyms_text, 0);
	struct lf_symbol one, other;
	uint64_t last = 0;
	size_t i;

	for (i = 0; i < lf_symbols_count(symbols); i++) {
		lf_symbols_get(symbols, i, &one);
		cr_assert_geq(one.address, last);
		last = one.address;
		cr_assert_eq(lf_symbols_find(symbols, one.address, &other), 0);
		cr_assert_str_eq(one.name, other.name);
	}
	lf_symbols_free(symbols);
}

Test(symbols, a_misspelt_name_shows_the_nearest)
{
	struct lf_symbols *symbols = from_text(kallsyms_text, 0);
	struct lf_symbol symbol;
	struct lf_error error;
	const char *names[1];

	cr_assert_eq(
	    lf_symbols_lookup(symbols, "do_sycsall_64", &symbol, &error),
	    -ENOENT);
	cr_assert_str_eq(error.message,
	    "no symbol 'do_sycsall_64' in 'symbols.map'; nearest: "
	    "do_syscall_64");
	cr_assert_eq(
	    lf_symbols_lookup(symbols, "do_syscal_64", &symbol, &error),
	    -ENOENT);
	cr_assert_eq(
	    lf_symbols_lookup(symbols, "nothing like it", &symbol, &error),
	    -ENOENT);
	cr_assert_str_eq(
	    error.message, "no symbol 'nothing like it' in 'symbols.map'");
	cr_assert_eq(lf_symbols_nearest(symbols, "", names, 1), 0);
	cr_assert_eq(lf_symbols_nearest(symbols, "_text", names, 0), 0);
	cr_assert_eq(lf_symbols_nearest(symbols, "init_tw", names, 1), 1);
	cr_assert_str_eq(names[0], "init_two");
	lf_symbols_free(symbols);
}

Test(symbols, what_the_compiler_made_of_a_name_is_near_it)
{
	struct lf_symbols *symbols =
	    from_text("0000000000001000 t parse.constprop.0\n", 0);
	struct lf_symbol symbol;
	struct lf_error error;

	cr_assert_eq(
	    lf_symbols_lookup(symbols, "parse", &symbol, &error), -ENOENT);
	cr_assert_str_eq(error.message,
	    "no symbol 'parse' in 'symbols.map'; nearest: parse.constprop.0");
	lf_symbols_free(symbols);
}

Test(symbols, a_name_with_several_addresses_is_refused_with_them)
{
	struct lf_symbols *symbols = from_text(nm_text, 0);
	struct lf_symbol symbol;
	struct lf_error error;

	cr_assert_eq(
	    lf_symbols_lookup(symbols, "twice", &symbol, &error), -ENOTUNIQ);
	cr_assert_str_eq(error.message,
	    "symbol 'twice' in 'symbols.map' is at 2 addresses (0x1030, "
	    "0x1040): give one of them instead");
	lf_symbols_free(symbols);
	symbols = from_text("0000000000001000 t same\n"
			    "0000000000001000 t same\n",
	    0);
	cr_assert_eq(lf_symbols_lookup(symbols, "same", &symbol, &error), 0,
	    "twice at one address is one answer");
	lf_symbols_free(symbols);
}

Test(symbols, an_address_is_a_number_a_name_or_a_name_with_an_offset)
{
	struct lf_symbols *symbols = from_text(kallsyms_text, 0);
	static const struct {
		const char *text;
		int rc;
		uint64_t address;
	} cases[] = {
	    {"0x1234", 0, 0x1234},
	    {"4096", 0, 4096},
	    {"0xffffffffffffffff", 0, UINT64_MAX},
	    {"do_syscall_64", 0, 0xffffffff81003ef0},
	    {"do_syscall_64+0x10", 0, 0xffffffff81003f00},
	    {"do_syscall_64+16", 0, 0xffffffff81003f00},
	    {"0x", -EINVAL, 0},
	    {"0x12345678123456789", -EINVAL, 0},
	    {"12ab", -EINVAL, 0},
	    {"do_syscall_64+1x", -EINVAL, 0},
	    {"", -ENOENT, 0},
	    {"-1", -ENOENT, 0},
	    {"do_syscall_64+", -ENOENT, 0},
	};
	struct lf_error error;
	uint64_t address;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		address = 0;
		cr_expect_eq(lf_symbols_resolve(
				 symbols, cases[i].text, &address, &error),
		    cases[i].rc, "'%s'", cases[i].text);
		cr_expect_eq(address, cases[i].address, "'%s'", cases[i].text);
	}
	cr_assert_eq(lf_symbols_resolve(NULL, "0x10", &address, &error), 0);
	cr_assert_eq(
	    lf_symbols_resolve(NULL, "main", &address, &error), -ENOENT);
	cr_assert_str_eq(error.message,
	    "symbol 'main': no symbol table was given; give one, or an "
	    "address");
	lf_symbols_free(symbols);
}

Test(symbols, a_text_that_is_no_table_is_refused_with_the_line)
{
	static const struct {
		const char *text, *message;
		int rc;
	} cases[] = {
	    {"0000000000001000 T a\nhello world\n",
		"symbols 'symbols.map': line 2: 'ADDRESS TYPE NAME' wanted, "
		"as nm prints it, but it is 'hello world'",
		-EBADMSG},
	    {"0000000000001000 T\n",
		"symbols 'symbols.map': line 1: 'ADDRESS TYPE NAME' wanted, "
		"as nm prints it, but it is '0000000000001000 T'",
		-EBADMSG},
	    {"0000000000001000 T a\x01z\n",
		"symbols 'symbols.map': line 1: symbols in 'symbols.map': "
		"control character 0x01 in name 'a?z'",
		-EBADMSG},
	    {"", "no symbols in 'symbols.map'", -ENODATA},
	    {"                 U puts\n", "no symbols in 'symbols.map'",
		-ENODATA},
	    {"0000000000000000 T _text\n0000000000000000 T x\n",
		"symbols in 'symbols.map': every address is 0; copy the "
		"guest's /proc/kallsyms as root, with kernel.kptr_restrict "
		"at 0",
		-ENODATA},
	};
	struct lf_symbols *symbols = NULL;
	struct lf_error error;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(read_bytes(cases[i].text, strlen(cases[i].text), 0,
				 &symbols, &error),
		    cases[i].rc);
		cr_expect_str_eq(error.message, cases[i].message);
		cr_assert_null(symbols);
	}
	cr_assert_eq(
	    lf_symbols_open("/nonexistent/map", 0, &symbols, &error), -ENOENT);
	cr_assert_str_eq(error.message,
	    "cannot open symbols '/nonexistent/map': No such file or "
	    "directory");
}

/* A small ELF file: null, strings, symbols; two functions and a file name. */
struct small_elf {
	Elf64_Ehdr header;
	Elf64_Shdr sections[4];
	Elf64_Sym symbols[5];
	char strings[32];
};

static void
make_elf(struct small_elf *elf)
{
	static const char strings[] = "\0first\0second\0file.c\0weak";

	memset(elf, 0, sizeof(*elf));
	memcpy(elf->header.e_ident, ELFMAG, SELFMAG);
	elf->header.e_ident[EI_CLASS] = ELFCLASS64;
	elf->header.e_ident[EI_DATA] = ELFDATA2LSB;
	elf->header.e_shoff = offsetof(struct small_elf, sections);
	elf->header.e_shentsize = sizeof(Elf64_Shdr);
	elf->header.e_shnum = 4;
	elf->sections[1] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
	    .sh_offset = offsetof(struct small_elf, strings),
	    .sh_size = sizeof(elf->strings)};
	elf->sections[2] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
	    .sh_offset = offsetof(struct small_elf, symbols),
	    .sh_size = sizeof(elf->symbols),
	    .sh_link = 1,
	    .sh_entsize = sizeof(Elf64_Sym)};
	elf->sections[3] = (Elf64_Shdr){
	    .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR};
	elf->symbols[1] = (Elf64_Sym){.st_name = 1,
	    .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
	    .st_shndx = 3,
	    .st_value = 0x400,
	    .st_size = 0x20};
	elf->symbols[2] = (Elf64_Sym){.st_name = 7,
	    .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
	    .st_shndx = 3,
	    .st_value = 0x420,
	    .st_size = 8};
	elf->symbols[3] = (Elf64_Sym){.st_name = 14,
	    .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FILE),
	    .st_shndx = SHN_ABS};
	elf->symbols[4] = (Elf64_Sym){.st_name = 21,
	    .st_info = ELF64_ST_INFO(STB_WEAK, STT_FUNC),
	    .st_shndx = 3,
	    .st_value = 0x500};
	memcpy(elf->strings, strings, sizeof(strings));
}

Test(symbols, an_elf_file_is_read_with_sizes_and_types)
{
	struct lf_symbols *symbols = NULL;
	struct lf_symbol symbol;
	struct small_elf elf;

	make_elf(&elf);
	cr_assert_eq(read_bytes(&elf, sizeof(elf), 0x10000, &symbols, NULL), 0);
	cr_assert_eq(lf_symbols_count(symbols), 3);
	cr_assert_eq(lf_symbols_lookup(symbols, "second", &symbol, NULL), 0);
	cr_assert_eq(symbol.address, 0x10420);
	cr_assert_eq(symbol.size, 8);
	cr_assert_eq(symbol.type, 't');
	cr_assert_eq(lf_symbols_lookup(symbols, "weak", &symbol, NULL), 0);
	cr_assert_eq(symbol.type, 'W');
	cr_assert_eq(lf_symbols_find(symbols, 0x1041f, &symbol), 0);
	cr_assert_str_eq(symbol.name, "first");
	cr_assert_eq(lf_symbols_find(symbols, 0x10428, &symbol), -ENOENT);
	lf_symbols_free(symbols);
}

Test(symbols, an_elf_file_through_a_pipe_is_read_too)
{
	struct lf_symbols *symbols = NULL;
	struct small_elf elf;
	int ends[2];

	make_elf(&elf);
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(write(ends[1], &elf, sizeof(elf)), sizeof(elf));
	close(ends[1]);
	cr_assert_eq(lf_symbols_read(ends[0], "pipe", 0, &symbols, NULL), 0);
	cr_assert_eq(lf_symbols_count(symbols), 3);
	lf_symbols_free(symbols);
	close(ends[0]);
}

/* Every byte changed to a few values: an error or a table, nothing else. */
Test(symbols, a_damaged_elf_file_is_an_error_or_a_table)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct small_elf elf;
	uint8_t *bytes = (uint8_t *)&elf;
	struct lf_symbols *symbols;
	struct lf_error error;
	size_t i, j, refused = 0;

	for (i = 4; i < sizeof(elf); i++) {
		for (j = 0; j < sizeof(values); j++) {
			make_elf(&elf);
			bytes[i] = values[j];
			symbols = NULL;
			lf_error_clear(&error);
			if (read_bytes(&elf, sizeof(elf), 0, &symbols, &error) <
			    0) {
				cr_assert_neq(error.message[0], '\0');
				refused++;
			}
			lf_symbols_free(symbols);
		}
	}
	cr_assert_gt(refused, 50);
	make_elf(&elf);
	for (i = 0; i < sizeof(elf) - sizeof(elf.strings); i++) {
		symbols = NULL;
		cr_assert_lt(read_bytes(&elf, i, 0, &symbols, &error), 0,
		    "cut at %zu", i);
	}
}

Test(symbols, an_elf_file_of_another_kind_or_stripped_is_refused)
{
	struct lf_symbols *symbols = NULL;
	struct lf_error error;
	struct small_elf elf;

	make_elf(&elf);
	elf.header.e_ident[EI_CLASS] = ELFCLASS32;
	cr_assert_eq(
	    read_bytes(&elf, sizeof(elf), 0, &symbols, &error), -EBADMSG);
	cr_assert_str_eq(error.message,
	    "symbols.map: an ELF file, but not a 64-bit little-endian one");
	make_elf(&elf);
	elf.sections[2].sh_type = SHT_PROGBITS;
	cr_assert_eq(
	    read_bytes(&elf, sizeof(elf), 0, &symbols, &error), -ENODATA);
	cr_assert_str_eq(error.message,
	    "symbols.map: an ELF file without a symbol table (stripped)");
}

Test(symbols, this_program_knows_its_own_addresses)
{
	struct lf_symbols *symbols = NULL;
	struct lf_symbol symbol;
	struct lf_error error;
	uint64_t slide;

	cr_assert_eq(lf_symbols_open("/proc/self/exe", 0, &symbols, &error), 0,
	    "%s", error.message);
	cr_assert_eq(
	    lf_symbols_lookup(symbols, "lf_symbols_open", &symbol, &error), 0);
	slide = (uintptr_t)lf_symbols_open - symbol.address;
	lf_symbols_free(symbols);
	cr_assert_eq(
	    lf_symbols_open("/proc/self/exe", slide, &symbols, &error), 0);
	cr_assert_eq(lf_symbols_find(
			 symbols, (uintptr_t)lf_symbols_resolve + 3, &symbol),
	    0);
	cr_assert_str_eq(symbol.name, "lf_symbols_resolve");
	lf_symbols_free(symbols);
}

Test(symbols, every_failing_call_is_an_error_and_leaks_nothing)
{
	struct lf_symbols *symbols;
	struct lf_error error;
	struct small_elf elf;
	unsigned kind;
	int rc, fd;

	make_elf(&elf);
	for (kind = 0; kind < 2; kind++) {
		fd = kind == 0 ? bytes_fd(nm_text, strlen(nm_text))
			       : bytes_fd(&elf, sizeof(elf));
		FAULT_LOOP(fault)
		{
			symbols = NULL;
			lf_error_clear(&error);
			rc = lf_symbols_read(fd, "f", 0, &symbols, &error);
			fault_end(&fault);
			if (fault.hit) {
				cr_assert_lt(rc, 0, "%s", fault.name);
				cr_assert_neq(error.message[0], '\0');
				cr_assert_null(symbols);
			} else
				cr_assert_eq(rc, 0);
			lf_symbols_free(symbols);
			cr_assert_eq(
			    fault_open_descriptors(), fault.descriptors);
		}
		close(fd);
	}
}
