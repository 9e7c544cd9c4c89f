/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What doctor looks at in the programs that xlfork uses: QEMU is started and
 * asked, not judged by its version alone.
 */
#include "xlfork/doctor.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "control/start.h"

#include <libfork/qemu.h>

/* The oldest QEMU that has everything used here. */
#define QEMU_MAJOR 7
#define QEMU_MINOR 2

#define ANSWER_MS  10000

extern char **environ;

/*
 * Runs a program with `input` on its standard input; both outputs go to `buf`,
 * cut at size - 1 bytes. Returns its exit status, or a negative errno:
 * -ETIMEDOUT when it was silent for too long.
 */
static int
run_program(char *const argv[], const char *input, char *buf, size_t size)
{
	cleanup_close int in_read = -1, in_write = -1;
	cleanup_close int out_read = -1, out_write = -1;
	posix_spawn_file_actions_t actions;
	int fds[2], status, r;
	bool late = false;
	size_t len = 0;
	pid_t pid;

	buf[0] = '\0';
	if (sys.pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	in_read = fds[0];
	in_write = fds[1];
	if (sys.pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	out_read = fds[0];
	out_write = fds[1];
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in_read, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out_write, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out_write, STDERR_FILENO);
	r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return -r;
	out_write = close_fd(out_write);
	/* Less than a pipe holds, so this cannot wait. */
	if (sys.write(in_write, input, strlen(input)) < 0)
		buf[0] = '\0';
	in_write = close_fd(in_write);
	for (;;) {
		struct pollfd p = {.fd = out_read, .events = POLLIN};
		ssize_t n;

		if (sys.poll(&p, 1, ANSWER_MS) <= 0) {
			kill(pid, SIGKILL);
			late = true;
			break;
		}
		n = sys.read(out_read, buf + len, size - 1 - len);
		if (n <= 0 || (len += (size_t)n) == size - 1)
			break;
	}
	buf[len] = '\0';
	out_read = close_fd(out_read);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (late)
		return -ETIMEDOUT;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

static void
first_line(char *text)
{
	text[strcspn(text, "\r\n")] = '\0';
}

static void
check_qemu_version(struct findings *findings, bool *ret_there)
{
	char *const argv[] = {LF_QEMU_PROGRAM, "--version", NULL};
	struct finding f = {.vital = true};
	int major = 0, minor = 0, rc;
	const char *number;
	char text[1024];

	rc = run_program(argv, "", text, sizeof(text));
	*ret_there = rc == 0;
	first_line(text);
	number = text + strcspn(text, "0123456789");
	if (rc < 0)
		finding_set(&f, GRADE_MISSING,
		    "'%s' cannot be started: %s; install qemu-system-x86",
		    LF_QEMU_PROGRAM, strerror(-rc));
	else if (rc > 0 || sscanf(number, "%d.%d", &major, &minor) != 2)
		finding_set(&f, GRADE_MISSING,
		    "'%s --version' says '%.100s'; install qemu-system-x86",
		    LF_QEMU_PROGRAM, text);
	else if (major < QEMU_MAJOR ||
		 (major == QEMU_MAJOR && minor < QEMU_MINOR))
		finding_set(&f, GRADE_LIMITED,
		    "%d.%d is older than %d.%d, which xlfork is made for; "
		    "install a newer one",
		    major, minor, QEMU_MAJOR, QEMU_MINOR);
	else
		finding_set(&f, GRADE_GOOD, "%s", number);
	findings_add(findings, "QEMU", &f);
}

/* Starts a QEMU without a machine as forkd would, and asks what it can do. */
static void
check_qemu_features(struct findings *findings)
{
	char *const argv[] = {LF_QEMU_PROGRAM, "-M", "none", "-nodefaults",
	    "-display", "none", "-sandbox",
	    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
	    "resourcecontrol=deny",
	    "-qmp", "stdio", NULL};
	static const char questions[] =
	    "{\"execute\":\"qmp_capabilities\"}"
	    "{\"execute\":\"query-migrate-capabilities\"}"
	    "{\"execute\":\"query-commands\"}"
	    "{\"execute\":\"quit\"}";
	static const char *const wanted[] = {
	    "x-ignore-shared",
	    "x-query-ramblock",
	    "query-named-block-nodes",
	    "human-monitor-command",
	};
	struct finding f = {.vital = true};
	static char text[65536];
	size_t i;
	int rc;

	rc = run_program(argv, questions, text, sizeof(text));
	if (rc < 0)
		finding_set(&f, GRADE_MISSING,
		    "QEMU does not answer: %s; try '%s -M none -nodefaults'",
		    strerror(-rc), LF_QEMU_PROGRAM);
	else if (rc > 0) {
		first_line(text);
		finding_set(&f, GRADE_MISSING,
		    "QEMU does not start in its sandbox: '%.200s'; install "
		    "one that is built with seccomp",
		    text);
	} else {
		finding_set(&f, GRADE_GOOD,
		    "sandbox, and migration that leaves out shared memory");
		for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (strstr(text, wanted[i]) == NULL)
				finding_set(&f, GRADE_MISSING,
				    "this QEMU has no '%s'; install a stock "
				    "one",
				    wanted[i]);
	}
	findings_add(findings, "QEMU features", &f);
}

/* What forkd decides: it may run QEMU as another user than ours. */
static void
check_accelerator(struct findings *findings)
{
	struct finding f = {.vital = false};
	char path[4096], text[1024];
	const char *program = control_program(NULL, path, sizeof(path));
	char *const argv[] = {(char *)program, "--probe", NULL};
	int rc = run_program(argv, "", text, sizeof(text));

	first_line(text);
	if (rc < 0)
		finding_set(&f, GRADE_MISSING,
		    "'%s' cannot be started: %s; without forkd there are no "
		    "domains",
		    program, strerror(-rc));
	else if (strncmp(text, "kvm ", 4) == 0)
		finding_set(&f, GRADE_GOOD, "%s", text + 4);
	else if (strncmp(text, "tcg ", 4) == 0)
		finding_set(&f, GRADE_LIMITED, "%s", text + 4);
	else
		finding_set(&f, GRADE_MISSING, "'%s --probe' says '%.200s'",
		    program, text);
	findings_add(findings, "accelerator=auto", &f);
}

static void
check_qemu_img(struct findings *findings)
{
	char *const argv[] = {"qemu-img", "--version", NULL};
	struct finding f = {.vital = false};
	char text[1024];
	int rc = run_program(argv, "", text, sizeof(text));

	if (rc == 0)
		finding_set(&f, GRADE_GOOD, "makes the forks' overlays");
	else
		finding_set(&f, GRADE_MISSING,
		    "no fork of a domain with disks without it; install "
		    "qemu-utils");
	findings_add(findings, "qemu-img", &f);
}

static void
check_file(struct findings *findings, const char *what, const char *path,
    const char *good, const char *otherwise)
{
	struct finding f = {.vital = false};

	if (access(path, R_OK) == 0)
		finding_set(&f, GRADE_GOOD, "%s", good);
	else
		finding_set(&f, GRADE_LIMITED, "%s", otherwise);
	findings_add(findings, what, &f);
}

void
check_programs(struct findings *findings)
{
	bool there;

	check_qemu_version(findings, &there);
	if (there)
		check_qemu_features(findings);
	check_accelerator(findings);
	check_qemu_img(findings);
	check_file(findings, "UEFI firmware", "/usr/share/OVMF/OVMF_CODE.fd",
	    "OVMF", "guests boot with BIOS only; install ovmf for UEFI");
	check_file(findings, "tap devices", "/dev/net/tun",
	    "tap and user networks",
	    access("/dev/net/tun", F_OK) == 0
		? "user networks only, /dev/net/tun is not for this user; "
		  "'chmod 666 /dev/net/tun' as root"
		: "user networks only, there is no /dev/net/tun; "
		  "'modprobe tun' as root");
	check_file(findings, "virtiofsd", "/usr/lib/qemu/virtiofsd",
	    "the test laboratory can start",
	    "only the project's own tests miss it; install qemu-system-common "
	    "and, where it is a package of its own, virtiofsd");
}
