/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inputs for a function as it is: a fork stands at its first instruction, as
 * after `freeze --at`, registers say where the input goes and how long it is,
 * and the run ends where the function returns to. The buffer lies in several
 * pages, and not in memory's order.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/fuzz.h>

#include "lib/parser_image.h"

TestSuite(fuzz_input, .init = open_image, .fini = close_image);

#define PAGE      4096UL
#define PTE_FLAGS 0x67UL /* present, writable, user, accessed, dirty */

/* Page tables of the image (lib/micro_image.c): the next 2 MiB are free. */
#define PD 0x3000UL
#define PT 0x5000UL

/* Of another vCPU: four levels but the last, and a loop. */
#define OTHER_TABLES (MICRO_FREE + 0x10000)
#define OTHER_CODE   (MICRO_FREE + 0x14000)

/* What is mapped there: three pages, nothing, memory's last page, no memory. */
#define VIEW       0x200000UL
#define VIEW_PAGES 3UL
#define VIEW_END   0x204000UL
static const uint64_t behind[] = {
    MICRO_FREE + 5 * PAGE,
    MICRO_FREE + 3 * PAGE,
    MICRO_FREE + 4 * PAGE,
    0,
    MICRO_RAM - PAGE,
    MICRO_HOLE,
};

static void
put(struct lf_domain *domain, uint64_t gpa, uint64_t word)
{
	OK(lf_memory_write(domain, gpa, &word, sizeof(word), &error));
}

/* A snapshot in which json_check(bytes, len) was just called. */
static struct lf_snapshot *
at_call(uint64_t bytes)
{
	struct lf_snapshot *snapshot;
	struct lf_domain *domain;
	struct lf_vcpu_regs regs;
	size_t i;

	OK(lf_domain_fork(image.snapshot, NULL, &domain, &error));
	put(domain, PD + 8, PT | PTE_FLAGS);
	for (i = 0; i < sizeof(behind) / sizeof(behind[0]); i++)
		if (behind[i] != 0)
			put(domain, PT + 8 * i, behind[i] | PTE_FLAGS);
	OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
	regs.rip = micro_image_symbol(&image, "json_check");
	regs.rdi = bytes;
	regs.rsi = 1; /* what an input's size has to take the place of */
	regs.rsp -= 8;
	/* Nobody comes there but by returning. */
	put(domain, regs.rsp, micro_image_symbol(&image, "json_crash"));
	OK(lf_vcpu_write_regs(domain, 0, &regs, &error));
	OK(lf_domain_freeze(domain, &snapshot, &error));
	lf_domain_free(domain);
	return snapshot;
}

static void
call_options(struct lf_fuzz_options *options, size_t max)
{
	lf_fuzz_options_init(options);
	options->input_register = LF_FUZZ_RDI;
	options->input_max = max;
	options->size_register = LF_FUZZ_RSI;
	options->stop_at_return = true;
	options->timeout_ms = 300000;
	options->verify_every = 1;
	options->symbols = image.symbols;
}

/*
 * The same as the second vCPU of two. The first turns round in other page
 * tables, in which there is no such buffer.
 */
static struct lf_snapshot *
at_second_vcpus_call(uint64_t bytes)
{
	static uint8_t ram[MICRO_RAM];
	struct lf_snapshot *alone = at_call(bytes), *snapshot;
	struct lf_snapshot_builder *builder;
	struct lf_vcpu_regs regs, other;
	struct lf_domain *domain;

	OK(lf_domain_fork(alone, NULL, &domain, &error));
	OK(lf_memory_read(domain, 0, ram, sizeof(ram), &error));
	OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
	lf_domain_free(domain);
	lf_snapshot_unref(alone);

	other = regs;
	other.cr3 = OTHER_TABLES;
	other.rip = OTHER_CODE;
	other.rdi = 0;
	memcpy(ram + OTHER_TABLES, ram + regs.cr3, 3 * PAGE);
	*(uint64_t *)(ram + OTHER_TABLES) = (OTHER_TABLES + PAGE) | PTE_FLAGS;
	*(uint64_t *)(ram + OTHER_TABLES + PAGE) =
	    (OTHER_TABLES + 2 * PAGE) | PTE_FLAGS;
	*(uint64_t *)(ram + OTHER_TABLES + 2 * PAGE + 8) = 0;
	memcpy(ram + OTHER_CODE, "\xeb\xfe", 2);

	OK(lf_snapshot_builder_new(&builder, &error));
	OK(lf_snapshot_builder_add_buffer(
	    builder, ram, sizeof(ram), sizeof(ram), &error));
	OK(lf_snapshot_builder_add_range(
	    builder, 0, sizeof(ram), 0, 0, 0, &error));
	OK(lf_snapshot_builder_add_vcpu(builder, &other, &error));
	OK(lf_snapshot_builder_add_vcpu(builder, &regs, &error));
	OK(lf_snapshot_builder_finish(builder, &snapshot, &error));
	lf_snapshot_builder_free(builder);
	return snapshot;
}

