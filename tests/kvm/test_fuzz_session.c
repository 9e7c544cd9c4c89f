/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a session can be asked beside its runs: where it starts, how long a run
 * may last, where the time went, which blocks were executed; a crash's report
 * without a session; and the fork server as AFL++ sees it, which this test
 * plays.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

#include <libfork/afl.h>
#include <libfork/fuzz.h>

#include "fuzz/afl.h"
#include "lib/parser_session.h"

TestSuite(fuzz_session, .init = open_image, .fini = close_image);
TestSuite(fork_server, .init = open_image, .fini = close_image);

static enum lf_fuzz_result
run(struct lf_fuzz *fuzz, const char *input)
{
	struct lf_fuzz_outcome outcome;

	OK(lf_fuzz_run(fuzz, input, strlen(input), &outcome, &error));
	return outcome.result;
}

/* --- sessions --- */

Test(fuzz_session, another_session_can_begin_at_the_start_point)
{
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz, *other;

	target_options(&options);
	fuzz = open_session(&options);
	/* Without a harness it is the snapshot itself. */
	cr_assert_eq(lf_fuzz_start_point(fuzz), image.snapshot);
	OK(lf_fuzz_open(lf_fuzz_start_point(fuzz), &options, &other, &error));
	lf_fuzz_close(fuzz);
	cr_assert_eq(run(other, "[1]"), LF_FUZZ_OK);
	cr_assert_eq(run(other, "!n"), LF_FUZZ_CRASH);
	lf_fuzz_close(other);
}

Test(fuzz_session, how_long_a_run_may_last_can_be_changed)
{
	struct lf_fuzz_options options;
	struct lf_fuzz *fuzz;

	/* With the first limit this test would not end. */
	target_options(&options);
	options.timeout_ms = 0;
	fuzz = open_session(&options);
	OK(lf_fuzz_set_timeout(fuzz, 200, &error));
	cr_assert_eq(run(fuzz, "!l"), LF_FUZZ_HANG);
	OK(lf_fuzz_set_timeout(fuzz, 300000, &error));
	cr_assert_eq(run(fuzz, "[1]"), LF_FUZZ_OK);
	lf_fuzz_close(fuzz);
}

Test(fuzz_session, times_are_kept_where_they_are_asked_for)
{
	struct lf_fuzz_options options;
	struct lf_fuzz_times times;
	struct lf_fuzz *fuzz;
	unsigned i;

	target_options(&options);
	fuzz = open_session(&options);
	cr_assert_eq(lf_fuzz_times(fuzz, &times, &error), -EINVAL);
	cr_assert_str_eq(error.message, "the session is not timed");
	lf_fuzz_close(fuzz);

	options.timed = true;
	fuzz = open_session(&options);
	for (i = 0; i < 10; i++)
		cr_assert_eq(run(fuzz, "[1]"), LF_FUZZ_OK);
	OK(lf_fuzz_times(fuzz, &times, &error));
	cr_assert_eq(times.runs, 10);
	cr_assert_gt(times.inject_ns, 0);
	cr_assert_gt(times.run_ns, 0);
	cr_assert_gt(times.reset_ns, 0);
	cr_assert_gt(times.tsc_min, 0);
	cr_assert_geq(times.tsc_max, times.tsc_min);
	lf_fuzz_close(fuzz);
}

static size_t
executed(const struct lf_fuzz *fuzz)
{
	uint64_t last = 0;
	size_t i, count = 0;

	for (i = 0; i < lf_fuzz_block_count(fuzz); i++) {
		struct lf_fuzz_block block;

		OK(lf_fuzz_block(fuzz, i, &block, &error));
		cr_assert_geq(block.start, last);
		cr_assert_gt(block.end, block.start);
		cr_assert(block.watched || !block.executed);
		last = block.end;
		count += block.executed;
	}
	return count;
}

