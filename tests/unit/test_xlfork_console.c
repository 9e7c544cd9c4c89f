/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlfork's console against a stand-in for forkd: a socket, a file, a terminal
 * before it. The test plays the guest.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/stand_in.h"

TestSuite(console, .fini = stand_in_stop, .timeout = 120);

/* A guest whose console is a socket: our end of it, and xlfork's. */
static void
start_guest(int sv[2])
{
	static struct stand_in_answer answers[] = {
	    {"console", "{\"return\": {\"type\": \"socket\"}}", -1},
	    {"info", "{\"return\": {\"id\": 7}}", -1},
	    {NULL, NULL, -1},
	};

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	answers[0].fd = sv[1];
	stand_in_start(answers);
}

/*
 * Runs "console web" in a child whose input and output are pipes, while the
 * parent plays the guest at the other end of `guest`.
 */
static pid_t
start_console(int *ret_input, int *ret_output)
{
	int in[2], out[2];
	pid_t pid;

	cr_assert_eq(pipe(in), 0);
	cr_assert_eq(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		alarm(STAND_IN_LIFE_SECONDS);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		close(out[0]);
		_exit(stand_in_run("console web"));
	}
	close(in[0]);
	close(out[1]);
	*ret_input = in[1];
	*ret_output = out[0];
	return pid;
}

Test(console, a_console_in_pipes_passes_every_byte_both_ways)
{
	char buf[16] = "";
	int input, output, sv[2];
	pid_t pid;

	start_guest(sv);
	pid = start_console(&input, &output);
	/* The escape is a byte like any other when no terminal is there. */
	cr_expect_eq(write(input, "a\x1d\0b", 4), 4);
	cr_expect_eq(recv(sv[0], buf, 4, MSG_WAITALL), 4);
	cr_expect_arr_eq(buf, "a\x1d\0b", 4);
	/* The end of the input ends nothing. */
	close(input);
	usleep(50000);
	cr_expect_eq(write(sv[0], "tick 1\n", 7), 7);
	cr_expect_eq(read(output, buf, sizeof(buf)), 7);
	cr_expect_arr_eq(buf, "tick 1\n", 7);
	/* The end of the domain does. */
	shutdown(sv[0], SHUT_RDWR);
	close(sv[0]);
	close(sv[1]);
	cr_expect_eq(stand_in_exit_status(pid), 0);
	close(output);
}

Test(console, a_guest_that_reads_nothing_does_not_hold_up_its_own_output)
{
	static char flood[65536];
	struct pollfd guest = {.events = POLLOUT};
	char buf[16] = "";
	int input, output, sv[2];
	size_t taken = 0;
	ssize_t n;
	pid_t pid;

	start_guest(sv);
	pid = start_console(&input, &output);
	fcntl(input, F_SETFL, O_NONBLOCK);
	/* Until the way to the guest is full, and then the way to there. */
	guest.fd = sv[1];
	do {
		n = write(input, flood, sizeof(flood));
		taken += n > 0 ? (size_t)n : 0;
		cr_assert_lt(taken, 1UL << 26, "the console takes everything");
		usleep(n < 0 ? 5000 : 0);
	} while (n >= 0 || poll(&guest, 1, 0) > 0);
	cr_expect_eq(write(sv[0], "tick 2\n", 7), 7);
	cr_expect_eq(read(output, buf, sizeof(buf)), 7);
	shutdown(sv[0], SHUT_RDWR);
	close(sv[0]);
	close(sv[1]);
	cr_expect_eq(stand_in_exit_status(pid), 0);
	close(input);
	close(output);
}

Test(console, a_console_that_is_a_file_is_followed_until_the_domain_is_gone)
{
	static struct stand_in_answer answers[] = {
	    {"console", "{\"return\": {\"type\": \"file\"}}", -1},
	    {"info", "{\"return\": {\"id\": 7}}", -1},
	    {"domname", "{\"return\": {\"name\": \"web\"}}", -1},
	    {"domname",
		"{\"error\": {\"class\": \"NotFound\", \"desc\": \"gone\"}}",
		-1},
	    {NULL, NULL, -1},
	};
	char path[] = "/tmp/test-xlfork-file-XXXXXX", buf[16] = "";
	int input, output, fd = mkstemp(path);
	pid_t pid;

	answers[0].fd = open(path, O_RDONLY);
	unlink(path);
	stand_in_start(answers);
	cr_assert_eq(write(fd, "one\n", 4), 4);
	pid = start_console(&input, &output);
	cr_expect_eq(read(output, buf, sizeof(buf)), 4);
	cr_expect_eq(write(fd, "two\n", 4), 4);
	cr_expect_eq(read(output, buf, sizeof(buf)), 4);
	cr_expect_arr_eq(buf, "two\n", 4);
	atomic_store(&stand_in_shared->later, true);
	cr_expect_eq(stand_in_exit_status(pid), 0);
	close(fd);
	close(input);
	close(output);
}

Test(console, on_a_terminal_the_escape_leaves_and_the_terminal_is_as_before)
{
	struct termios before, after;
	int master, slave, sv[2];
	char buf[4] = "";
	pid_t pid;

	start_guest(sv);
	cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	cr_assert_eq(tcgetattr(slave, &before), 0);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		alarm(STAND_IN_LIFE_SECONDS);
		dup2(slave, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		_exit(stand_in_run("console web"));
	}
	/* Raw: Ctrl-C goes to the guest, without a line feed after it. */
	do {
		usleep(5000);
		tcgetattr(slave, &after);
	} while ((after.c_lflag & ICANON) != 0);
	cr_expect_eq(write(master, "x\x03", 2), 2);
	cr_expect_eq(recv(sv[0], buf, 2, MSG_WAITALL), 2);
	cr_expect_arr_eq(buf, "x\x03", 2);
	cr_expect_eq(write(master, "\x1d", 1), 1);
	cr_expect_eq(stand_in_exit_status(pid), 0);
	cr_assert_eq(tcgetattr(slave, &after), 0);
	cr_expect_eq(before.c_lflag, after.c_lflag);
	cr_expect_eq(before.c_iflag, after.c_iflag);
}