static unsigned target_vcpu;

/* What the function returned. */
static int
check(struct lf_fuzz *fuzz, const char *input, size_t len)
{
	struct lf_fuzz_outcome outcome;
	struct lf_vcpu_regs regs;

	OK(lf_fuzz_run(fuzz, input, len, &outcome, &error));
	cr_assert_eq(outcome.result, LF_FUZZ_OK, "%s", outcome.what);
	cr_assert_str_eq(outcome.what, "stop: return");
	OK(lf_vcpu_read_regs(lf_fuzz_domain(fuzz), target_vcpu, &regs, &error));
	return (int)regs.rax;
}

Test(fuzz_input, a_function_gets_it_by_registers_and_the_run_ends_at_its_return)
{
	static const size_t lengths[] = {2, 17, PAGE - 100, PAGE - 99,
	    2 * PAGE - 100, VIEW_PAGES * PAGE - 100};
	struct lf_snapshot *snapshot = at_call(VIEW + 100);
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz;
	size_t i;

	call_options(&options, VIEW_PAGES * PAGE - 100);
	OK(lf_fuzz_open(snapshot, &options, &fuzz, &error));
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t len = lengths[i];
		char *string = malloc(len);

		/* JSON, if it is as long as that and in its order. */
		memset(string, 'a', len);
		string[0] = string[len - 1] = '"';
		cr_assert_eq(check(fuzz, string, len), 0, "%zu bytes", len);
		cr_assert_eq(check(fuzz, string, len - 1), -1, "%zu", len - 1);
		if (len > PAGE) {
			string[PAGE - 100] = '"';
			cr_assert_eq(check(fuzz, string, len), -1);
			cr_assert_eq(
			    check(fuzz, string, PAGE - 99), 0, "%zu", len);
		}
		free(string);
	}
	lf_fuzz_close(fuzz);
	lf_snapshot_unref(snapshot);
}

/* A buffer of which a page is not there is refused before the first run. */
static void
refused(uint64_t bytes, size_t max, const char *what)
{
	struct lf_snapshot *snapshot = at_call(bytes);
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz = NULL;

	call_options(&options, max);
	cr_assert_eq(lf_fuzz_open(snapshot, &options, &fuzz, &error), -EFAULT,
	    "%s", error.message);
	cr_assert_null(fuzz);
	cr_assert_not_null(strstr(error.message, what), "%s", error.message);
	lf_snapshot_unref(snapshot);
}

Test(fuzz_input, every_page_of_the_buffer_must_be_there)
{
	refused(VIEW + 100, VIEW_PAGES * PAGE - 99,
	    "input buffer of 12189 bytes at 0x200064: address 0x203000 is "
	    "not mapped");
	/* Mapped one behind the other, to memory and to none. */
	refused(VIEW_END, 2 * PAGE, "input buffer of 8192 bytes at 0x204000: ");
}

Test(fuzz_input, a_size_that_cannot_be_written_is_refused)
{
	struct lf_snapshot *snapshot = at_call(VIEW);
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz = NULL;

	call_options(&options, PAGE);
	options.size_register = LF_FUZZ_REG_NONE;
	options.size_bytes = 8;
	options.size_address = VIEW_END - 4;
	cr_assert_eq(lf_fuzz_open(snapshot, &options, &fuzz, &error), -EFAULT);
	cr_assert_not_null(strstr(error.message, "input's size at 0x203ffc: "),
	    "%s", error.message);
	options.size_address = VIEW_END + PAGE;
	cr_assert_eq(lf_fuzz_open(snapshot, &options, &fuzz, &error), -EFAULT);
	cr_assert_not_null(strstr(error.message, "input's size at 0x205000: "),
	    "%s", error.message);
	lf_snapshot_unref(snapshot);
}

Test(fuzz_input, registers_and_page_tables_are_those_of_the_vcpu_that_is_named)
{
	struct lf_snapshot *snapshot = at_second_vcpus_call(VIEW);
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz = NULL, *beside;

	call_options(&options, VIEW_PAGES * PAGE);
	cr_assert_eq(lf_fuzz_open(snapshot, &options, &fuzz, &error), -EFAULT);
	options.vcpu = 2;
	cr_assert_lt(lf_fuzz_open(snapshot, &options, &fuzz, &error), 0);
	cr_assert_not_null(
	    strstr(error.message, "vCPU 2"), "%s", error.message);
	target_vcpu = options.vcpu = 1;
	OK(lf_fuzz_open(snapshot, &options, &fuzz, &error));
	cr_assert_eq(check(fuzz, "[1, 2]", 6), 0);
	cr_assert_eq(check(fuzz, "[1, 2]", 5), -1);
	OK(lf_fuzz_open_beside(fuzz, &beside, &error));
	cr_assert_eq(check(beside, "[1, 2]", 6), 0);
	cr_assert_eq(check(beside, "[1, 2]", 5), -1);
	lf_fuzz_close(beside);
	lf_fuzz_close(fuzz);
	lf_snapshot_unref(snapshot);
}