Test(fuzz_session, blocks_are_known_and_whether_they_were_executed)
{
	static const char *const code[] = {"json_check", "value", "list"};
	struct lf_fuzz_options options;
	struct lf_fuzz_block block;
	struct lf_fuzz *fuzz;
	size_t few, more;

	target_options(&options);
	fuzz = open_session(&options);
	cr_assert_eq(lf_fuzz_block_count(fuzz), 0, "nothing is watched");
	lf_fuzz_close(fuzz);

	options.coverage = LF_FUZZ_COVERAGE_BLOCK;
	options.code = code;
	options.code_count = 3;
	fuzz = open_session(&options);
	cr_assert_gt(lf_fuzz_block_count(fuzz), 10);
	cr_assert_eq(executed(fuzz), 0);
	cr_assert_eq(run(fuzz, "1"), LF_FUZZ_OK);
	few = executed(fuzz);
	cr_assert_gt(few, 0);
	cr_assert_eq(run(fuzz, "[[1, 2], {\"a\": []}]"), LF_FUZZ_OK);
	more = executed(fuzz);
	cr_assert_gt(more, few);
	/* Of any run: an input that does less takes none back. */
	cr_assert_eq(run(fuzz, "1"), LF_FUZZ_OK);
	cr_assert_eq(executed(fuzz), more);
	cr_assert_eq(
	    lf_fuzz_block(fuzz, lf_fuzz_block_count(fuzz), &block, &error),
	    -ERANGE);
	lf_fuzz_close(fuzz);
}

/* --- a report of any domain that stands somewhere --- */

Test(fuzz_session, a_crash_is_described_without_a_session)
{
	const struct lf_crash_options options = {
	    .what = "seen by hand", .symbols = image.symbols};
	struct lf_crash *crash, *again;
	struct lf_vcpu_regs regs;
	struct lf_domain *domain;
	char wanted[64];

	OK(lf_domain_fork(image.snapshot, NULL, &domain, &error));
	OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
	regs.rip = micro_image_symbol(&image, "json_check");
	OK(lf_vcpu_write_regs(domain, 0, &regs, &error));
	OK(lf_crash_new(domain, &options, &crash, &error));
	OK(lf_crash_new(domain, &options, &again, &error));
	cr_assert_eq(strlen(lf_crash_id(crash)), LF_CRASH_ID_LEN);
	cr_assert_str_eq(lf_crash_id(crash), lf_crash_id(again));
	cr_assert_not_null(
	    strstr(lf_crash_text(crash), "Crash: seen by hand\n"));
	cr_assert_not_null(
	    strstr(lf_crash_text(crash), "At: json_check+0x0\n"));
	snprintf(wanted, sizeof(wanted), "0x%lx", regs.rip);
	cr_assert_not_null(strstr(lf_crash_json(crash), wanted));
	lf_crash_free(again);
	lf_crash_free(crash);
	lf_domain_free(domain);
	lf_crash_free(NULL);
}

/* --- the fork server --- */

#define MAP_BYTES 65536

/* What an environment of AFL++'s is, and what becomes of it. */
Test(fork_server, whoever_is_not_started_by_afl_is_told_so)
{
	struct lf_afl *afl = NULL;

	unsetenv("__AFL_SHM_ID");
	cr_assert_eq(lf_afl_connect(&afl, &error), 0);
	setenv("__AFL_SHM_ID", "no number", 1);
	cr_assert_eq(lf_afl_connect(&afl, &error), -EINVAL);
	cr_assert_str_eq(error.message,
	    "__AFL_SHM_ID is 'no number', which is no number of shared memory");
	setenv("__AFL_SHM_ID", "2147483647", 1);
	cr_assert_lt(lf_afl_connect(&afl, &error), 0);
	cr_assert_not_null(strstr(error.message, "shared memory 2147483647"));
	cr_assert_null(afl);
	lf_afl_free(NULL);
}

/* AFL++'s end of the pipes, and its map. */
struct player {
	int control, status;
	uint8_t *map;
	int input; /* file of test cases, the standard input of the target */
};

