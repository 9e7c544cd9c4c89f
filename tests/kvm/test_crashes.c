/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bugs planted in a micro-guest, each reached by a given input: seen, told
 * from each other, and the same every time. Sinks and stops in a session, and
 * what a report of a crash has.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/fuzz.h>

#include "lib/parser_session.h"

#define REPLAYS 100

/*
 * What lasts so long hangs: longer than a busy machine keeps a guest from
 * coming to its loop, which is where all of them have to be found.
 */
#define HANG_MS      200
#define HANG_REPLAYS 10

TestSuite(crashes, .init = open_image, .fini = close_image);

static void
run(struct lf_fuzz *fuzz, const char *input, struct lf_fuzz_outcome *outcome)
{
	OK(lf_fuzz_run(fuzz, input, strlen(input), outcome, &error));
}

static struct lf_crash *
describe(struct lf_fuzz *fuzz, const struct lf_fuzz_outcome *outcome)
{
	struct lf_crash *crash;

	OK(lf_fuzz_crash(fuzz, outcome, image.symbols, NULL, &crash, &error));
	return crash;
}

static const struct bug {
	const char *name;
	const char *input;
	enum lf_fuzz_result result;
	const char *what; /* begin of the reason */
} bugs[] = {
    {"stack overflow", "!s", LF_FUZZ_CRASH, "triple fault or reset"},
    {"heap overflow", "!h0123456789abcdefX", LF_FUZZ_CRASH,
	"sink: json_assert_failed"},
    {"null dereference", "!n", LF_FUZZ_CRASH, "triple fault or reset"},
    {"endless loop", "!l", LF_FUZZ_HANG, "time-out"},
    {"crash mark", "!c", LF_FUZZ_CRASH, "sink: json_crash"},
};

#define BUGS (sizeof(bugs) / sizeof(bugs[0]))

Test(crashes, each_of_five_bugs_is_seen_and_is_the_same_every_time)
{
	char ids[BUGS][LF_CRASH_ID_LEN + 1];
	struct lf_fuzz_options options;
	struct lf_sink sinks[LF_SINKS_MAX];
	struct lf_fuzz_outcome outcome;
	struct lf_crash *crash;
	struct lf_fuzz *fuzz;
	size_t count = 0, b, i;

	OK(lf_sinks_add(
	    "json_crash", image.symbols, sinks, &count, NULL, 0, &error));
	OK(lf_sinks_add("json_assert_failed", image.symbols, sinks, &count,
	    NULL, 0, &error));
	for (b = 0; b < BUGS; b++) {
		bool hangs = bugs[b].result == LF_FUZZ_HANG;
		size_t replays = hangs ? HANG_REPLAYS : REPLAYS;

		/* What ends is waited for, however busy the machine is. */
		target_options(&options);
		options.timeout_ms = hangs ? HANG_MS : 300000;
		options.sinks = sinks;
		options.sink_count = count;
		options.verify_every = 1;
		fuzz = open_session(&options);
		for (i = 0; i < replays; i++) {
			run(fuzz, bugs[b].input, &outcome);
			cr_assert_eq(outcome.result, bugs[b].result,
			    "%s, replay %zu: %s", bugs[b].name, i,
			    outcome.what);
			cr_assert_eq(strncmp(outcome.what, bugs[b].what,
					 strlen(bugs[b].what)),
			    0, "%s, replay %zu: %s", bugs[b].name, i,
			    outcome.what);
			crash = describe(fuzz, &outcome);
			if (i == 0)
				strcpy(ids[b], lf_crash_id(crash));
			cr_assert_str_eq(lf_crash_id(crash), ids[b],
			    "%s, replay %zu: %s", bugs[b].name, i,
			    lf_crash_text(crash));
			lf_crash_free(crash);
			/* What is no bug, in between. */
			if (i % 10 == 0 && !hangs) {
				run(fuzz, "[1, 2]", &outcome);
				cr_assert_eq(outcome.result, LF_FUZZ_OK, "%s",
				    outcome.what);
			}
		}
		/* After a triple fault KVM may have reset the registers. */
		for (i = 0; i < b; i++)
			if (strncmp(bugs[b].what, "triple", 6) != 0 ||
			    strncmp(bugs[i].what, "triple", 6) != 0)
				cr_assert_str_neq(ids[b], ids[i], "%s and %s",
				    bugs[b].name, bugs[i].name);
		lf_fuzz_close(fuzz);
	}
}

