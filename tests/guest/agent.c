/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent [DEVICE]: runs shell commands sent over a serial line.
 *
 * Request: "ID COMMAND\n". Reply: every line that the command writes as
 * "ID> line", then "ID= STATUS". Each line of the reply is written at once,
 * so that other programs may write lines of their own to the same console
 * and a reader can always tell them apart.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "guest.h"

enum { LINE_MAX_BYTES = 4096 };

static void
say(int tty, const char *id, char mark, const char *text)
{
	char line[LINE_MAX_BYTES + 80];
	int len = snprintf(line, sizeof(line), "%s%c %s\n", id, mark, text);

	for (int done = 0; done < len;) {
		ssize_t n = write(tty, line + done, (size_t)(len - done));

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0)
			done += (int)n;
	}
}

/* Pass on whole lines; the last one need not end in a newline. */
static void
pass_lines(int tty, const char *id, char *buffer, size_t *len, int at_end)
{
	char *newline;

	while ((newline = memchr(buffer, '\n', *len)) != NULL ||
	       *len == LINE_MAX_BYTES - 1 || (at_end && *len > 0)) {
		size_t used = newline ? (size_t)(newline - buffer) : *len;

		buffer[used] = '\0';
		say(tty, id, '>', buffer);
		used += newline != NULL;
		memmove(buffer, buffer + used, *len - used);
		*len -= used;
	}
}

/* The reply ends when the shell does; what it left running in the background
 * may go on holding the pipe. */
static void
run(int tty, const char *id, const char *command)
{
	char buffer[LINE_MAX_BYTES], status_text[16];
	int pipe_fds[2], status = 0, ended = 0;
	size_t len = 0;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		dup2(null, 0);
		dup2(pipe_fds[1], 1);
		dup2(pipe_fds[1], 2);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(pipe_fds[1]);
	for (;;) {
		struct pollfd poll_fd = {.fd = pipe_fds[0], .events = POLLIN};
		int ready = poll(&poll_fd, 1, ended ? 0 : 20);

		if (ready > 0) {
			ssize_t n = read(pipe_fds[0], buffer + len,
			    sizeof(buffer) - 1 - len);

			if (n > 0) {
				len += (size_t)n;
				pass_lines(tty, id, buffer, &len, 0);
				continue;
			}
			if (!ended)
				waitpid(pid, &status, 0);
			break;
		}
		if (ended)
			break;
		ended = waitpid(pid, &status, WNOHANG) == pid;
	}
	pass_lines(tty, id, buffer, &len, 1);
	close(pipe_fds[0]);
	snprintf(status_text, sizeof(status_text), "%d",
	    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	say(tty, id, '=', status_text);
}

int
agent_main(int argc, char **argv)
{
	const char *device = argc > 1 ? argv[1] : "/dev/ttyS0";
	char line[LINE_MAX_BYTES];
	struct termios mode;
	FILE *in;
	int tty;

	tty = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0 || (in = fdopen(dup(tty), "r")) == NULL)
		err(1, "%s", device);
	if (tcgetattr(tty, &mode) == 0) {
		mode.c_lflag &= (tcflag_t) ~(ECHO | ISIG);
		mode.c_oflag &= (tcflag_t)~ONLCR;
		tcsetattr(tty, TCSANOW, &mode);
	}
	say(tty, "agent", '>', "ready");
	while (fgets(line, sizeof(line), in) != NULL) {
		char *id, *command;

		line[strcspn(line, "\r\n")] = '\0';
		id = line;
		command = strchr(line, ' ');
		if (command == NULL || command == line || command - line > 32) {
			if (line[0] != '\0')
				say(tty, "agent", '>', "want: ID COMMAND");
			continue;
		}
		*command++ = '\0';
		run(tty, id, command);
	}
	return 1;
}
