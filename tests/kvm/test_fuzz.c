/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz sessions with planted bugs in a program without operating system: what
 * a run is judged to be, that nothing stays from one run to the next, and what
 * is refused.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libfork/fuzz.h>

#include "fuzz/session.h"
#include "lib/count.h"
#include "lib/fault.h"
#include "lib/micro.h"

static struct lf_error error;

static void
must(int rc)
{
	cr_assert_geq(rc, 0, "%s", error.message);
}

static struct lf_snapshot *
program(void)
{
	struct lf_snapshot *snapshot;
	const char *why;
	char path[4096];
	int fd;

	if (!micro_usable(&why))
		cr_skip_test("%s", why);
	snprintf(path, sizeof(path), "%s/tests/guest/fuzz/bugs.elf",
	    getenv("top_builddir"));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		cr_skip_test("no clang to build programs with");
	must(lf_fuzz_load_program(fd, path, 8UL << 20, &snapshot, &error));
	close(fd);
	return snapshot;
}

static struct lf_fuzz *
session(struct lf_fuzz_options *options)
{
	struct lf_snapshot *snapshot = program();
	struct lf_fuzz *fuzz;

	options->harness = true;
	options->verify_every = 1;
	must(lf_fuzz_open(snapshot, options, &fuzz, &error));
	lf_snapshot_unref(snapshot);
	return fuzz;
}

static const struct lf_fuzz_outcome *
run(struct lf_fuzz *fuzz, const char *input)
{
	static struct lf_fuzz_outcome outcome;

	must(lf_fuzz_run(fuzz, input, strlen(input), &outcome, &error));
	return &outcome;
}

/* An input, and what becomes of it. */
static const struct {
	const char *input;
	enum lf_fuzz_result result;
	const char *what;
} rows[] = {
    {"", LF_FUZZ_OK, "harness: stop"},
    {"hello", LF_FUZZ_OK, "harness: stop"},
    {"NULL", LF_FUZZ_CRASH, "triple fault or reset at 0x"},
    {"CODE", LF_FUZZ_CRASH, "triple fault or reset at 0x"},
    {"HALT", LF_FUZZ_CRASH, "triple fault or reset at 0x"},
    {"PORT", LF_FUZZ_CRASH, "device access: write to port 0x80, 1 bytes"},
    {"OVER0123456789abcdefghijklmnopqrstuvwxyz0123456789", LF_FUZZ_CRASH,
	"triple fault or reset at 0x"},
    {"TEST5678!", LF_FUZZ_CRASH, "harness: assertion failed: bytes[8]"},
    {"TEST5678.", LF_FUZZ_OK, "harness: stop"},
    {"LOOP", LF_FUZZ_HANG, "time-out at 0x"},
};

Test(fuzz, each_input_is_judged_for_what_it_does_whatever_was_before)
{
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz;
	size_t i, rounds = test_count(2, 100);

	lf_fuzz_options_init(&options);
	/* Long enough for a machine that is busy with other things. */
	options.timeout_ms = 2000;
	fuzz = session(&options);
	for (i = 0; i < rounds * sizeof(rows) / sizeof(rows[0]); i++) {
		size_t row = i % (sizeof(rows) / sizeof(rows[0]));
		const struct lf_fuzz_outcome *outcome =
		    run(fuzz, rows[row].input);

		cr_expect_eq(outcome->result, rows[row].result, "%s: %s",
		    rows[row].input, outcome->what);
		cr_expect_eq(strncmp(outcome->what, rows[row].what,
				 strlen(rows[row].what)),
		    0, "%s: %s", rows[row].input, outcome->what);
		cr_expect_eq(outcome->address != 0, row > 1 && row != 8);
	}
	lf_fuzz_close(fuzz);
}

Test(fuzz, the_same_input_covers_the_same_in_every_run)
{
	struct lf_fuzz_options options;
	static uint8_t first[65536];
	struct lf_fuzz *fuzz, *beside;
	size_t bytes, i;

	lf_fuzz_options_init(&options);
	fuzz = session(&options);
	run(fuzz, "TEST1");
	cr_assert_neq(lf_fuzz_map(fuzz, &bytes), NULL);
	cr_assert_eq(bytes, sizeof(first));
	memcpy(first, lf_fuzz_map(fuzz, &bytes), bytes);
	for (i = 0; i < 100; i++) {
		run(fuzz, i % 2 == 0 ? "NULL" : "other words");
		cr_assert_neq(
		    memcmp(first, lf_fuzz_map(fuzz, &bytes), bytes), 0);
		run(fuzz, "TEST1");
		cr_assert_eq(
		    memcmp(first, lf_fuzz_map(fuzz, &bytes), bytes), 0);
	}
	/* Another session at the same start point has a map of its own. */
	must(lf_fuzz_open_beside(fuzz, &beside, &error));
	cr_assert_neq(lf_fuzz_map(beside, &bytes), lf_fuzz_map(fuzz, &bytes));
	run(beside, "TEST1");
	cr_assert_eq(memcmp(first, lf_fuzz_map(beside, &bytes), bytes), 0);
	lf_fuzz_close(beside);
	lf_fuzz_close(fuzz);
}