Test(crashes, a_report_says_where_and_how_it_came_there)
{
	struct lf_fuzz_options options;
	struct lf_sink sinks[LF_SINKS_MAX];
	struct lf_fuzz_outcome outcome;
	struct lf_crash *crash;
	struct lf_fuzz *fuzz;
	size_t count = 0;
	const char *text;
	json_t *json, *code, *place;

	OK(lf_sinks_add("json_assert_failed", image.symbols, sinks, &count,
	    NULL, 0, &error));
	target_options(&options);
	options.sinks = sinks;
	options.sink_count = count;
	fuzz = open_session(&options);
	run(fuzz, bugs[1].input, &outcome);
	cr_assert_eq(
	    outcome.address, micro_image_symbol(&image, "json_assert_failed"));
	crash = describe(fuzz, &outcome);
	text = lf_crash_text(crash);
	cr_assert(strstr(text, "Crash: sink: json_assert_failed\n") != NULL,
	    "%s", text);
	cr_assert(
	    strstr(text, "At: json_assert_failed+0x0\n") != NULL, "%s", text);
	cr_assert(
	    strstr(text, "=> json_assert_failed+0x0: ") != NULL, "%s", text);
	cr_assert(strstr(text, " overflow_heap+0x") != NULL, "%s", text);
	cr_assert(strstr(text, " guest_main+0x") != NULL, "%s", text);
	cr_assert(
	    strstr(text, "some may be left from calls") != NULL, "%s", text);

	json = json_loads(lf_crash_json(crash), 0, NULL);
	cr_assert_not_null(json);
	cr_assert_str_eq(
	    json_string_value(json_object_get(json, "id")), lf_crash_id(crash));
	cr_assert_str_eq(
	    json_string_value(json_object_get(json, "stack_from")), "scan");
	code = json_array_get(json_object_get(json, "code"), 0);
	cr_assert_not_null(code);
	place = json_object_get(
	    json_array_get(json_object_get(json, "stack"), 0), "place");
	cr_assert_eq(strncmp(json_string_value(place), "overflow_heap+", 14), 0,
	    "%s", json_string_value(place));
	json_decref(json);
	lf_crash_free(crash);

	/* Without symbols there are addresses. */
	OK(lf_fuzz_crash(fuzz, &outcome, NULL, NULL, &crash, &error));
	cr_assert(strstr(lf_crash_text(crash), "At: 0x2") != NULL, "%s",
	    lf_crash_text(crash));
	lf_crash_free(crash);
	lf_fuzz_close(fuzz);
}

static unsigned called;

static void
on_crash(void *opaque, struct lf_fuzz *fuzz,
    const struct lf_fuzz_outcome *outcome, const void *input, size_t len)
{
	(void)fuzz;
	cr_assert_eq(opaque, &called);
	cr_assert_eq(outcome->result, LF_FUZZ_CRASH);
	cr_assert_eq(len, 2);
	cr_assert_arr_eq(input, "!n", 2);
	called++;
}

Test(crashes, who_wants_to_know_is_told)
{
	struct lf_fuzz_options options;
	struct lf_fuzz_outcome outcome;
	struct lf_fuzz *fuzz;

	target_options(&options);
	options.on_crash = on_crash;
	options.on_crash_opaque = &called;
	fuzz = open_session(&options);
	run(fuzz, "[]", &outcome);
	cr_assert_eq(called, 0);
	run(fuzz, "!n", &outcome);
	cr_assert_eq(called, 1);
	lf_fuzz_close(fuzz);
}

