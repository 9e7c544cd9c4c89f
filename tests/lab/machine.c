/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * machine SECONDS FAILED QEMU ARGUMENT...: runs the lab's QEMU, sorts what
 * comes from it into standard output and standard error, and ends with the
 * exit status of the lab's command.
 *
 * All of it comes through one pipe, QEMU's descriptor 3, as frames: a byte
 * that says what it is, the length (32 bits, little-endian), the bytes. As the
 * exit status comes last in the same stream, nothing can be lost before it.
 *
 * Exit status 124 after SECONDS, 125 when QEMU ends before the command; both
 * make the file FAILED. QEMU dies with this process, and this process with its
 * parent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame.h"

enum { TIMED_OUT = 124, FAILED = 125, OUTPUT_FD = 3 };

static volatile pid_t qemu;
static long seconds;
static const char *failed;

static void
note_failure(void)
{
	close(open(failed, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static void __attribute__((noreturn)) end(int status)
{
	kill(qemu, SIGKILL);
	waitpid(qemu, NULL, 0);
	_exit(status);
}

static void
on_alarm(int number)
{
	char text[64];
	int len = snprintf(
	    text, sizeof(text), "lab: no end after %ld seconds\n", seconds);

	(void)number;
	(void)!write(2, text, (size_t)len);
	note_failure();
	end(TIMED_OUT);
}

static pid_t
start(char **argv, int output)
{
	pid_t parent = getpid(), pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(FAILED);
	dup2(output, OUTPUT_FD); /* open across exec, unlike the original */
	execvp(argv[0], argv);
	fprintf(stderr, "lab: %s: %s\n", argv[0], strerror(errno));
	_exit(FAILED);
}

/* Read exactly len bytes; whether there were so many. */
static int
read_all(int fd, void *buffer, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, (char *)buffer + done, len - done);

		if (n == 0 || (n < 0 && errno != EINTR))
			return 0;
		if (n > 0)
			done += (size_t)n;
	}
	return 1;
}

/* A reader that is gone must not end the command, as with a pipe it would not
 * before the command writes again. */
static void
write_all(int fd, const unsigned char *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, bytes + done, len - done);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0)
			done += (size_t)n;
	}
}

int
main(int argc, char **argv)
{
	static unsigned char bytes[FRAME_MAX];
	unsigned char head[FRAME_HEAD];
	int pipe_fds[2];

	if (argc < 4) {
		fprintf(stderr, "machine SECONDS FAILED QEMU ARGUMENT...\n");
		return 2;
	}
	seconds = strtol(argv[1], NULL, 10);
	failed = argv[2];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	/* Descriptor 3 must be free for QEMU's end of the pipe. */
	if (fcntl(OUTPUT_FD, F_GETFD) < 0)
		(void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0 ||
	    (qemu = start(argv + 3, pipe_fds[1])) < 0) {
		perror("lab");
		return FAILED;
	}
	close(pipe_fds[1]);
	signal(SIGALRM, on_alarm);
	alarm((unsigned)seconds);
	while (read_all(pipe_fds[0], head, sizeof(head))) {
		size_t len = frame_len(head);

		if (len > sizeof(bytes) || !read_all(pipe_fds[0], bytes, len))
			break;
		if (head[0] == FRAME_STATUS && len == 1)
			end(bytes[0]);
		write_all(head[0] == FRAME_ERROR ? 2 : 1, bytes, len);
	}
	note_failure();
	fprintf(stderr, "lab: the machine ended before the command did\n");
	end(FAILED);
}
