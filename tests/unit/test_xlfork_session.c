/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlfork against a stand-in for forkd: what each command asks, what it makes of
 * the answer, its exit status. The stand-in says the same whatever it is asked,
 * so these tests are of xlfork alone.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <pty.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fault.h"
#include "unit/stand_in.h"

TestSuite(session, .fini = stand_in_stop, .timeout = 120);

#define OK_ANSWER "{\"return\": {\"id\": 7, \"name\": \"web\"}}"
#define LIST_ANSWER                                                   \
	"{\"return\": {\"domains\": [{\"id\": 7, \"name\": \"web\", " \
	"\"state\": \"running\", \"memory\": 1048576, \"vcpus\": 2, " \
	"\"backend\": \"qemu\"}]}}"

static const struct stand_in_answer good_answers[] = {
    {"list", LIST_ANSWER, -1},
    {"info", "{\"return\": {\"id\": 7, \"name\": \"web\", \"vcpus\": 2}}", -1},
    {"domid", "{\"return\": {\"id\": 7}}", -1},
    {"domname", "{\"return\": {\"name\": \"web\"}}", -1},
    {"rename", OK_ANSWER, -1},
    {"pause", OK_ANSWER, -1},
    {"unpause", OK_ANSWER, -1},
    {"shutdown", OK_ANSWER, -1},
    {"destroy", "{\"return\": {\"destroyed\": [7]}}", -1},
    {"freeze", OK_ANSWER, -1},
    {"save-devstate", OK_ANSWER, -1},
    {"fork-vm",
	"{\"return\": {\"forks\": [{\"id\": 9, \"name\": \"b\"},"
	" {\"id\": 8, \"name\": \"a\"}]}}",
	-1},
    {"query-version", "{\"return\": {\"version\": \"1.2.3\", \"pid\": 42}}",
	-1},
    {NULL, NULL, -1},
};

/* A command line, what goes to forkd, what is printed. */
static const struct {
	const char *line, *asked, *printed;
} good_rows[] = {
    {"list", "list {}\n",
	"ID NAME STATE   MEMORY VCPUS BACKEND\n"
	" 7 web  running     1M     2 qemu\n"},
    {"list web", "list {\"domain\":\"web\"}\n",
	"ID NAME STATE   MEMORY VCPUS BACKEND\n"
	" 7 web  running     1M     2 qemu\n"},
    {"domid web", "domid {\"name\":\"web\"}\n", "7\n"},
    {"domname 7", "domname {\"domain\":\"7\"}\n", "web\n"},
    {"rename 7 web", "rename {\"domain\":\"7\",\"name\":\"web\"}\n", ""},
    {"pause web", "pause {\"domain\":\"web\"}\n", ""},
    {"unpause a b", "unpause {\"domain\":\"a\"}\nunpause {\"domain\":\"b\"}\n",
	""},
    {"shutdown web", "shutdown {\"domain\":\"web\"}\n", ""},
    {"destroy web", "destroy {\"domain\":\"web\"}\n", ""},
    {"destroy -r web", "destroy {\"domain\":\"web\",\"recursive\":true}\n", ""},
    {"freeze web", "freeze {\"domain\":\"web\"}\n", ""},
    {"fork-vm web", "fork-vm {\"domain\":\"web\"}\n", "8\n9\n"},
    {"fork-vm -n 2 -p web",
	"fork-vm {\"count\":2,\"domain\":\"web\",\"paused\":true}\n", "8\n9\n"},
    {"fork-vm --launch-dm yes web", "fork-vm {\"domain\":\"web\"}\n", "8\n9\n"},
    {"fork-vm -m 2 web",
	"info {\"domain\":\"web\"}\nfork-vm {\"domain\":\"web\"}\n", "8\n9\n"},
    {"fork-vm -Q /dev/null web",
	"fork-vm {\"devstate\":0,\"domain\":\"web\"}\n", "8\n9\n"},
};

Test(session, every_command_asks_what_it_says_and_prints_the_answer)
{
	size_t i;

	stand_in_start(good_answers);
	for (i = 0; i < sizeof(good_rows) / sizeof(good_rows[0]); i++) {
		stand_in_expect(
		    good_rows[i].line, 0, STDOUT_FILENO, good_rows[i].printed);
		cr_expect_str_eq(stand_in_shared->asked, good_rows[i].asked,
		    "%s asked '%s'", good_rows[i].line, stand_in_shared->asked);
	}
}

static const struct stand_in_answer bad_answers[] = {
    {"pause",
	"{\"error\": {\"class\": \"NotFound\","
	" \"desc\": \"no domain is called 'web'\"}}",
	-1},
    {"info", "{\"return\": {\"id\": 7, \"name\": \"web\", \"vcpus\": 2}}", -1},
    {"console", "{\"return\": {\"type\": \"pty\"}}", -1},
    {"freeze", NULL, -1},
    {"domname", "{\"return\": {}}", -1},
    {"save-devstate", "{\"error\": {\"class\": \"Busy\", \"desc\": \"busy\"}}",
	-1},
    {NULL, NULL, -1},
};

/* A command line that fails and the line that it prints. */
static const struct {
	const char *line, *message;
} bad_rows[] = {
    {"pause web", "xlfork: no domain is called 'web'\n"},
    {"pause web 7", "xlfork: no domain is called 'web'\n"
		    "xlfork: no domain is called 'web'\n"},
    {"console web", "xlfork: forkd's answer to 'console' holds no console\n"},
    {"domname web", "xlfork: forkd's answer to 'domname' has no name\n"},
    {"fork-vm -m 3 web",
	"xlfork: fork-vm: domain 'web' has 2 virtual CPUs, so its fork cannot "
	"have 3; leave out --max-vcpus\n"},
    {"save-devstate web /nonexistent/file",
	"xlfork: cannot write to '/nonexistent/file': No such file or "
	"directory\n"},
};