Test(crashes, stops_end_a_run_in_order)
{
	struct lf_fuzz_options options;
	struct lf_fuzz_outcome outcome;
	struct lf_fuzz *fuzz;
	uint64_t stop = micro_image_symbol(&image, "json_check");

	target_options(&options);
	options.io = LF_FUZZ_IO_CRASH;
	options.stops = &stop;
	options.stop_count = 1;
	fuzz = open_session(&options);
	run(fuzz, "[]", &outcome);
	cr_assert_eq(outcome.result, LF_FUZZ_OK, "%s", outcome.what);
	cr_assert_str_eq(outcome.what, "stop: json_check+0x0");
	run(fuzz, "!n", &outcome);
	cr_assert_eq(outcome.result, LF_FUZZ_CRASH);
	lf_fuzz_close(fuzz);
}

Test(crashes, sessions_cover_by_blocks_and_by_edges)
{
	static const char *const code[] = {"json_check", "value", "list"};
	static const enum lf_fuzz_coverage kinds[] = {
	    LF_FUZZ_COVERAGE_BLOCK, LF_FUZZ_COVERAGE_EDGE};
	struct lf_fuzz_options options;
	struct lf_fuzz_outcome outcome;
	size_t k, i, bytes, first, second;

	for (k = 0; k < 2; k++) {
		struct lf_fuzz *fuzz;
		const uint8_t *map;
		uint8_t *before;

		target_options(&options);
		options.coverage = kinds[k];
		options.code = code;
		options.code_count = 3;
		fuzz = open_session(&options);
		map = lf_fuzz_map(fuzz, &bytes);
		before = malloc(bytes);
		run(fuzz, "[1, 2]", &outcome);
		cr_assert_eq(outcome.result, LF_FUZZ_OK, "%s", outcome.what);
		memcpy(before, map, bytes);
		for (i = 0; i < 5; i++) {
			run(fuzz, "[1, 2]", &outcome);
			cr_assert_arr_eq(map, before, bytes);
		}
		run(fuzz, "{\"a\": [[]]}", &outcome);
		cr_assert_eq(outcome.result, LF_FUZZ_OK, "%s", outcome.what);
		for (first = second = i = 0; i < bytes; i++) {
			first += before[i] != 0;
			second += map[i] != 0;
		}
		cr_assert_gt(first, 8);
		cr_assert_gt(second, 8);
		cr_assert_neq(memcmp(map, before, bytes), 0);
		free(before);
		lf_fuzz_close(fuzz);
	}
	options.code_count = 0;
	cr_assert_eq(lf_fuzz_open(image.snapshot, &options,
			 &(struct lf_fuzz *){NULL}, &error),
	    -EINVAL);
	cr_assert_eq(strncmp(error.message, "edge coverage of what?", 22), 0,
	    "%s", error.message);
}

Test(crashes, sinks_that_are_not_there_are_named)
{
	struct lf_sink sinks[LF_SINKS_MAX];
	char missing[256];
	size_t count = 0;

	cr_assert_eq(lf_sinks_add("linux", image.symbols, sinks, &count,
			 missing, sizeof(missing), &error),
	    -ENOENT);
	cr_assert(strstr(error.message, "none of the sinks 'linux'") != NULL,
	    "%s", error.message);
	cr_assert(
	    strncmp(missing, "panic page_fault_oops ", 22) == 0, "%s", missing);
	cr_assert_eq(
	    lf_sinks_add("linux", NULL, sinks, &count, NULL, 0, &error),
	    -ENOENT);
	cr_assert_eq(lf_sinks_add("json_krash", image.symbols, sinks, &count,
			 NULL, 0, &error),
	    -ENOENT);
	cr_assert(
	    strstr(error.message, "json_crash") != NULL, "%s", error.message);
	OK(lf_sinks_add("0x1234", NULL, sinks, &count, NULL, 0, &error));
	OK(lf_sinks_add("0x1234", NULL, sinks, &count, NULL, 0, &error));
	cr_assert_eq(count, 1);
	cr_assert_eq(sinks[0].address, 0x1234);
}
