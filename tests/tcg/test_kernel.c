/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Linux guest's kernel found in its RAM: symbols, structures and log are
 * compared with what the guest itself says of them. The kernel is 6.1; the
 * order of tables that came with 6.4 is tried on a copy rearranged here.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <libfork/vmi.h>

#include "tcg/linux_guest.h"
#include "vmi/kallsyms.h"

static struct linux_guest guest;

static int
read_bytes(void *opaque, uint64_t gpa, void *buf, size_t len)
{
	const uint8_t *ram = opaque;

	if (gpa > LINUX_GUEST_RAM || len > LINUX_GUEST_RAM - gpa)
		return -EFAULT;
	memcpy(buf, ram + gpa, len);
	return 0;
}

static const struct lf_guest_range range = {0, LINUX_GUEST_RAM};

static struct lf_guest_memory
memory_of(uint8_t *ram)
{
	return (struct lf_guest_memory){.opaque = ram,
	    .read = read_bytes,
	    .ranges = &range,
	    .range_count = 1};
}

static struct lf_kernel *
find_kernel(uint8_t *ram)
{
	const struct lf_guest_memory memory = memory_of(ram);
	struct lf_kernel *kernel = NULL;
	struct lf_error error;

	cr_assert_eq(
	    lf_kernel_find(&memory, &kernel, &error), 0, "%s", error.message);
	return kernel;
}

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/*
 * The lines of a text, sorted, without what BPF and tracing make up. A
 * module's symbols have small letters here: the guest shows capitals for
 * those that the module exports.
 */
static size_t
sorted_lines(char *text, char **lines, size_t max)
{
	size_t count = 0;
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (*line == '\0' || strstr(line, "\t[bpf]") != NULL ||
		    strstr(line, "\t[__builtin__") != NULL)
			continue;
		if (strchr(line, '\t') != NULL)
			line[17] = tolower((unsigned char)line[17]);
		cr_assert_lt(count, max);
		lines[count++] = line;
	}
	qsort(lines, count, sizeof(*lines), compare_lines);
	return count;
}

/* Every symbol, address and type of the guest's own list and no others. */
static void
check_symbols(const struct lf_symbols *symbols, const char *kallsyms)
{
	size_t count = lf_symbols_count(symbols), i, guest_count;
	size_t modules = 0;
	char **ours = calloc(count, sizeof(*ours));
	char **theirs = calloc(1 << 18, sizeof(*theirs));
	char *text = strdup(kallsyms);
	struct lf_symbol symbol;

	cr_assert_gt(count, 50000);
	for (i = 0; i < count; i++) {
		lf_symbols_get(symbols, i, &symbol);
		cr_assert_geq(
		    asprintf(&ours[i], "%016llx %c %s%s%s%s",
			(unsigned long long)symbol.address,
			symbol.module != NULL ? tolower(symbol.type)
					      : symbol.type,
			symbol.name, symbol.module != NULL ? "\t[" : "",
			symbol.module != NULL ? symbol.module : "",
			symbol.module != NULL ? "]" : ""),
		    0);
		modules += symbol.module != NULL;
	}
	qsort(ours, count, sizeof(*ours), compare_lines);
	guest_count = sorted_lines(text, theirs, 1 << 18);
	cr_assert_eq(count, guest_count);
	cr_assert_gt(modules, 100, "the guest has virtio's modules");
	for (i = 0; i < count; i++)
		cr_assert_str_eq(ours[i], theirs[i]);
	for (i = 0; i < count; i++)
		free(ours[i]);
	free(ours);
	free(theirs);
	free(text);
}

static uint32_t
offset_of(struct lf_kernel *kernel, const char *type, const char *member)
{
	struct lf_kernel_member found = {0};
	struct lf_error error;

	cr_assert_eq(lf_kernel_member(kernel, type, member, &found, &error), 0,
	    "%s", error.message);
	return found.bit_offset / 8;
}

/*
 * Structures: the kernel's list of processes, walked from init_task with
 * offsets from BTF, has every process that the guest's ps shows.
 */