/* What `xlfork fuzz --program` leaves out, a program cannot change. */
Test(fuzz, what_a_reset_of_a_program_leaves_out_stays_as_it_was)
{
	static const char *const inputs[] = {"TEST1", "hello", "NULL", "CODE"};
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz;
	size_t i;

	lf_fuzz_options_init(&options);
	options.reset_groups =
	    LF_RESET_MEMORY | LF_RESET_REGS | LF_RESET_FPU | LF_RESET_TSC;
	fuzz = session(&options);
	for (i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		run(fuzz, inputs[i]);
		must(lf_fuzz_reset(fuzz, &error));
		must(lf_domain_verify(lf_fuzz_domain(fuzz), &error));
	}
	lf_fuzz_close(fuzz);
}

Test(fuzz, too_many_exits_are_a_hang_and_ports_can_be_ignored)
{
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz;

	lf_fuzz_options_init(&options);
	options.exits_max = 10;
	options.io = LF_FUZZ_IO_IGNORE;
	fuzz = session(&options);
	cr_expect_eq(run(fuzz, "MANY")->result, LF_FUZZ_HANG);
	cr_expect_eq(run(fuzz, "MANY")->exits, 10);
	cr_expect_eq(run(fuzz, "PORT")->result, LF_FUZZ_OK);
	cr_expect_str_eq(run(fuzz, "PORT")->what, "harness: stop");
	lf_fuzz_close(fuzz);
}