static void
play(struct player *player, int id)
{
	int control[2], status[2];
	char number[16];

	player->map = shmat(id, NULL, 0);
	cr_assert_neq(player->map, (void *)-1);
	shmctl(id, IPC_RMID, NULL);
	snprintf(number, sizeof(number), "%d", id);
	setenv("__AFL_SHM_ID", number, 1);
	unsetenv("__AFL_SHM_FUZZ_ID");
	cr_assert_eq(pipe(control), 0);
	cr_assert_eq(pipe(status), 0);
	player->control = control[1];
	player->status = status[0];
	cr_assert_eq(dup2(control[0], AFL_CONTROL_FD), AFL_CONTROL_FD);
	cr_assert_eq(dup2(status[1], AFL_STATUS_FD), AFL_STATUS_FD);
	close(control[0]);
	close(status[1]);
}

static uint32_t
status_word(const struct player *player)
{
	uint32_t word = 0;

	cr_assert_eq(read(player->status, &word, 4), 4);
	return word;
}

/* One test case: the status that AFL++ gets. */
static uint32_t
give(const struct player *player, const char *input)
{
	const uint32_t word = 0;

	memset(player->map, 0, MAP_BYTES);
	cr_assert_eq(ftruncate(player->input, 0), 0);
	cr_assert_eq(pwrite(player->input, input, strlen(input), 0),
	    (ssize_t)strlen(input));
	cr_assert_eq(lseek(player->input, 0, SEEK_SET), 0);
	cr_assert_eq(write(player->control, &word, 4), 4);
	cr_assert_gt(status_word(player), 0, "a process id");
	return status_word(player);
}

struct served {
	struct lf_afl *afl;
	struct lf_fuzz *fuzz;
	int rc;
	struct lf_error error;
};

static void *
serve(void *opaque)
{
	struct served *served = opaque;

	served->rc = lf_afl_serve(
	    served->afl, served->fuzz, NULL, NULL, 0, &served->error);
	return NULL;
}

Test(fork_server, test_cases_come_and_statuses_go_until_afl_is_gone)
{
	static const char *const code[] = {"json_check", "value", "list"};
	struct lf_fuzz_options options;
	struct player player;
	struct served served;
	pthread_t thread;
	size_t bytes;
	char path[] = "/tmp/test-input.XXXXXX";

	play(&player, shmget(IPC_PRIVATE, MAP_BYTES, IPC_CREAT | 0600));
	player.input = mkostemp(path, O_CLOEXEC);
	unlink(path);
	cr_assert_eq(dup2(player.input, STDIN_FILENO), STDIN_FILENO);
	cr_assert_eq(lf_afl_connect(&served.afl, &error), 1);
	target_options(&options);
	options.coverage = LF_FUZZ_COVERAGE_BLOCK;
	options.code = code;
	options.code_count = 3;
	options.map = lf_afl_map(served.afl, &bytes);
	options.map_bytes = bytes;
	options.keep_map = true;
	cr_assert_eq(bytes, MAP_BYTES);
	served.fuzz = open_session(&options);
	pthread_create(&thread, NULL, serve, &served);
	/* "Here I am": the old introduction, with the map's size. */
	cr_assert_eq(status_word(&player) & 0xc0000001, 0xc0000001);
	cr_assert_eq(give(&player, "[1, 2]"), 0);
	cr_assert_neq(memchr(player.map, 1, MAP_BYTES), NULL, "covered");
	cr_assert_eq(give(&player, "!n"), SIGSEGV);
	cr_assert_eq(give(&player, "[1, 2]"), 0);
	close(player.control);
	pthread_join(thread, NULL);
	cr_assert_eq(served.rc, 0, "%s", served.error.message);
	/* Introduced, it does not refuse any more. */
	cr_assert_eq(fcntl(player.status, F_SETFL, O_NONBLOCK), 0);
	lf_afl_refuse(served.afl, -ENOSPC);
	cr_assert_lt(read(player.status, path, 4), 0);
	lf_fuzz_close(served.fuzz);
	lf_afl_free(served.afl);
}

Test(fork_server, a_refusal_is_one_word)
{
	struct player player;
	struct lf_afl *afl;

	play(&player, shmget(IPC_PRIVATE, MAP_BYTES, IPC_CREAT | 0600));
	cr_assert_eq(lf_afl_connect(&afl, &error), 1);
	lf_afl_refuse(afl, -ENOSPC);
	cr_assert_eq(status_word(&player), 0xf800018f);
	lf_afl_free(afl);
}
