/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting programs, and knowing processes again.
 */
#include "forkd/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

/* Bytes of a program's output that are kept; later ones are lost. */
#define LOG_BYTES 65536

/* Descriptors of one program: 12 disks of 64 files each, and the rest. */
#define SPAWN_FDS_MAX 1024

/* --- in the child; calls the system directly, fault loops watch forkd --- */

static void __attribute__((noreturn, format(printf, 1, 2)))
child_fail(const char *format, ...)
{
	char line[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (len > 0 && write(2, line, strlen(line)) < 0)
		_exit(126);
	_exit(127);
}

/* The file's content where everybody may open it: a memfd has mode 0777. */
static int
child_copy(int fd)
{
	int copy = memfd_create("copy", MFD_CLOEXEC);
	off_t offset = 0;
	ssize_t n;

	if (copy < 0)
		child_fail("cannot copy a file: %s", strerror(errno));
	while ((n = sendfile(copy, fd, &offset, INT_MAX)) > 0)
		;
	if (n < 0)
		child_fail("cannot copy a file: %s", strerror(errno));
	return copy;
}

/*
 * Puts every descriptor where it belongs. First all are moved above the
 * numbers wanted, so that none is overwritten before its turn.
 */
static void
child_place_fds(const struct spawn_request *r)
{
	int top = 3, moved[SPAWN_FDS_MAX];
	size_t i;

	for (i = 0; i < r->fd_count; i++)
		if (r->fds[i].number >= top)
			top = r->fds[i].number + 1;
	for (i = 0; i < r->fd_count; i++) {
		int fd =
		    r->fds[i].copy ? child_copy(r->fds[i].fd) : r->fds[i].fd;

		moved[i] = fcntl(fd, F_DUPFD, top);
		if (moved[i] < 0)
			child_fail(
			    "cannot move a descriptor: %s", strerror(errno));
	}
	for (i = 0; i < r->fd_count; i++)
		if (dup2(moved[i], r->fds[i].number) < 0)
			child_fail(
			    "cannot place a descriptor: %s", strerror(errno));
	close_range(top, ~0U, 0);
}

static void
child_become(const struct spawn_user *user)
{
	gid_t groups[] = {user->gid, user->extra_gid};

	if (!user->change)
		return;
	if (setgroups(user->extra_gid == user->gid ? 1 : 2, groups) < 0 ||
	    setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		child_fail(
		    "cannot become user %u: %s", user->uid, strerror(errno));
}

static void
child_reset_signals(void)
{
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Killed when forkd dies, and over if it died just now. */
static void
child_tie(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    getppid() != parent)
		_exit(125);
}

static void __attribute__((noreturn))
child_run(const struct spawn_request *r, int wait_fd, pid_t parent)
{
	struct rlimit no_core = {0, 0};
	int null, log;
	char go;

	child_reset_signals();
	setsid();
	if (r->ends_with_us)
		child_tie(parent);
	/* End of file: forkd died before it could note us. */
	if (read(wait_fd, &go, 1) != 1)
		_exit(125);
	null = open("/dev/null", O_RDWR);
	log = r->log_fd >= 0 ? r->log_fd : null;
	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 ||
	    dup2(log, 2) < 0 || chdir("/") < 0)
		_exit(126);
	child_place_fds(r);
	umask(077);
	setrlimit(RLIMIT_CORE, &no_core);
	child_become(r->user);
	/* The kernel forgets it when the user changes. */
	if (r->ends_with_us)
		child_tie(parent);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		child_fail("cannot give up privileges: %s", strerror(errno));
	execvp(r->program, r->argv);
	child_fail("cannot execute '%s': %s", r->program, strerror(errno));
}

/* --- in forkd --- */

/* Field 22 of /proc/PID/stat: clock ticks from boot to the process's start. */
static int
read_start_time(pid_t pid, uint64_t *ret_time, struct lf_error *error)
{
	cleanup_close int fd = -1;
	char path[64], text[1024], *at;
	unsigned long long value;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return error_sys(error, errno == ENOENT ? ESRCH : errno,
		    "cannot open '%s'", path);
	n = sys.read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return error_sys(
		    error, n < 0 ? errno : ESRCH, "cannot read '%s'", path);
	text[n] = '\0';
	/* The name, field 2, may hold anything; it ends with the last ')'. */
	at = strrchr(text, ')');
	if (at == NULL ||
	    sscanf(at + 1,
		" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
		"%*d %*d %*d %*d %llu",
		&value) != 1)
		return error_set(error, EIO, "cannot understand '%s'", path);
	*ret_time = value;
	return 0;
}

static int
identify(pid_t pid, struct process *ret_process, struct lf_error *error)
{
	struct process p = {.pid = pid};
	int rc;

	p.pidfd = sys.pidfd_open(pid, 0);
	if (p.pidfd < 0)
		return error_sys(
		    error, errno, "cannot get hold of process %d", pid);
	rc = read_start_time(pid, &p.start_time, error);
	if (rc < 0) {
		process_done(&p);
		return rc;
	}
	*ret_process = p;
	return 0;
}

int
spawn_begin(const struct spawn_request *request, struct process *ret_process,
    int *ret_go, struct lf_error *error)
{
	cleanup_close int wait_fd = -1, go = -1;
	int fds[2], rc;
	pid_t pid, self = getpid();

	if (request->fd_count > SPAWN_FDS_MAX)
		return error_set(error, E2BIG,
		    "%zu descriptors for one program, at most %d are allowed",
		    request->fd_count, SPAWN_FDS_MAX);
	if (sys.pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(error, errno, "cannot make a pipe");
	wait_fd = fds[0];
	go = fds[1];
	pid = sys.fork();
	if (pid < 0)
		return error_sys(
		    error, errno, "cannot start '%s'", request->program);
	if (pid == 0) {
		close(go);
		child_run(request, wait_fd, self);
	}
	rc = identify(pid, ret_process, error);
	if (rc < 0) {
		/* It ends when the pipe closes; being waited for, at once. */
		go = close_fd(go);
		waitpid(pid, NULL, 0);
		return rc;
	}
	*ret_go = take_fd(&go);
	return 0;
}

int
spawn_go(int take_go, struct lf_error *error)
{
	ssize_t n = sys.write(take_go, "g", 1);
	int rc = n == 1 ? 0 : error_sys(error, errno, "cannot start a process");

	close_fd(take_go);
	return rc;
}

void
spawn_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		sys.setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void
spawn_cancel(struct process *process)
{
	process_kill(process);
	while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
		;
	process_done(process);
}

void
process_kill(const struct process *process)
{
	if (process->pidfd >= 0)
		pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
}

void
process_done(struct process *process)
{
	close_fd(process->pidfd);
	*process = PROCESS_NONE;
}

int
process_find(pid_t pid, uint64_t start_time, struct process *ret_process,
    struct lf_error *error)
{
	struct process p;
	int rc;

	if (pid <= 0)
		return error_set(error, ESRCH, "no process was recorded");
	rc = identify(pid, &p, error);
	if (rc < 0)
		return rc;
	if (p.start_time != start_time) {
		process_done(&p);
		return error_set(error, ESRCH, "process %d is gone", pid);
	}
	*ret_process = p;
	return 0;
}

void
process_collect(const struct process *process, char *ret_how, size_t size)
{
	siginfo_t info = {0};

	if (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG) <
		0 ||
	    info.si_pid == 0)
		snprintf(ret_how, size, "ended");
	else if (info.si_code == CLD_EXITED)
		snprintf(
		    ret_how, size, "exited with status %d", info.si_status);
	else
		snprintf(
		    ret_how, size, "was killed by signal %d", info.si_status);
}

int
spawn_make_log(int *ret_fd, struct lf_error *error)
{
	cleanup_close int fd = -1;

	fd = sys.memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_sys(error, errno, "cannot make a log");
	if (sys.ftruncate(fd, LOG_BYTES) < 0 ||
	    sys.fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		return error_sys(error, errno, "cannot limit a log");
	*ret_fd = take_fd(&fd);
	return 0;
}

void
spawn_last_line(int log_fd, char *ret_line, size_t size)
{
	char text[4096];
	ssize_t len, n = 0;
	char *line;

	ret_line[0] = '\0';
	/* The writers share the file's position: it is where the text ends. */
	len = log_fd >= 0 ? sys.lseek(log_fd, 0, SEEK_CUR) : 0;
	if (len > 0) {
		off_t from = len > (ssize_t)sizeof(text) - 1
				 ? len - ((ssize_t)sizeof(text) - 1)
				 : 0;

		n = sys.pread(log_fd, text, sizeof(text) - 1, from);
	}
	if (n <= 0)
		return;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\0'))
		n--;
	text[n] = '\0';
	line = strrchr(text, '\n');
	snprintf(ret_line, size, "%s", line != NULL ? line + 1 : text);
}
