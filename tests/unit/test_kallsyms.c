/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmi/ kallsyms: tables made here in every order and form, found in a
 * pretended guest memory; and the same damaged byte by byte.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fault.h"
#include "vmi/kallsyms.h"

#define MEMORY  (256U << 10)
#define SYMBOLS 700U
#define BASE    UINT64_C(0xffffffff9a000000)

/* Where the tables begin in memory. */
#define PLACE 0x10000U

enum form {
	ORDER_OLD,       /* to 6.3 */
	ORDER_NEW,       /* from 6.4 */
	ORDER_NEW_PLAIN, /* from 6.15: offsets only count up */
};

static uint8_t memory[MEMORY];
static size_t at;

static int
read_memory(void *opaque, uint64_t gpa, void *buf, size_t len)
{
	(void)opaque;
	if (gpa > MEMORY || len > MEMORY - gpa)
		return -EFAULT;
	memcpy(buf, memory + gpa, len);
	return 0;
}

static const struct lf_guest_range range = {0, MEMORY};
static const struct lf_guest_memory guest = {
    .read = read_memory, .ranges = &range, .range_count = 1};

static void
put(uint64_t value, size_t bytes)
{
	for (; bytes > 0; bytes--, value >>= 8)
		memory[at++] = value;
}

static void
align(void)
{
	while (at % 8 != 0)
		put(0, 1);
}

static uint64_t
address_of(unsigned i, enum form form)
{
	if (i < 3 && form != ORDER_NEW_PLAIN)
		return i * 0x1000;
	return BASE + i * 0x40;
}

/* The name of a symbol, its type first; one is longer than 127 bytes. */
static size_t
name_of(unsigned i, char *buf, size_t size)
{
	if (i == 650)
		return snprintf(buf, size, "T%0150d", 7);
	return snprintf(buf, size, "%c%ssymbol_%u", i < 3 ? 'A' : 't',
	    i % 2 == 0 ? "kernel_" : "", i);
}

static void
put_offsets(enum form form)
{
	unsigned i;

	for (i = 0; i < SYMBOLS; i++) {
		uint64_t address = address_of(i, form);

		if (form == ORDER_NEW_PLAIN)
			put(address - BASE, 4);
		else if (address < BASE)
			put(address, 4);
		else
			put(BASE - address - 1, 4);
	}
	align();
	put(BASE, 8);
}

/* Token 1 stands for "kernel_", 2 for "symbol_", the others for themselves. */
static const char *
token(unsigned i, char *buf)
{
	if (i == 1)
		return "kernel_";
	if (i == 2)
		return "symbol_";
	buf[0] = i > 0x20 && i < 0x7f ? i : '\0';
	buf[1] = '\0';
	return buf;
}

static void
put_name(unsigned i)
{
	char text[256], packed[256];
	size_t len = name_of(i, text, sizeof(text)), from, to = 0;

	for (from = 0; from < len; from++) {
		if (strncmp(text + from, "kernel_", 7) == 0) {
			packed[to++] = 1;
			from += 6;
		} else if (strncmp(text + from, "symbol_", 7) == 0) {
			packed[to++] = 2;
			from += 6;
		} else
			packed[to++] = text[from];
	}
	if (to > 127) {
		put((to & 0x7f) | 0x80, 1);
		put(to >> 7, 1);
	} else
		put(to, 1);
	for (from = 0; from < to; from++)
		put(packed[from], 1);
}

static void
make_tables(enum form form)
{
	uint32_t markers[SYMBOLS / 256 + 1], index[256];
	unsigned i;
	size_t start;
	char buf[2];

	memset(memory, 0, sizeof(memory));
	/* Memory is never empty around the tables. */
	for (at = 0; at < MEMORY; at++)
		memory[at] = at * 2654435761U >> 13;
	at = PLACE;
	if (form == ORDER_OLD)
		put_offsets(form);
	put(SYMBOLS, 4);
	align();
	start = at;
	for (i = 0; i < SYMBOLS; i++) {
		if (i % 256 == 0)
			markers[i / 256] = at - start;
		put_name(i);
	}
	align();
	for (i = 0; i < (SYMBOLS + 255) / 256; i++)
		put(markers[i], 4);
	align();
	/* From 6.2 on something else comes between them. */
	if (form == ORDER_OLD)
		for (i = 0; i < SYMBOLS; i++)
			put(i, 3);
	align();
	start = at;
	for (i = 0; i < 256; i++) {
		const char *text = token(i, buf);

		index[i] = at - start;
		memcpy(memory + at, text, strlen(text) + 1);
		at += strlen(text) + 1;
	}
	align();
	for (i = 0; i < 256; i++)
		put(index[i], 2);
	if (form != ORDER_OLD)
		put_offsets(form);
	cr_assert_lt(at, (size_t)MEMORY);
}