static void *
interrupt_until_told(void *opaque)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	void **both = opaque;

	while (__atomic_load_n((int *)both[1], __ATOMIC_SEQ_CST) == 0) {
		lf_fuzz_interrupt(both[0]);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

Test(fuzz, an_interrupt_ends_the_run_that_is_under_way_and_no_other)
{
	struct lf_fuzz_options options;
	pthread_t thread;
	int told = 0;
	void *both[2];

	lf_fuzz_options_init(&options);
	both[0] = session(&options);
	both[1] = &told;
	pthread_create(&thread, NULL, interrupt_until_told, both);
	cr_expect_eq(run(both[0], "LOOP")->result, LF_FUZZ_HANG);
	cr_expect_eq(run(both[0], "LOOP")->result, LF_FUZZ_HANG);
	__atomic_store_n(&told, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	lf_fuzz_interrupt(both[0]);
	cr_expect_eq(run(both[0], "hello")->result, LF_FUZZ_OK);
	lf_fuzz_close(both[0]);
}

Test(fuzz, after_a_prefix_inputs_are_what_follows_it)
{
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz, *beside;
	size_t room;
	int i;

	lf_fuzz_options_init(&options);
	fuzz = session(&options);
	room = lf_fuzz_input_max(fuzz);
	must(lf_fuzz_prefix(fuzz, "HEAD", 4, &error));
	cr_assert_eq(lf_fuzz_input_max(fuzz), room - 4);
	for (i = 0; i < 3; i++) {
		cr_expect_eq(run(fuzz, "x")->result, LF_FUZZ_CRASH);
		cr_expect_eq(run(fuzz, "y")->result, LF_FUZZ_OK);
		cr_expect_eq(run(fuzz, "y")->exits, 1, "the head is not read");
		cr_expect_eq(run(fuzz, "NULL")->result, LF_FUZZ_OK);
	}
	must(lf_fuzz_open_beside(fuzz, &beside, &error));
	cr_expect_eq(run(beside, "x")->result, LF_FUZZ_CRASH);
	lf_fuzz_close(beside);
	cr_expect_eq(lf_fuzz_prefix(fuzz, "ABCD", 4, &error), -ENODATA);
	cr_expect_neq(strstr(error.message, "xlfork_consumed"), NULL);
	lf_fuzz_close(fuzz);
}

/* --- several vCPUs --- */

/* Page tables of the program loader's are below; 8 MiB is all it has. */
#define OTHER_TABLES 0x100000UL
#define OTHER_CODE   0x200000UL

/*
 * The program beside a first vCPU that spins, in an address space in which
 * nothing of the program is mapped.
 */
static struct lf_snapshot *
second_vcpu_program(void)
{
	static uint8_t ram[8UL << 20];
	struct lf_snapshot *alone = program(), *snapshot;
	struct lf_snapshot_builder *builder;
	struct lf_vcpu_regs regs, other;
	uint64_t *tables = (uint64_t *)(ram + OTHER_TABLES);
	struct lf_domain *domain;
	unsigned level;

	must(lf_domain_fork(alone, NULL, &domain, &error));
	must(lf_memory_read(domain, 0, ram, sizeof(ram), &error));
	must(lf_vcpu_read_regs(domain, 0, &regs, &error));
	lf_domain_free(domain);
	lf_snapshot_unref(alone);

	/* PML4, PDPT, PD, PT: one page, at 2 MiB. */
	for (level = 0; level < 3; level++)
		tables[512 * level + (level == 2)] =
		    (OTHER_TABLES + (level + 1) * 4096) | 0x67;
	tables[512 * 3] = OTHER_CODE | 0x67;
	memcpy(ram + OTHER_CODE, "\xeb\xfe", 2);
	other = regs;
	other.rip = OTHER_CODE;
	other.cr3 = OTHER_TABLES;

	must(lf_snapshot_builder_new(&builder, &error));
	must(lf_snapshot_builder_add_buffer(
	    builder, ram, sizeof(ram), sizeof(ram), &error));
	must(lf_snapshot_builder_add_range(
	    builder, 0, sizeof(ram), 0, 0, 0, &error));
	must(lf_snapshot_builder_add_vcpu(builder, &other, &error));
	must(lf_snapshot_builder_add_vcpu(builder, &regs, &error));
	must(lf_snapshot_builder_finish(builder, &snapshot, &error));
	lf_snapshot_builder_free(builder);
	return snapshot;
}

static size_t
covered(const struct lf_fuzz *fuzz)
{
	size_t bytes, i, count = 0;
	const uint8_t *map = lf_fuzz_map(fuzz, &bytes);

	for (i = 0; i < bytes; i++)
		count += map[i] != 0;
	return count;
}

Test(fuzz, the_target_is_the_vcpu_that_comes_to_the_harness)
{
	struct lf_snapshot *snapshot = second_vcpu_program();
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz, *beside;

	lf_fuzz_options_init(&options);
	options.harness = true;
	must(lf_fuzz_open(snapshot, &options, &fuzz, &error));
	cr_expect_eq(run(fuzz, "TEST5678!")->result, LF_FUZZ_CRASH);
	cr_expect_eq(run(fuzz, "hello")->result, LF_FUZZ_OK);
	cr_expect_gt(covered(fuzz), 5);
	must(lf_fuzz_open_beside(fuzz, &beside, &error));
	cr_expect_eq(run(beside, "TEST5678!")->result, LF_FUZZ_CRASH);
	cr_expect_gt(covered(beside), 5);
	lf_fuzz_close(beside);
	must(lf_fuzz_prefix(fuzz, "HEAD", 4, &error));
	cr_expect_eq(run(fuzz, "x")->result, LF_FUZZ_CRASH);
	lf_fuzz_close(fuzz);
	lf_snapshot_unref(snapshot);
}

/* --- refusals --- */

static void
refused(const struct lf_fuzz_options *options, int code, const char *words)
{
	struct lf_snapshot *snapshot = program();
	struct lf_fuzz *fuzz = NULL;
	int rc = lf_fuzz_open(snapshot, options, &fuzz, &error);

	cr_expect_eq(rc, code, "%d, %s wanted", rc, words);
	cr_expect_neq(strstr(error.message, words), NULL, "%s: %s wanted",
	    error.message, words);
	cr_expect_null(fuzz);
	lf_snapshot_unref(snapshot);
}

Test(fuzz, what_makes_no_sense_is_refused_in_one_line)
{
	static uint8_t map[4096] __attribute__((aligned(4096)));
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz;
	struct lf_fuzz_outcome outcome;
	static char large[65537];

	lf_fuzz_options_init(&options);
	refused(&options, -EINVAL, "an input buffer of 0 bytes");
	options.input_max = 100;
	options.input_address = 0x1000;
	options.size_bytes = 3;
	refused(&options, -EINVAL, "4 or 8 bytes, not 3");
	options.input_address = 1UL << 40;
	refused(&options, -EFAULT, "input buffer of 100 bytes at 0x100");
	/* Its last page is not there. */
	options.input_address = (8UL << 20) - 50;
	refused(&options, -EFAULT, "input buffer");
	options.input_address = 0x400000;
	options.size_bytes = 8;
	options.size_address = 1UL << 40;
	refused(&options, -EFAULT, "input's size at 0x10000000000");
	options.size_bytes = 0;
	options.coverage = LF_FUZZ_COVERAGE_SHARED;
	refused(&options, -EINVAL, "nothing of a map");

	lf_fuzz_options_init(&options);
	options.harness = true;
	options.map = map;
	options.map_bytes = sizeof(map);
	refused(&options, -ENOSPC, "65536 bytes, the fuzzer's only 4096");

	lf_fuzz_options_init(&options);
	fuzz = session(&options);
	cr_expect_eq(lf_fuzz_run(fuzz, large, sizeof(large), &outcome, &error),
	    -EMSGSIZE);
	cr_expect_str_eq(error.message,
	    "an input of 65537 bytes does not fit into the target's buffer of "
	    "65536");
	cr_expect_eq(run(fuzz, "hello")->result, LF_FUZZ_OK);
	lf_fuzz_close(fuzz);
}

/* A guest that never comes to a harness. */
Test(fuzz, a_start_that_is_not_reached_is_told)
{
	struct lf_fuzz_options options;
	struct lf_snapshot *snapshot;
	struct lf_vcpu_regs regs;
	struct lf_fuzz *fuzz;
	const char *why;

	if (!micro_usable(&why))
		cr_skip_test("%s", why);
	lf_fuzz_options_init(&options);
	options.harness = true;
	options.start_timeout_ms = 200;
	micro_regs(MICRO_COUNT, &regs);
	snapshot = micro_snapshot(4UL << 20, &regs, 1);
	cr_expect_eq(
	    lf_fuzz_open(snapshot, &options, &fuzz, &error), -ETIMEDOUT);
	cr_expect_neq(strstr(error.message, "not reached within 200 ms"), NULL);
	lf_snapshot_unref(snapshot);
	options.start_timeout_ms = 300000;
	micro_regs(MICRO_CRASH, &regs);
	snapshot = micro_snapshot(4UL << 20, &regs, 1);
	cr_expect_eq(lf_fuzz_open(snapshot, &options, &fuzz, &error), -ENODATA);
	cr_expect_neq(strstr(error.message, "not reached: shutdown"), NULL);
	lf_snapshot_unref(snapshot);
}

Test(fuzz, a_program_that_is_none_is_refused)
{
	static const char *const paths[] = {"/bin/true", "/etc/passwd"};
	static const char *const words[] = {"fixed addresses", "no x86-64 ELF"};
	struct lf_snapshot *snapshot;
	size_t i;

	for (i = 0; i < 2; i++) {
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC);

		cr_expect_eq(
		    lf_fuzz_load_program(fd, "it", 0, &snapshot, &error),
		    -ENOEXEC);
		cr_expect_neq(
		    strstr(error.message, words[i]), NULL, "%s", error.message);
		cr_expect_eq(
		    lf_fuzz_load_program(fd, "it", 12345, &snapshot, &error),
		    -EINVAL);
		close(fd);
	}
}

/* --- failures --- */

/* A session that goes deeper and makes a run. Stops at what fails. */
static int
go_deeper(struct lf_snapshot *snapshot, const struct lf_fuzz_options *options)
{
	struct lf_fuzz_outcome outcome;
	struct lf_fuzz *fuzz = NULL;
	int rc = lf_fuzz_open(snapshot, options, &fuzz, &error);

	if (rc == 0)
		rc = lf_fuzz_prefix(fuzz, "HEAD", 4, &error);
	if (rc == 0)
		rc = lf_fuzz_run(fuzz, "x", 1, &outcome, &error);
	lf_fuzz_close(fuzz);
	return rc;
}

Test(fuzz, every_call_that_fails_is_told_and_nothing_is_left)
{
	struct lf_fuzz_options options;
	struct lf_snapshot *snapshot = program();
	uint64_t stop = 0x400000;

	lf_fuzz_options_init(&options);
	options.harness = true;
	options.stops = &stop;
	options.stop_count = 1;
	must(go_deeper(snapshot, &options));
	FAULT_LOOP(fault)
	{
		int rc;

		error.message[0] = '\0';
		rc = go_deeper(snapshot, &options);
		fault_end(&fault);
		/* Some do without, as where a measurement is only better. */
		if (rc < 0) {
			cr_expect(fault.hit);
			cr_expect_neq(error.message[0], '\0', "%s", fault.name);
		}
		cr_expect_eq(fault_open_descriptors(), fault.descriptors,
		    "%s, call %lu", fault.name, fault.round);
	}
	lf_snapshot_unref(snapshot);
}
