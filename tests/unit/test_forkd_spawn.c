/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd/spawn: processes are started with what they are to have, and end.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/spawn.h"
#include "lib/fault.h"

static void
wait_end(struct process *process, char *how, size_t size)
{
	struct pollfd p = {.fd = process->pidfd, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, 300000), 1);
	process_collect(process, how, size);
	process_done(process);
}

static void
run(char *const *argv, const struct spawn_fd *fds, size_t count, bool go,
    char *how, char *line, size_t size)
{
	struct spawn_user same = {.change = false};
	struct spawn_request request = {.program = argv[0],
	    .argv = argv,
	    .fds = fds,
	    .fd_count = count,
	    .user = &same};
	struct process process;
	struct lf_error error;
	int go_fd, rc;

	cr_assert_eq(spawn_make_log(&request.log_fd, &error), 0);
	rc = spawn_begin(&request, &process, &go_fd, &error);
	cr_assert_eq(rc, 0, "%s", error.message);
	if (go)
		cr_assert_eq(spawn_go(go_fd, &error), 0);
	else
		close(go_fd);
	wait_end(&process, how, size);
	spawn_last_line(request.log_fd, line, size);
	close(request.log_fd);
}

Test(spawn, a_child_runs_only_when_it_is_told_to)
{
	char *argv[] = {"echo", "hello", NULL};
	char how[64], line[64];

	run(argv, NULL, 0, false, how, line, sizeof(how));
	cr_assert_str_eq(how, "exited with status 125");
	cr_assert_str_eq(line, "");
	run(argv, NULL, 0, true, how, line, sizeof(how));
	cr_assert_str_eq(how, "exited with status 0");
	cr_assert_str_eq(line, "hello");
}

Test(spawn, descriptors_arrive_under_their_numbers_and_no_others)
{
	/* Crosswise, so that a naive dup2 would overwrite one. */
	int three = open("/dev/null", O_RDONLY);
	int four = open("/proc/self/stat", O_RDONLY);
	struct spawn_fd fds[] = {{four, 3, false}, {three, 4, false}};
	char *argv[] = {"sh", "-c",
	    "echo $(readlink /proc/$$/fd/3) $(readlink /proc/$$/fd/4) "
	    "$(ls /proc/self/fd | wc -l)" /* one is ls's, of the directory */,
	    NULL};
	char how[64], line[128];

	run(argv, fds, 2, true, how, line, sizeof(how));
	cr_assert_str_eq(how, "exited with status 0");
	cr_assert_not_null(strstr(line, "stat /dev/null 6"), "%s", line);
	close(three);
	close(four);
}

Test(spawn, a_missing_program_is_named)
{
	char *argv[] = {"/nonexistent/qemu", NULL};
	char how[64], line[128];

	run(argv, NULL, 0, true, how, line, sizeof(line));
	cr_assert_str_eq(line,
	    "cannot execute '/nonexistent/qemu': No such file or directory");
}

Test(spawn, output_without_end_does_not_fill_the_machine)
{
	char *argv[] = {"sh", "-c",
	    "head -c 1000000 /dev/zero | tr '\\0' 'x'; echo end", NULL};
	char how[64], line[64];
	struct spawn_user same = {.change = false};
	struct spawn_request request = {
	    .program = "sh", .argv = argv, .user = &same};
	struct process process;
	struct lf_error error;
	struct stat st;
	int go;

	(void)line;
	cr_assert_eq(spawn_make_log(&request.log_fd, &error), 0);
	cr_assert_eq(spawn_begin(&request, &process, &go, &error), 0);
	cr_assert_eq(spawn_go(go, &error), 0);
	wait_end(&process, how, sizeof(how));
	cr_assert_eq(fstat(request.log_fd, &st), 0);
	cr_assert_eq(st.st_size, 65536);
	close(request.log_fd);
}

Test(spawn, a_process_is_found_again_and_another_with_its_number_is_not)
{
	struct process self, found;
	struct lf_error error;

	cr_assert_eq(process_find(getpid(), 1, &found, &error), -ESRCH);
	cr_assert_eq(process_find(0, 0, &found, &error), -ESRCH);
	/* The right start time is what the registry recorded; get it so. */
	{
		struct spawn_user same = {.change = false};
		char *argv[] = {"sleep", "1000", NULL};
		struct spawn_request request = {.program = "sleep",
		    .argv = argv,
		    .log_fd = -1,
		    .user = &same};
		char how[64];
		int go;

		cr_assert_eq(spawn_begin(&request, &self, &go, &error), 0);
		cr_assert_eq(
		    process_find(self.pid, self.start_time, &found, &error), 0);
		process_done(&found);
		cr_assert_eq(spawn_go(go, &error), 0);
		process_kill(&self);
		wait_end(&self, how, sizeof(how));
		cr_assert_str_eq(how, "was killed by signal 9");
	}
}

Test(faults, a_child_is_there_or_it_was_waited_for)
{
	struct spawn_user same = {.change = false};
	char *argv[] = {"true", NULL};

	FAULT_LOOP(fault)
	{
		struct spawn_request request = {.program = "true",
		    .argv = argv,
		    .log_fd = -1,
		    .user = &same};
		struct process process = PROCESS_NONE;
		struct lf_error error = {0};
		char how[64];
		int go = -1, rc;

		rc = spawn_make_log(&request.log_fd, &error);
		if (rc == 0)
			rc = spawn_begin(&request, &process, &go, &error);
		if (rc == 0)
			rc = spawn_go(go, &error);
		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "%s: %d", fault.name, rc);
		if (process.pidfd >= 0)
			wait_end(&process, how, sizeof(how));
		close_fd(request.log_fd);
		cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
}
