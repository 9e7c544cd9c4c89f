/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting the user's forkd. The new daemon says through a pipe that it is
 * ready, or in one line why it is not; end of file without a line means that
 * another forkd has the lock: it was faster, which is as good, or it is just
 * ending, and we try again.
 */
#include "control/start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "control/paths.h"

/* Between two tries to get a forkd. */
#define AGAIN_MS 50

/*
 * Where a forkd may lie as seen from the running program: installed in the same
 * prefix, or in a build tree (libtool puts programs into .libs).
 */
static const char *const places[] = {
    "forkd",
    "../sbin/forkd",
    "../forkd/forkd",
    "../../forkd/forkd",
};

static int
program_beside_us(char *path, size_t size)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct stat st;
	size_t i;

	if (n <= 0)
		return -1;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if ((size_t)snprintf(path, size, "%s/%s", self, places[i]) >=
		    size)
			continue;
		if (sys.stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    (st.st_mode & S_IXUSR) != 0)
			return 0;
	}
	return -1;
}

const char *
control_program(const char *program, char *buf, size_t size)
{
	const char *env = getenv(CONTROL_FORKD_ENV);

	if (program != NULL)
		return program;
	if (env != NULL && env[0] != '\0')
		return env;
	if (program_beside_us(buf, size) == 0)
		return buf;
	return FORKD_PROGRAM;
}

/*
 * In the child's child: its own session, so that the terminal's signals do not
 * reach the daemon; only the pipe is inherited. Calls the system directly: a
 * fault loop looks at the parent.
 */
static void __attribute__((noreturn))
become_forkd(const char *program, const char *run_dir, int ready)
{
	char number[16];
	sigset_t none;
	int null;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0 || chdir("/") < 0)
		_exit(126);
	/* A fixed number, then everything above it is not ours to keep. */
	if (dup2(ready, 3) < 0)
		_exit(126);
	if (ready == 3)
		fcntl(ready, F_SETFD, 0);
	close_range(4, ~0U, 0);
	snprintf(number, sizeof(number), "%d", 3);
	execl(program, "forkd", "--auto-exit", "--ready-fd", number,
	    "--run-dir", run_dir, (char *)NULL);
	dprintf(3, "cannot start '%s': %s", program, strerror(errno));
	_exit(127);
}

/* Forks twice, so that nobody here has to wait for the daemon's end. */
static int
spawn(const char *program, const char *run_dir, int *ret_ready,
    struct lf_error *error)
{
	cleanup_close int out = -1, in = -1;
	int fds[2];
	pid_t pid;

	if (sys.pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(error, errno, "cannot make a pipe");
	out = fds[0];
	in = fds[1];
	pid = sys.fork();
	if (pid < 0)
		return error_sys(error, errno, "cannot start forkd");
	if (pid == 0) {
		setsid();
		pid = fork();
		if (pid != 0)
			_exit(pid < 0);
		become_forkd(program, run_dir, in);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	*ret_ready = take_fd(&out);
	return 0;
}

/* The daemon's word: "ready", nothing, or why it could not start. */
static int
read_ready(int ready, int timeout_ms, struct lf_error *error)
{
	char line[LF_ERROR_MESSAGE_MAX];
	size_t len = 0;

	for (;;) {
		struct pollfd p = {.fd = ready, .events = POLLIN};
		ssize_t n;
		int r;

		r = sys.poll(&p, 1, timeout_ms);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_sys(error, errno, "cannot wait for forkd");
		if (r == 0)
			return error_set(error, ETIMEDOUT,
			    "forkd was started but is not ready after %d ms",
			    timeout_ms);
		n = sys.read(ready, line + len, sizeof(line) - 1 - len);
		if (n < 0)
			return error_sys(
			    error, errno, "cannot read from forkd");
		if (n == 0 || len + (size_t)n == sizeof(line) - 1) {
			len += (size_t)n;
			break;
		}
		len += (size_t)n;
	}
	line[len] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (len == 0 || strcmp(line, "ready") == 0)
		return 0;
	return error_set(error, EIO, "forkd did not start: %s", line);
}

/* Nobody listens, or a forkd that was just ending did. */
static bool
nobody_there(int rc)
{
	return rc == -ENOENT || rc == -ECONNREFUSED || rc == -EPIPE ||
	       rc == -ECONNRESET;
}

int
control_start(const char *program, bool start, int timeout_ms,
    struct control_client **ret_client, struct lf_error *error)
{
	cleanup_free char *run_dir = NULL, *path = NULL;
	char buf[4096];
	int rc, waited;

	rc = control_run_dir(&run_dir, error);
	if (rc < 0)
		return rc;
	rc = control_socket_path(run_dir, &path, error);
	if (rc < 0)
		return rc;
	for (waited = 0;; waited += AGAIN_MS) {
		cleanup_close int ready = -1;

		rc =
		    control_client_connect(path, timeout_ms, ret_client, error);
		if (!nobody_there(rc) || waited > timeout_ms)
			return rc;
		if (!start)
			return error_set(
			    error, ENOENT, "no forkd runs at '%s'", path);
		/* Another one that has the lock comes up, or is ending. */
		if (waited > 0)
			usleep(AGAIN_MS * 1000);
		rc = spawn(control_program(program, buf, sizeof(buf)), run_dir,
		    &ready, error);
		if (rc == 0)
			rc = read_ready(ready, timeout_ms, error);
		if (rc < 0)
			return rc;
	}
}