static void
check_processes(struct lf_kernel *kernel, const char *ps)
{
	uint32_t tasks = offset_of(kernel, "task_struct", "tasks");
	uint32_t comm = offset_of(kernel, "task_struct", "comm");
	uint32_t pid = offset_of(kernel, "task_struct", "pid");
	struct lf_symbol init;
	struct lf_error error;
	uint64_t at;
	uint32_t size;
	unsigned count = 0;
	char name[17] = "", line[64];
	int32_t number;

	cr_assert_eq(
	    lf_kernel_type_size(kernel, "list_head", &size, &error), 0);
	cr_assert_eq(size, 16);
	cr_assert_eq(
	    lf_kernel_type_size(kernel, "task_struct", &size, &error), 0);
	cr_assert_gt(size, comm + 16);
	cr_assert_eq(
	    lf_kernel_type_size(kernel, "no_such_struct", &size, &error),
	    -ENOENT);
	cr_assert_not_null(
	    strstr(error.message, "no_such_struct"), "%s", error.message);

	cr_assert_eq(lf_symbols_lookup(
			 lf_kernel_symbols(kernel), "init_task", &init, NULL),
	    0);
	cr_assert_eq(
	    lf_kernel_read(kernel, init.address + comm, name, 16, NULL), 0);
	cr_assert_eq(strncmp(name, "swapper", 7), 0, "'%s'", name);
	at = init.address;
	for (;;) {
		cr_assert_eq(
		    lf_kernel_read(kernel, at + tasks, &at, 8, NULL), 0);
		at -= tasks;
		if (at == init.address)
			break;
		cr_assert_lt(++count, 1000);
		cr_assert_eq(
		    lf_kernel_read(kernel, at + comm, name, 16, NULL), 0);
		cr_assert_eq(
		    lf_kernel_read(kernel, at + pid, &number, 4, NULL), 0);
		snprintf(line, sizeof(line), "%d %s\n", number, name);
		if (strstr(ps, line) == NULL)
			count--;
	}
	cr_assert_gt(count, 20, "%u processes of\n%s", count, ps);
}

static void
check_log(struct lf_kernel *kernel, const char *dmesg)
{
	struct lf_error error;
	char *text = NULL, *tail = NULL;

	cr_assert_eq(
	    lf_kernel_log(kernel, 0, &text, &error), 0, "%s", error.message);
	cr_assert_gt(strlen(dmesg), 10000);
	/* The guest may have logged more since. */
	cr_assert_eq(strncmp(text, dmesg, strlen(dmesg)), 0);
	cr_assert_eq(lf_kernel_log(kernel, 3, &tail, &error), 0);
	cr_assert_str_eq(text + strlen(text) - strlen(tail), tail);
	cr_assert_eq(strchr(strchr(tail, '\n') + 1, '\n') == NULL, false);
	free(text);
	free(tail);
}

static uint8_t *
copy_of_ram(void)
{
	uint8_t *copy = mmap(NULL, LINUX_GUEST_RAM, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE, guest.ram_fd, 0);

	cr_assert_neq(copy, MAP_FAILED);
	return copy;
}

/* [offsets, base][num_syms ... token_index] becomes the other way round. */
static void
check_order_of_6_4(const char *kallsyms)
{
	uint8_t *ram = copy_of_ram(), *first;
	const struct lf_guest_memory memory = memory_of(ram);
	struct kallsyms tables;
	struct lf_kernel *kernel;
	size_t one, two;
	struct kallsyms_search search;
	uint64_t from;

	kallsyms_search_init(&search);
	cr_assert_eq(kallsyms_find(&memory, &search, &tables, NULL), 0);
	cr_assert_lt(tables.offsets, tables.num_syms,
	    "the guest's kernel has the new order itself");
	from = tables.offsets;
	one = tables.num_syms - from;
	two = tables.token_index + 512 - tables.num_syms;
	first = malloc(one);
	cr_assert_not_null(first);
	memcpy(first, ram + from, one);
	memmove(ram + from, ram + from + one, two);
	memcpy(ram + from + two, first, one);
	free(first);
	lf_symbols_free(tables.symbols);

	kallsyms_search_init(&search);
	cr_assert_eq(kallsyms_find(&memory, &search, &tables, NULL), 0);
	cr_assert_gt(tables.offsets, tables.num_syms);
	lf_symbols_free(tables.symbols);
	kernel = find_kernel(ram);
	check_symbols(lf_kernel_symbols(kernel), kallsyms);
	lf_kernel_free(kernel);
	munmap(ram, LINUX_GUEST_RAM);
}