static void
check_tables(enum form form)
{
	struct kallsyms tables = {0};
	struct lf_symbol symbol;
	struct lf_error error;
	struct kallsyms_search search;
	char text[256];
	unsigned i;

	kallsyms_search_init(&search);
	cr_assert_eq(kallsyms_find(&guest, &search, &tables, &error), 0,
	    "form %d: %s", form, error.message);
	cr_assert_eq(tables.count, SYMBOLS);
	for (i = 0; i < SYMBOLS; i++) {
		lf_symbols_get(tables.symbols, i, &symbol);
		name_of(i, text, sizeof(text));
		cr_assert_eq(symbol.address, address_of(i, form));
		cr_assert_str_eq(symbol.name, text + 1);
		cr_assert_eq(symbol.type, text[0]);
	}
	lf_symbols_free(tables.symbols);
	cr_assert_eq(kallsyms_find(&guest, &search, &tables, &error), -ENOENT,
	    "there is one set of tables");
}

Test(kallsyms, the_order_up_to_6_3_is_found)
{
	make_tables(ORDER_OLD);
	check_tables(ORDER_OLD);
}

Test(kallsyms, the_order_from_6_4_is_found)
{
	make_tables(ORDER_NEW);
	check_tables(ORDER_NEW);
}

Test(kallsyms, offsets_that_only_count_up_are_understood)
{
	make_tables(ORDER_NEW_PLAIN);
	check_tables(ORDER_NEW_PLAIN);
}

Test(kallsyms, memory_without_a_kernel_is_refused)
{
	struct kallsyms tables;
	struct lf_error error;
	struct kallsyms_search search;

	kallsyms_search_init(&search);
	cr_assert_eq(kallsyms_find(&guest, &search, &tables, &error), -ENOENT);
	cr_assert_str_eq(error.message,
	    "no kallsyms tables of a Linux kernel in guest memory");
}

/* Token tables alone, as many as fit, with nothing else around them. */
Test(kallsyms, a_guest_full_of_what_looks_like_tables_is_given_up)
{
	struct kallsyms_search search;
	struct kallsyms tables;
	struct lf_error error;
	size_t start, len;

	make_tables(ORDER_OLD);
	for (start = at - 512; memory[start - 1] != 0x7f; start--)
		if (memcmp(memory + start, "\0kernel_\0symbol_", 16) == 0)
			break;
	len = at - start;
	cr_assert_lt(len, 2048);
	len = (len + 7) & ~(size_t)7;
	memmove(memory, memory + at - len, len);
	for (at = len; at + len <= MEMORY; at += len)
		memcpy(memory + at, memory, len);
	memset(memory + at, 0, MEMORY - at);
	kallsyms_search_init(&search);
	cr_assert_eq(kallsyms_find(&guest, &search, &tables, &error), -ENOENT);
	cr_assert_not_null(
	    strstr(error.message, "was given up at"), "%s", error.message);
}

/* Whatever is changed: tables that hold together, or none. */
Test(kallsyms, damaged_tables_are_found_whole_or_not_at_all)
{
	static uint8_t good[MEMORY];
	struct kallsyms tables;
	struct lf_error error;
	struct kallsyms_search search;
	size_t end, i, lost = 0, tried = 0;
	int form;

	for (form = ORDER_OLD; form <= ORDER_NEW_PLAIN; form++) {
		make_tables(form);
		memcpy(good, memory, sizeof(good));
		end = at;
		for (i = PLACE; i < end; i += 7) {
			memory[i] ^= 1 << i % 8;
			kallsyms_search_init(&search);
			tried++;
			if (kallsyms_find(&guest, &search, &tables, &error) < 0)
				lost++;
			else {
				cr_assert_gt(
				    lf_symbols_count(tables.symbols), 0);
				lf_symbols_free(tables.symbols);
			}
			memory[i] = good[i];
		}
	}
	cr_assert_gt(tried, 1000);
	cr_assert_gt(lost, tried / 20);
}

Test(kallsyms, every_failing_call_is_an_error_and_leaks_nothing)
{
	struct kallsyms tables;
	struct lf_error error;
	struct kallsyms_search search;
	int rc;

	make_tables(ORDER_NEW);
	FAULT_LOOP(fault)
	{
		kallsyms_search_init(&search);
		rc = kallsyms_find(&guest, &search, &tables, &error);
		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "%s", fault.name);
		if (rc == 0)
			lf_symbols_free(tables.symbols);
	}
}
