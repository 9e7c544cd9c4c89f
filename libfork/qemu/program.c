/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fork and exec. Between the two only calls that are safe in a process with
 * other threads; a failure is reported through a pipe that exec closes.
 */
#include "qemu/program.h"

#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

#define LOG_BYTES      (64 * 1024)
#define LAST_LINES     3
#define RUN_TIMEOUT_MS 60000

/*
 * A memfd that cannot grow: a program that writes more gets an error, and
 * neither it nor we run out of memory.
 */
static int
make_log(struct lf_error *error)
{
	cleanup_close int fd =
	    sys.memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || sys.ftruncate(fd, LOG_BYTES) < 0 ||
	    sys.fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		return error_sys(error, errno, "cannot make a log");
	return take_fd(&fd);
}

/* In the child: exec or tell why not. */
static void __attribute__((noreturn))
child(const struct program *program, int log_fd, int status_fd, pid_t parent)
{
	int base = 3 + (int)program->fd_count;
	int failed, log, status;
	sigset_t none;
	size_t i;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (program->end_with_thread) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
	}
	/*
	 * Everything goes above the numbers that are handed out before any of
	 * it goes down, lest one overwrite another that is still to be moved.
	 */
	log = fcntl(log_fd, F_DUPFD_CLOEXEC, base);
	status = fcntl(status_fd, F_DUPFD_CLOEXEC, base);
	if (log < 0 || status < 0)
		_exit(127);
	for (i = 0; i < program->fd_count; i++) {
		int moved = fcntl(program->fds[i], F_DUPFD_CLOEXEC, base);

		if (moved < 0)
			goto fail;
		program->fds[i] = moved;
	}
	for (i = 0; i < program->fd_count; i++)
		if (dup2(program->fds[i], 3 + (int)i) < 0)
			goto fail;
	if (dup2(log, 1) < 0 || dup2(log, 2) < 0)
		goto fail;
	close(0);
	if (open("/dev/null", O_RDONLY) != 0)
		goto fail;
	close_range((unsigned)base, ~0U, CLOSE_RANGE_CLOEXEC);
	execvp(program->argv[0], program->argv);
fail:
	failed = errno;
	(void)!write(status, &failed, sizeof(failed));
	_exit(127);
}

void
program_end(pid_t pid, int pidfd)
{
	if (pidfd < 0)
		return;
	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* What the child said before exec; nothing is what it should say. */
static int
read_status(int fd, const char *name, struct lf_error *error)
{
	int failed = 0;
	ssize_t n;

	do
		n = sys.read(fd, &failed, sizeof(failed));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(error, errno, "cannot start '%s'", name);
	if (n == sizeof(failed))
		return error_sys(error, failed, "cannot run '%s'", name);
	return 0;
}

int
program_start(const struct program *program, pid_t *ret_pid, int *ret_pidfd,
    int *ret_log_fd, struct lf_error *error)
{
	cleanup_close int log_fd = -1, status = -1, status_child = -1;
	const char *name = program->argv[0];
	pid_t parent = getpid(), pid;
	int fds[2], pidfd, rc;

	log_fd = make_log(error);
	if (log_fd < 0)
		return log_fd;
	if (sys.pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(error, errno, "cannot start '%s'", name);
	status = fds[0];
	status_child = fds[1];
	pid = sys.fork();
	if (pid < 0)
		return error_sys(error, errno, "cannot start '%s'", name);
	if (pid == 0)
		child(program, log_fd, status_child, parent);
	status_child = close_fd(status_child);

	pidfd = sys.pidfd_open(pid, 0);
	rc = pidfd < 0 ? error_sys(error, errno, "cannot watch '%s'", name)
		       : read_status(status, name, error);
	if (rc < 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		close_fd(pidfd);
		return rc;
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	*ret_log_fd = take_fd(&log_fd);
	return 0;
}

/* Reads a log up to its first NUL byte; the caller frees it. */
static int
read_log(int fd, char **ret_text)
{
	char *text = sys.malloc(LOG_BYTES + 1);
	ssize_t n;

	if (text == NULL)
		return -ENOMEM;
	n = sys.pread(fd, text, LOG_BYTES, 0);
	text[n > 0 ? n : 0] = '\0';
	*ret_text = text;
	return 0;
}

/* Where the line before `end` begins. */
static const char *
line_before(const char *text, const char *end)
{
	while (end > text && end[-1] != '\n')
		end--;
	return end;
}

/* What QEMU prints of every pty is nobody's last words. */
static bool
is_chatter(const char *line)
{
	static const char redirected[] = "char device redirected to ";

	return strncmp(line, redirected, sizeof(redirected) - 1) == 0;
}

void
program_last_words(int log_fd, char *buf, size_t size)
{
	cleanup_free char *text = NULL;
	const char *lines[LAST_LINES], *end;
	size_t count = 0, used = 0;

	buf[0] = '\0';
	if (log_fd < 0 || read_log(log_fd, &text) < 0)
		return;
	end = text + strlen(text);
	while (count < LAST_LINES && end > text) {
		const char *line;

		while (end > text && end[-1] == '\n')
			end--;
		line = line_before(text, end);
		if (line < end && !is_chatter(line))
			lines[count++] = line;
		end = line;
	}
	while (count > 0 && used < size) {
		const char *line = lines[--count];
		int len = (int)strcspn(line, "\n");
		const char *colon = memmem(line, (size_t)len, ": ", 2);
		int n;

		/* "qemu-system-x86_64: " says nothing new. */
		if (colon != NULL && strncmp(line, "qemu-", 5) == 0) {
			len -= (int)(colon + 2 - line);
			line = colon + 2;
		}
		n = snprintf(buf + used, size - used, "%s%.*s",
		    used > 0 ? "; " : "", len, line);
		used += n > 0 ? (size_t)n : 0;
	}
}

static int
wait_for(pid_t pid, int pidfd, const char *name, int *ret_status,
    struct lf_error *error)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	int n;

	do
		n = sys.poll(&pfd, 1, RUN_TIMEOUT_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		program_end(pid, pidfd);
		return n < 0 ? error_sys(error, errno, "'%s'", name)
			     : error_set(error, ETIMEDOUT,
				   "'%s' did not end within a minute", name);
	}
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

int
program_run(char *const *argv, char **ret_text, struct lf_error *error)
{
	struct program program = {.argv = argv};
	cleanup_close int pidfd = -1, log_fd = -1;
	char words[512];
	int rc, status = 0;
	pid_t pid;

	rc = program_start(&program, &pid, &pidfd, &log_fd, error);
	if (rc == 0)
		rc = wait_for(pid, pidfd, argv[0], &status, error);
	if (rc < 0)
		return rc;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		program_last_words(log_fd, words, sizeof(words));
		return error_set(error, EIO, "%s failed: %s", argv[0], words);
	}
	if (ret_text != NULL && read_log(log_fd, ret_text) < 0)
		return error_nomem(error);
	return 0;
}
