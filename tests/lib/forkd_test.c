/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A forkd of a test's own. Its processes are known by their environment, which
 * all of them inherit.
 */
#include "lib/forkd_test.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/paths.h"
#include "lib/guest_vm.h"

#define CALL_MS      300000
#define WAIT_MS      300000
#define STEP_MS      20
#define QUIET_ROUNDS 5

static char marker[128]; /* FORKD_RUN_DIR=... */
static char run_dir[64], state_dir[64], socket_path[80];
static pid_t daemon_pid, janitor_pid;
static int janitor_pipe = -1;
static struct control_client *client;

/* --- processes --- */

static bool
is_ours(pid_t pid)
{
	char path[64], text[16384];
	size_t len = strlen(marker) + 1;
	ssize_t n, i;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	for (i = 0; i + (ssize_t)len <= n; i++)
		if ((i == 0 || text[i - 1] == '\0') &&
		    memcmp(text + i, marker, len) == 0)
			return true;
	return false;
}

/* Counts our processes; a signal goes to each (0: none). */
static unsigned
each_process(int signal_number)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	unsigned count = 0;

	while ((entry = readdir(dir)) != NULL) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid <= 0 || pid == getpid() || !is_ours(pid))
			continue;
		count++;
		if (signal_number != 0)
			kill(pid, signal_number);
	}
	closedir(dir);
	return count;
}

unsigned
forkd_processes(void)
{
	return each_process(0);
}

static void
sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

void
forkd_wait_processes(unsigned count)
{
	unsigned waited = 0, there;

	while ((there = forkd_processes()) != count) {
		cr_assert_lt(
		    waited, WAIT_MS, "%u processes, %u wanted", there, count);
		sleep_ms(STEP_MS);
		waited += STEP_MS;
	}
}

/*
 * Ends all that is left. A process is not seen in the moment of its exec, and
 * what was being started appears late: all is gone when nothing was seen for a
 * while.
 */
static void
end_processes(void)
{
	int quiet, round;

	for (quiet = 0, round = 0; quiet < QUIET_ROUNDS && round < 500;
	     round++) {
		quiet = each_process(SIGKILL) > 0 ? 0 : quiet + 1;
		sleep_ms(STEP_MS);
	}
}

/*
 * Waits for the test's end, however it comes. The pipe alone would not do:
 * whatever the test forks has it open, too.
 */
static void __attribute__((noreturn)) janitor(int test, int pipe_end)
{
	struct pollfd p[] = {
	    {.fd = test, .events = POLLIN}, {.fd = pipe_end, .events = POLLIN}};
	char command[128];

	prctl(PR_SET_PDEATHSIG, 0);
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	end_processes();
	snprintf(command, sizeof(command), "rm -rf %s", guest_dir());
	_exit(system(command) != 0);
}

/* --- the daemon --- */

void
forkd_setup(void)
{
	int test = pidfd_open(getpid(), 0), fds[2];

	guest_setup();
	snprintf(run_dir, sizeof(run_dir), "%s/run", guest_dir());
	snprintf(state_dir, sizeof(state_dir), "%s/state", guest_dir());
	snprintf(socket_path, sizeof(socket_path), "%s/socket", run_dir);
	snprintf(marker, sizeof(marker), "%s=%s", CONTROL_RUN_DIR_ENV, run_dir);
	/* QEMU's user goes through it to its sockets. */
	cr_assert_eq(chmod(guest_dir(), 0711), 0);
	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	cr_assert_geq(test, 0);
	janitor_pid = fork();
	if (janitor_pid == 0) {
		close(fds[1]);
		setsid();
		janitor(test, fds[0]);
	}
	close(test);
	close(fds[0]);
	janitor_pipe = fds[1];
}

void
forkd_teardown(void)
{
	control_client_free(client);
	client = NULL;
	if (write(janitor_pipe, "", 1) == 1)
		waitpid(janitor_pid, NULL, 0);
	close(janitor_pipe);
	if (daemon_pid > 0)
		waitpid(daemon_pid, NULL, 0);
	guest_teardown();
}

