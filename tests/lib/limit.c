/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * limit [-g SECONDS] SECONDS COMMAND ARGUMENT...: runs a test so that it comes
 * to an end, and that nothing of it is left. Exit status: the command's, 128
 * and the signal's number if it died by one; 124 after SECONDS; 125 when the
 * command cannot be run.
 *
 * All that the command starts stays below this process, also what becomes a
 * daemon: the kernel gives orphans to the nearest subreaper. When the command
 * has ended by itself, what is left has some seconds (-g) to follow. When the
 * time is over, or somebody ends this process, the command and its children are
 * told to end first (a shell's trap removes its directory), then all are
 * killed. What was killed is said in a line that TAP takes for a comment.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMED_OUT = 124, FAILED = 125 };

/* What is left of a test has so long to end by itself, without -g. */
#define GRACE_SECONDS 10
/* Killed, a process is gone at once, if it can be killed. */
#define KILL_MS 10000
#define LOOK_MS 20

static pid_t command;
static int status; /* of the command, once it has ended */
static bool ended;
static sigset_t signals;

static long long
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Takes the ends of processes; false when none is left. */
static bool
reap(void)
{
	int how;
	pid_t pid;

	while ((pid = waitpid(-1, &how, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		ended = true;
		status =
		    WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
	}
	return pid == 0;
}

/* Each child of a process: a signal, and its name if there is somebody to tell.
 */
static void
each_child(pid_t parent, int number, FILE *names)
{
	char path[64], name[64];
	FILE *children;
	int pid;

	snprintf(
	    path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
	children = fopen(path, "re");
	while (children != NULL && fscanf(children, "%d", &pid) == 1) {
		FILE *comm;

		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		comm = names != NULL ? fopen(path, "re") : NULL;
		if (comm != NULL && fgets(name, sizeof(name), comm) != NULL)
			fprintf(names, " %.*s (%d)", (int)strcspn(name, "\n"),
			    name, pid);
		if (comm != NULL)
			fclose(comm);
		kill(pid, number);
	}
	if (children != NULL)
		fclose(children);
}

static void
rest(void)
{
	static const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};

	nanosleep(&look, NULL);
}

/* Waits for all to end; false when some have not. */
static bool
wait_for_all(long long ms)
{
	long long deadline = now_ms() + ms;

	while (reap()) {
		if (now_ms() >= deadline)
			return false;
		rest();
	}
	return true;
}

/* Orphans of those that are killed come to us, and are killed in the next turn.
 */
static void
kill_all(void)
{
	long long deadline = now_ms() + KILL_MS;

	printf("# ended by force:");
	while (reap()) {
		each_child(getpid(), SIGKILL, stdout);
		if (now_ms() >= deadline) {
			printf(" (some stay)");
			break;
		}
		rest();
	}
	printf("\n");
	fflush(stdout);
}

/* Until the command's end, a signal (its number), or the time is over (0). */
static int
wait_for_command(long seconds)
{
	long long deadline = now_ms() + seconds * 1000LL;

	for (;;) {
		long long left = deadline - now_ms();
		struct timespec ts = {left / 1000, left % 1000 * 1000000L};
		int number;

		if (left <= 0)
			return 0;
		number = sigtimedwait(&signals, NULL, &ts);
		if (number == SIGCHLD) {
			reap();
			if (ended)
				return SIGCHLD;
		} else if (number > 0) {
			return number;
		}
	}
}

static void
start(char **argv)
{
	sigset_t old;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, &old);
	command = fork();
	if (command == 0) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		execvp(argv[0], argv);
		fprintf(stderr, "limit: %s: %s\n", argv[0], strerror(errno));
		_exit(FAILED);
	}
}

int
main(int argc, char **argv)
{
	long seconds = 0, grace = GRACE_SECONDS;
	int option, why;

	while ((option = getopt(argc, argv, "+g:")) == 'g')
		grace = strtol(optarg, NULL, 10);
	if (option == -1 && argc - optind >= 2)
		seconds = strtol(argv[optind], NULL, 10);
	if (seconds <= 0) {
		fprintf(
		    stderr, "limit [-g SECONDS] SECONDS COMMAND ARGUMENT...\n");
		return FAILED;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	start(argv + optind + 1);
	if (command < 0) {
		perror("limit");
		return FAILED;
	}
	why = wait_for_command(seconds);
	if (why != SIGCHLD) {
		if (why == 0)
			printf("# no end after %ld seconds\n", seconds);
		else
			printf("# ended by signal %d\n", why);
		fflush(stdout);
		each_child(command, SIGTERM, NULL);
		kill(command, SIGTERM);
		status = why == 0 ? TIMED_OUT : 128 + why;
	}
	why = status;
	if (!wait_for_all(grace * 1000LL))
		kill_all();
	return why;
}