Test(session, a_failure_is_one_line_and_status_1)
{
	size_t i;

	stand_in_start(bad_answers);
	for (i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++)
		stand_in_expect(
		    bad_rows[i].line, 1, STDERR_FILENO, bad_rows[i].message);
	/* A daemon that goes away in the middle of a call. */
	cr_expect_eq(stand_in_run("freeze web"), 1);
}

Test(session, a_domain_whose_console_cannot_be_had_is_named)
{
	static const struct stand_in_answer answers[] = {
	    {"create", OK_ANSWER, -1},
	    {"console",
		"{\"error\": {\"class\": \"NotFound\", \"desc\": \"none\"}}",
		-1},
	    {NULL, NULL, -1},
	};
	char path[128], line[256];
	int descriptors;
	FILE *config;

	stand_in_start(answers);
	snprintf(path, sizeof(path), "%s/web.cfg", stand_in_dir);
	config = fopen(path, "w");
	fputs("name = \"web\"\nmemory = 16\n", config);
	fclose(config);
	snprintf(line, sizeof(line), "create -c %s", path);
	descriptors = fault_open_descriptors();
	stand_in_expect(line, 1, STDERR_FILENO,
	    "xlfork: domain 7 was made and is paused: none\n");
	cr_expect_eq(fault_open_descriptors(), descriptors);
	unlink(path);
}

Test(session, a_failed_save_devstate_leaves_the_old_file_and_no_other)
{
	char path[128], line[256], text[8] = "";
	int fd;

	stand_in_start(bad_answers);
	snprintf(path, sizeof(path), "%s/state", stand_in_dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(write(fd, "old", 3), 3);
	close(fd);
	snprintf(line, sizeof(line), "save-devstate web %s", path);
	cr_expect_eq(stand_in_run(line), 1);
	fd = open(path, O_RDONLY);
	cr_expect_eq(read(fd, text, sizeof(text)), 3);
	cr_expect_str_eq(text, "old");
	close(fd);
	unlink(path);
	/* stand_in_stop() removes the directory: it fails if a part is left. */
}

/*
 * A command with its standard error on `fd`, which forkd lets wait, and then
 * not: what it had written meanwhile, and what in all, is in `text`.
 */
static void
run_slowly(const char *line, int fd, int other, const char *awaited, char *text,
    size_t size)
{
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	atomic_store(&stand_in_shared->held, true);
	pid = fork();
	if (pid == 0) {
		alarm(STAND_IN_LIFE_SECONDS);
		dup2(fd, STDERR_FILENO);
		close(fd);
		close(other);
		_exit(stand_in_run(line));
	}
	close(fd);
	text[0] = '\0';
	while (awaited != NULL && strstr(text, awaited) == NULL) {
		n = read(other, text + len, size - 1 - len);
		cr_assert_gt(n, 0, "'%s'", text);
		len += (size_t)n;
		text[len] = '\0';
	}
	if (awaited == NULL)
		usleep(800000);
	atomic_store(&stand_in_shared->held, false);
	while ((n = read(other, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	cr_expect_eq(stand_in_exit_status(pid), 0);
	close(other);
}

/* Half a second is long for somebody who looks, and nothing for a file. */
Test(session, what_lasts_is_told_on_a_terminal_and_wiped_away)
{
	char text[65536];
	int master, slave, fds[2];
	size_t len;

	stand_in_start(good_answers);
	cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	run_slowly("pause web", slave, master, " s\r- ", text, sizeof(text));
	cr_expect_eq(strncmp(text, "\r| pausing, ", 12), 0, "'%s'", text);
	len = strlen(text);
	cr_expect(len > 4 && strcmp(text + len - 4, "\r\033[K") == 0);

	cr_assert_eq(pipe(fds), 0);
	run_slowly("pause web", fds[1], fds[0], NULL, text, sizeof(text));
	cr_expect_str_eq(text, "");
}

/*
 * Every system call and allocation of a command fails in turn: status 1 with a
 * line, nothing leaked, no file half made.
 */
static void
fail_everywhere(const char *line)
{
	unsigned long faults = 0;

	FAULT_LOOP(fault)
	{
		int status;

		status = stand_in_run(line);
		fault_end(&fault);
		if (fault.hit)
			cr_expect_eq(status, 1, "'%s': call %lu, %s", line,
			    fault.round, fault.name);
		else
			cr_expect_eq(status, 0, "'%s': no call failed", line);
		cr_expect_eq(fault_open_descriptors(), fault.descriptors,
		    "'%s': call %lu, %s leaks", line, fault.round, fault.name);
		faults += fault.hit;
	}
	cr_expect_gt(faults, 5, "'%s'", line);
}

Test(session, whatever_call_fails_is_told_and_nothing_leaks)
{
	char path[128], line[256];

	stand_in_start(good_answers);
	cr_redirect_stdout();
	cr_redirect_stderr();
	fail_everywhere("list");
	fail_everywhere("pause web");
	fail_everywhere("fork-vm -n 2 -Q /dev/null web");
	snprintf(path, sizeof(path), "%s/state", stand_in_dir);
	snprintf(line, sizeof(line), "save-devstate web %s", path);
	fail_everywhere(line);
	cr_expect_eq(unlink(path), 0);
	/* stand_in_stop() fails to remove the directory if a part is left. */
}