/* A kernel that does not run is not taken for the one that does. */
static void
check_a_copy_is_passed_over(const char *kallsyms, const char *dmesg)
{
	uint8_t *ram = copy_of_ram();
	const struct lf_guest_memory memory = memory_of(ram);
	struct kallsyms tables;
	struct lf_kernel *kernel;
	struct kallsyms_search search;
	size_t len;

	kallsyms_search_init(&search);
	cr_assert_eq(kallsyms_find(&memory, &search, &tables, NULL), 0);
	len = tables.token_index + 512 - tables.offsets;
	cr_assert_lt(len + (2 << 20), tables.offsets);
	memcpy(ram + (1 << 20), ram + tables.offsets, len);
	lf_symbols_free(tables.symbols);
	kallsyms_search_init(&search);
	cr_assert_eq(kallsyms_find(&memory, &search, &tables, NULL), 0);
	cr_assert_eq(tables.offsets, 1 << 20);
	lf_symbols_free(tables.symbols);
	kernel = find_kernel(ram);
	check_symbols(lf_kernel_symbols(kernel), kallsyms);
	check_log(kernel, dmesg);
	lf_kernel_free(kernel);
	munmap(ram, LINUX_GUEST_RAM);
}

/* Random damage all over the tables: an error or an answer. */
static void
check_damage(void)
{
	uint8_t *ram = copy_of_ram();
	struct lf_kernel_member member;
	struct lf_kernel *kernel;
	struct lf_symbol prb, btf;
	struct lf_error error;
	unsigned seed = 1, round, i;
	uint64_t gpa, base;
	char *text;

	kernel = find_kernel(guest.ram);
	cr_assert_eq(
	    lf_symbols_lookup(lf_kernel_symbols(kernel), "prb", &prb, NULL), 0);
	cr_assert_eq(lf_symbols_lookup(
			 lf_kernel_symbols(kernel), "__start_BTF", &btf, NULL),
	    0);
	cr_assert_eq(lf_kernel_read(kernel, prb.address, &base, 8, NULL), 0);
	lf_kernel_free(kernel);
	kernel = find_kernel(ram);
	/* Where the image lies follows from one byte string in it. */
	for (gpa = 0; gpa < LINUX_GUEST_RAM; gpa += 8)
		if (memcmp(ram + gpa, &base, 8) == 0 &&
		    (gpa & 0xfff) == (prb.address & 0xfff))
			break;
	cr_assert_lt(gpa, (uint64_t)LINUX_GUEST_RAM);
	base += gpa - prb.address;
	for (round = 0; round < 200; round++) {
		uint8_t saved[96];

		memcpy(saved, ram + base, sizeof(saved));
		for (i = 0; i < 2; i++)
			ram[base + rand_r(&seed) % sizeof(saved)] =
			    rand_r(&seed);
		text = NULL;
		if (lf_kernel_log(kernel, 0, &text, &error) < 0)
			cr_assert_neq(error.message[0], '\0');
		free(text);
		memcpy(ram + base, saved, sizeof(saved));
	}
	lf_kernel_free(kernel);
	gpa += btf.address - prb.address;
	for (round = 0; round < 8; round++) {
		kernel = find_kernel(ram);
		for (i = 0; i < 50; i++)
			ram[gpa + rand_r(&seed) % (round < 4 ? 64 : 1 << 20)] =
			    rand_r(&seed);
		if (lf_kernel_member(
			kernel, "task_struct", "comm", &member, &error) < 0)
			cr_assert_neq(error.message[0], '\0');
		lf_kernel_free(kernel);
	}
	munmap(ram, LINUX_GUEST_RAM);
}

Test(kernel, symbols_structures_and_log_equal_the_guests_own, .timeout = 120)
{
	char *kallsyms, *dmesg, *ps;
	struct lf_kernel *kernel;
	size_t len;

	linux_guest_start(&guest, 2, "");
	cr_assert_eq(linux_guest_run(&guest,
			 "dmesg >/tmp/dmesg; for d in /proc/[0-9]*; do "
			 "echo \"${d#/proc/} $(cat $d/comm)\"; done >/tmp/ps",
			 NULL, 0),
	    0);
	kallsyms = linux_guest_file(&guest, "/proc/kallsyms", &len);
	dmesg = linux_guest_file(&guest, "/tmp/dmesg", &len);
	ps = linux_guest_file(&guest, "/tmp/ps", &len);
	cr_assert_eq(qmp_execute(guest.qmp, "stop", NULL, NULL, NULL), 0);
	kernel = find_kernel(guest.ram);
	check_symbols(lf_kernel_symbols(kernel), kallsyms);
	check_processes(kernel, ps);
	check_log(kernel, dmesg);
	lf_kernel_free(kernel);
	check_order_of_6_4(kallsyms);
	check_a_copy_is_passed_over(kallsyms, dmesg);
	check_damage();
	linux_guest_stop(&guest);
	free(kallsyms);
	free(dmesg);
	free(ps);
}