static void __attribute__((noreturn))
exec_daemon(const char *const *options, int ready)
{
	const char *top = getenv("top_builddir");
	char program[4096], number[16], *argv[32] = {"forkd"};
	int argc = 1;

	snprintf(program, sizeof(program), "%s/forkd/forkd",
	    top != NULL ? top : ".");
	setenv(CONTROL_RUN_DIR_ENV, run_dir, 1);
	setenv(CONTROL_STATE_DIR_ENV, state_dir, 1);
	fcntl(ready, F_SETFD, 0);
	snprintf(number, sizeof(number), "%d", ready);
	argv[argc++] = "--ready-fd";
	argv[argc++] = number;
	for (; options != NULL && *options != NULL && argc < 31; options++)
		argv[argc++] = (char *)*options;
	execv(program, argv);
	_exit(127);
}

void
forkd_start(const char *const *options)
{
	char line[1100] = "";
	ssize_t n;
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	daemon_pid = fork();
	if (daemon_pid == 0) {
		close(fds[0]);
		exec_daemon(options, fds[1]);
	}
	close(fds[1]);
	n = read(fds[0], line, sizeof(line) - 1);
	close(fds[0]);
	cr_assert_gt(n, 0, "forkd did not start");
	cr_assert_str_eq(line, "ready\n");
	client = forkd_connect();
}

static void
end_daemon(int signal_number)
{
	int status;

	control_client_free(client);
	client = NULL;
	kill(daemon_pid, signal_number);
	cr_assert_eq(waitpid(daemon_pid, &status, 0), daemon_pid);
	/* Told to end, it ends well: without a leak, if one is looked for. */
	cr_assert(signal_number == SIGKILL || status == 0, "%#x", status);
	daemon_pid = 0;
}

void
forkd_kill(void)
{
	end_daemon(SIGKILL);
}

void
forkd_stop(void)
{
	end_daemon(SIGTERM);
}

pid_t
forkd_pid(void)
{
	return daemon_pid;
}

const char *
forkd_socket(void)
{
	return socket_path;
}

struct control_client *
forkd_connect(void)
{
	struct control_client *fresh = NULL;
	struct lf_error error;

	cr_assert_eq(
	    control_client_connect(socket_path, WAIT_MS, &fresh, &error), 0,
	    "%s", error.message);
	return fresh;
}

/* --- commands --- */

/* In a child there is no Criterion: a failed assertion would wait for it. */
pid_t
forkd_call_aside(const char *command, json_t *take_arguments)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		struct control_client *aside = NULL;
		struct lf_error error;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(janitor_pipe);
		_exit(control_client_connect(
			  socket_path, WAIT_MS, &aside, &error) < 0 ||
		      control_client_call(aside, command, take_arguments, NULL,
			  NULL, WAIT_MS, NULL, &error) < 0);
	}
	json_decref(take_arguments);
	return pid;
}

json_t *
forkd_call(const char *command, json_t *take_arguments)
{
	struct lf_error error = {0};
	json_t *result = NULL;
	int rc;

	rc = control_client_call(client, command, take_arguments, NULL, NULL,
	    CALL_MS, &result, &error);
	cr_assert_eq(rc, 0, "%s: %s", command, error.message);
	return result;
}

void
forkd_refuses(
    const char *command, json_t *take_arguments, int code, const char *words)
{
	struct lf_error error = {0};
	int rc;

	rc = control_client_call(
	    client, command, take_arguments, NULL, NULL, CALL_MS, NULL, &error);
	cr_expect_eq(rc, code, "%s: %d: %s", command, rc, error.message);
	cr_expect_not_null(strstr(error.message, words), "%s: '%s' has no '%s'",
	    command, error.message, words);
}

