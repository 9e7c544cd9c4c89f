/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sandbox of each role: calls that are allowed, calls that fail, calls
 * that end the process; and that it holds for threads made later.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forkd/sandbox.h"

/* Each returns what the child exits with: 0, or the errno it met. */

static int
allowed_memory(void)
{
	void *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int
allowed_memfd(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	return fd < 0 || ftruncate(fd, 4096) < 0 ? errno : 0;
}

static void *
open_in_thread(void *arg)
{
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	*(int *)arg = fd < 0 ? errno : 0;
	return NULL;
}

static int
thread_opens_file(void)
{
	pthread_t thread;
	int result = 0;

	if (pthread_create(&thread, NULL, open_in_thread, &result) != 0)
		return 255;
	pthread_join(thread, NULL);
	return result;
}

static int
denied_open(void)
{
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? errno : 0;
}

static int
denied_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? errno : 0;
}

static int
denied_kill(void)
{
	return kill(getppid(), 0) < 0 ? errno : 0;
}

static int
denied_memfd(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	return fd < 0 ? errno : 0;
}

static int
allowed_open(void)
{
	return denied_open();
}

static int
deadly_exec(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int
deadly_process(void)
{
	return fork() < 0 ? errno : 0;
}

static int
deadly_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0;
}

static int
deadly_user(void)
{
	return setresuid(1, 1, 1) < 0 ? errno : 0;
}

static const struct {
	enum sandbox_role role;
	const char *name;
	int (*call)(void);
	int wanted; /* 0: works; an errno; or -1: ends the process */
} calls[] = {
    {SANDBOX_DOMAIN, "mmap", allowed_memory, 0},
    {SANDBOX_DOMAIN, "memfd_create", allowed_memfd, 0},
    {SANDBOX_DOMAIN, "open", denied_open, EPERM},
    {SANDBOX_DOMAIN, "open in a thread", thread_opens_file, EPERM},
    {SANDBOX_DOMAIN, "socket", denied_socket, EPERM},
    {SANDBOX_DOMAIN, "kill", denied_kill, EPERM},
    {SANDBOX_DOMAIN, "execve", deadly_exec, -1},
    {SANDBOX_DOMAIN, "ptrace", deadly_ptrace, -1},
    {SANDBOX_DOMAIN, "setresuid", deadly_user, -1},
    {SANDBOX_PROBE, "mmap", allowed_memory, 0},
    {SANDBOX_PROBE, "open", allowed_open, 0},
    {SANDBOX_PROBE, "memfd_create", denied_memfd, EPERM},
    {SANDBOX_PROBE, "socket", denied_socket, EPERM},
    {SANDBOX_PROBE, "fork", deadly_process, EPERM},
    {SANDBOX_PROBE, "execve", deadly_exec, -1},
};

Test(sandbox, each_role_may_do_what_its_table_says_and_no_more)
{
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct lf_error error;
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			if (sandbox_enter(calls[i].role, &error) < 0)
				_exit(254);
			_exit(calls[i].call());
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		if (calls[i].wanted < 0)
			cr_expect(
			    WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
			    "%s of role %d: status %#x", calls[i].name,
			    calls[i].role, status);
		else
			cr_expect(WIFEXITED(status) &&
				      WEXITSTATUS(status) == calls[i].wanted,
			    "%s of role %d: status %#x", calls[i].name,
			    calls[i].role, status);
	}
}

Test(sandbox, no_privileges_and_no_core_afterwards)
{
	struct lf_error error;
	struct rlimit core;

	/* getrlimit is not on the list: looked at through the parent. */
	pid_t pid = fork();
	int status;
	char path[64];
	FILE *limits;
	char line[256];
	int found = 0;

	if (pid == 0) {
		if (sandbox_enter(SANDBOX_DOMAIN, &error) < 0)
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status));
	cr_assert_eq(prlimit(pid, RLIMIT_CORE, NULL, &core), 0);
	cr_assert_eq(core.rlim_max, 0);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	limits = fopen(path, "r");
	while (fgets(line, sizeof(line), limits) != NULL)
		found += strcmp(line, "NoNewPrivs:\t1\n") == 0 ||
			 strcmp(line, "Seccomp:\t2\n") == 0;
	fclose(limits);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	cr_assert_eq(found, 2);
}

Test(sandbox, every_allowed_call_has_a_reason_and_one_row)
{
	const struct sandbox_call *call, *other;

	for (call = sandbox_calls; call->number != -1; call++) {
		cr_expect_neq(call->roles, 0);
		cr_expect_gt(strlen(call->reason), 5);
		for (other = call + 1; other->number != -1; other++)
			cr_expect_neq(call->number, other->number,
			    "call %d is listed twice", call->number);
	}
}
