/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz/afl_handshake, fuzz/afl_child: what AFL++ is told at first, word by
 * word, and the process that stands for a run.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"
#include "fuzz/afl.h"
#include "fuzz/session.h"

static struct lf_error error;

static void
must(int rc)
{
	cr_assert_geq(rc, 0, "%s", error.message);
}

/* --- introductions to AFL++ --- */

static void
expect_words(int fd, const uint32_t *words, size_t count)
{
	uint32_t word;
	size_t i;

	for (i = 0; i < count; i++) {
		cr_assert_eq(read(fd, &word, sizeof(word)), sizeof(word));
		cr_expect_eq(
		    word, words[i], "%zu: %08x, not %08x", i, word, words[i]);
	}
}

Test(afl, the_old_introduction_has_the_map_and_shared_test_cases)
{
	struct afl_terms terms = {.map_bytes = 65536, .shared_input = true};
	const uint32_t sent[] = {0xc101ffff}, answer = 0x81000001;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	cr_assert_eq(write(sv[0], &answer, 4), 4);
	cr_assert_eq(afl_handshake_version(&terms), AFL_VERSION_OLD);
	must(afl_handshake(sv[1], sv[1], AFL_VERSION_OLD, &terms, &error));
	expect_words(sv[0], sent, 1);
	cr_expect(terms.shared_input);
	close(sv[0]);
	close(sv[1]);
}

Test(afl, a_dictionary_is_sent_when_it_is_wanted)
{
	struct afl_terms terms = {
	    .map_bytes = 64, .dictionary = "\3abc", .dictionary_len = 4};
	const uint32_t sent[] = {0xd000007f, 4, 0x63626103};
	const uint32_t answer = 0x90000001;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	cr_assert_eq(write(sv[0], &answer, 4), 4);
	must(afl_handshake(sv[1], sv[1], AFL_VERSION_OLD, &terms, &error));
	expect_words(sv[0], sent, 3);
	close(sv[0]);
	close(sv[1]);
}

Test(afl, a_large_map_needs_the_new_introduction)
{
	struct afl_terms terms = {.map_bytes = 0x800001, .shared_input = true};
	const uint32_t sent[] = {0x41464c01, 3, 0x800001, 0x41464c01};
	const uint32_t answer = ~0x41464c01U, old = 0;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	cr_assert_eq(write(sv[0], &answer, 4), 4);
	cr_assert_eq(afl_handshake_version(&terms), AFL_VERSION_NEW);
	must(afl_handshake(sv[1], sv[1], AFL_VERSION_NEW, &terms, &error));
	expect_words(sv[0], sent, 4);
	signal(SIGPIPE, SIG_IGN);
	/* An old AFL++ takes it for a hello and goes on. */
	cr_assert_eq(write(sv[0], &old, 4), 4);
	cr_expect_eq(
	    afl_handshake(sv[1], sv[1], AFL_VERSION_NEW, &terms, &error),
	    -EPROTO);
	close(sv[0]);
	cr_expect_eq(
	    afl_handshake(sv[1], sv[1], AFL_VERSION_OLD, &terms, &error) < 0,
	    true);
	close(sv[1]);
}

Test(afl, a_refusal_has_no_words_that_are_not_true)
{
	/* FS_OPT_ERROR with FS_ERROR_MAP_SIZE, and with one it does not know */
	cr_expect_eq(afl_handshake_refusal(-ENOSPC), 0xf800018f);
	cr_expect_eq(afl_handshake_refusal(-EFAULT), 0xf800ff8f);
}

/* --- the process that stands for a run --- */

static int
no_clone(int (*fn)(void *), void *stack, int flags, void *arg)
{
	(void)fn;
	(void)stack;
	(void)flags;
	(void)arg;
	errno = EAGAIN;
	return -1;
}

Test(afl, a_process_that_cannot_be_made_is_not_taken_for_the_end)
{
	static struct lf_fuzz fuzz;
	struct afl_child child = {.fuzz = NULL};
	int control[2];

	cr_assert_eq(pipe(control), 0);
	sys.clone = no_clone;
	must(afl_child_start(&child, &fuzz, control[0], &error));
	cr_expect_eq(afl_child_pid(&child, &error), -EAGAIN);
	cr_expect_neq(strstr(error.message, "stands for a run"), NULL, "%s",
	    error.message);
	afl_child_end(&child);
	close(control[0]);
	close(control[1]);
}

Test(afl, a_killed_process_is_followed_by_another_until_the_pipe_ends)
{
	static struct lf_fuzz fuzz;
	struct afl_child child = {.fuzz = NULL};
	int control[2], i;
	pid_t last = 0;

	cr_assert_eq(pipe(control), 0);
	must(afl_child_start(&child, &fuzz, control[0], &error));
	for (i = 0; i < 5; i++) {
		pid_t pid = afl_child_pid(&child, &error);

		cr_assert_gt(pid, 0);
		cr_assert_neq(pid, last);
		cr_assert_eq(afl_child_pid(&child, &error), pid);
		cr_assert_eq(kill(pid, SIGKILL), 0);
		afl_child_wait(&child);
		last = pid;
	}
	close(control[1]);
	while (afl_child_pid(&child, &error) > 0)
		usleep(1000);
	cr_expect_eq(afl_child_pid(&child, &error), 0);
	afl_child_end(&child);
	close(control[0]);
}