json_t *
forkd_domain(unsigned id)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", id);
	return json_pack("{s:s}", "domain", text);
}

json_t *
forkd_domain_with(unsigned id, const char *name, json_t *take_value)
{
	json_t *arguments = forkd_domain(id);

	json_object_set_new(arguments, name, take_value);
	return arguments;
}

void
forkd_do(const char *command, unsigned id)
{
	json_decref(forkd_call(command, forkd_domain(id)));
}

json_t *
forkd_config_value(const struct lf_domain_config *config)
{
	struct lf_error error;
	char *text = NULL;
	json_t *value;

	cr_assert_eq(lf_domain_config_to_json(config, &text, &error), 0);
	value = json_loads(text, 0, NULL);
	free(text);
	return value;
}

unsigned
forkd_create(struct lf_domain_config *take_config)
{
	json_t *result = forkd_call("create",
	    json_pack("{s:o}", "config", forkd_config_value(take_config)));
	unsigned id =
	    (unsigned)json_integer_value(json_object_get(result, "id"));

	lf_domain_config_free(take_config);
	json_decref(result);
	return id;
}

unsigned
forkd_fork(unsigned parent)
{
	json_t *result = forkd_call("fork-vm", forkd_domain(parent));
	const json_t *fork =
	    json_array_get(json_object_get(result, "forks"), 0);
	unsigned id = (unsigned)json_integer_value(json_object_get(fork, "id"));

	json_decref(result);
	return id;
}

const char *
forkd_text(unsigned id, const char *member)
{
	static char text[512];
	json_t *info = forkd_call("info", forkd_domain(id));
	const char *value = json_string_value(json_object_get(info, member));

	snprintf(text, sizeof(text), "%s", value != NULL ? value : "");
	json_decref(info);
	return text;
}

long long
forkd_number(unsigned id, const char *member)
{
	json_t *info = forkd_call("info", forkd_domain(id));
	long long value = json_integer_value(json_object_get(info, member));

	json_decref(info);
	return value;
}

void
forkd_wait_state(unsigned id, const char *state)
{
	unsigned waited = 0;

	while (strcmp(forkd_text(id, "state"), state) != 0) {
		cr_assert_lt(waited, WAIT_MS, "domain %u is %s, not %s", id,
		    forkd_text(id, "state"), state);
		sleep_ms(STEP_MS);
		waited += STEP_MS;
	}
}

unsigned
forkd_wait_tick(const char *path, unsigned after)
{
	unsigned waited = 0, tick = 0;

	for (;;) {
		char *text = access(path, R_OK) == 0 ? file_text(path) : NULL;

		if (text != NULL)
			tick = ticks_check(text);
		free(text);
		if (tick > after)
			return tick;
		cr_assert_lt(
		    waited, WAIT_MS, "'%s' stands at tick %u", path, tick);
		sleep_ms(STEP_MS);
		waited += STEP_MS;
	}
}

/* --- what is left --- */

static unsigned
count_entries(const char *parent, const char *name)
{
	char path[128];
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", parent, name);
	dir = opendir(path);
	cr_assert_not_null(dir);
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

unsigned
forkd_overlays(void)
{
	return count_entries(state_dir, "overlays");
}

unsigned
forkd_directories(void)
{
	return count_entries(run_dir, "domains");
}

unsigned
forkd_memory_files(void)
{
	char path[64], target[256];
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", daemon_pid);
	dir = opendir(path);
	cr_assert_not_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(
		    dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		count += strncmp(target, "/memfd:", 7) == 0;
	}
	closedir(dir);
	return count;
}

void
forkd_check_empty(void)
{
	json_t *result = forkd_call("list", NULL);

	cr_assert_eq(json_array_size(json_object_get(result, "domains")), 0);
	json_decref(result);
	forkd_wait_processes(1);
	cr_assert_eq(forkd_overlays(), 0);
	cr_assert_eq(forkd_directories(), 0);
}
