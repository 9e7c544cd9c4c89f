/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlfork against a stand-in for forkd: what each command asks, what it makes of
 * the answer, its exit status; the console's three kinds. The stand-in says the
 * same whatever it is asked, so these tests are of xlfork alone.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib/fault.h"
#include "control/channel.h"
#include "control/messages.h"
#include "xlfork/command.h"

/*
 * What the stand-in answers to a command; fd -1: none goes with it. Of two
 * answers the second is for later, when the test says so.
 */
struct answer {
	const char *command;
	const char *text; /* NULL: hangs up */
	int fd;
};

#define ASKED_MAX 4096

/* Of the processes that are started here: nothing stays behind. */
#define LIFE_SECONDS 110

/* What the test and the stand-in both see. */
struct shared {
	char asked[ASKED_MAX]; /* commands and arguments, one a line */
	atomic_bool later;
	atomic_bool held; /* nothing is answered until it is not */
};

/* A process of its own, so that a fault loop does not hit it. */
static struct {
	char dir[64];
	int sock;
	const struct answer *answers;
	struct shared *shared;
	char *asked; /* the shared one */
	pid_t pid;
} server;

static void
remember(const json_t *object)
{
	size_t used = strlen(server.asked);
	char *arguments = json_dumps(json_object_get(object, "arguments"),
	    JSON_COMPACT | JSON_SORT_KEYS);

	snprintf(server.asked + used, ASKED_MAX - used, "%s %s\n",
	    json_string_value(json_object_get(object, "execute")), arguments);
	free(arguments);
}

static const struct answer *
find_answer(const char *command)
{
	const struct answer *a, *found = NULL;

	for (a = server.answers; a->command != NULL; a++)
		if (strcmp(a->command, command) == 0 &&
		    (found == NULL || atomic_load(&server.shared->later)))
			found = a;
	return found;
}

/* False: hang up. */
static bool
answer_one(struct channel *c, struct channel_message *m)
{
	const struct answer *a = find_answer(
	    json_string_value(json_object_get(m->object, "execute")));
	struct lf_error error;
	json_t *object;
	bool sent;

	remember(m->object);
	while (atomic_load(&server.shared->held))
		usleep(1000);
	if (a == NULL || a->text == NULL)
		return false;
	object = json_loads(a->text, 0, NULL);
	json_object_set(object, "id", json_object_get(m->object, "id"));
	sent = channel_send(c, object, &a->fd, a->fd >= 0, &error) == 0;
	json_decref(object);
	return sent;
}

static void
serve_client(int sock)
{
	struct channel_message m = {0};
	struct lf_error error;
	struct channel c;
	json_t *greeting = control_make_greeting();
	int rc;

	channel_init(&c, sock, &error);
	fcntl(sock, F_SETFL, 0);
	channel_send(&c, greeting, NULL, 0, &error);
	json_decref(greeting);
	for (;;) {
		bool more;

		while ((rc = channel_next(&c, &m, &error)) == 0 &&
		       channel_read(&c, &error) > 0)
			;
		if (rc <= 0)
			break;
		more = answer_one(&c, &m);
		channel_message_done(&m);
		if (!more)
			break;
	}
	channel_done(&c);
}

static void __attribute__((noreturn)) serve(void)
{
	int sock;

	alarm(LIFE_SECONDS);
	while ((sock = accept(server.sock, NULL, NULL)) >= 0)
		serve_client(sock);
	_exit(0);
}

static void
start_server(const struct answer *answers)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	strcpy(server.dir, "/tmp/test-xlfork-XXXXXX");
	cr_assert_not_null(mkdtemp(server.dir));
	setenv("FORKD_RUN_DIR", server.dir, 1);
	setenv("FORKD", "/nonexistent/forkd", 1);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", server.dir);
	server.sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	server.answers = answers;
	cr_assert_eq(
	    bind(server.sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(server.sock, 5), 0);
	server.shared = mmap(NULL, sizeof(*server.shared),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(server.shared, MAP_FAILED);
	server.asked = server.shared->asked;
	server.pid = fork();
	if (server.pid == 0)
		serve();
}

static void
stop_server(void)
{
	char path[128];

	kill(server.pid, SIGKILL);
	waitpid(server.pid, NULL, 0);
	close(server.sock);
	snprintf(path, sizeof(path), "%s/socket", server.dir);
	unlink(path);
	cr_expect_eq(rmdir(server.dir), 0, "something is left in it");
}

/* The stand-in goes even when a test fails. */
TestSuite(session, .fini = stop_server, .timeout = 120);

static int
run(const char *line)
{
	char words[1024], *argv[32];
	int argc = 0;

	snprintf(words, sizeof(words), "xlfork %s", line);
	for (char *w = strtok(words, " "); w != NULL; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	server.asked[0] = '\0';
	return (int)command_main(argc, argv);
}

#define OK_ANSWER "{\"return\": {\"id\": 7, \"name\": \"web\"}}"
#define LIST_ANSWER                                                   \
	"{\"return\": {\"domains\": [{\"id\": 7, \"name\": \"web\", " \
	"\"state\": \"running\", \"memory\": 1048576, \"vcpus\": 2, " \
	"\"backend\": \"qemu\"}]}}"

static const struct answer good_answers[] = {
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
	char text[8192];
	size_t i;
	FILE *out;

	start_server(good_answers);
	for (i = 0; i < sizeof(good_rows) / sizeof(good_rows[0]); i++) {
		int saved = dup(STDOUT_FILENO);
		size_t len;

		out = tmpfile();
		dup2(fileno(out), STDOUT_FILENO);
		cr_expect_eq(
		    run(good_rows[i].line), 0, "%s", good_rows[i].line);
		fflush(stdout);
		dup2(saved, STDOUT_FILENO);
		close(saved);
		rewind(out);
		len = fread(text, 1, sizeof(text) - 1, out);
		text[len] = '\0';
		fclose(out);
		cr_expect_str_eq(text, good_rows[i].printed, "%s printed '%s'",
		    good_rows[i].line, text);
		cr_expect_str_eq(server.asked, good_rows[i].asked,
		    "%s asked '%s'", good_rows[i].line, server.asked);
	}
}

static const struct answer bad_answers[] = {
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
	char text[8192];
	size_t i;

	start_server(bad_answers);
	for (i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
		int saved = dup(STDERR_FILENO);
		FILE *err = tmpfile();
		size_t len;

		dup2(fileno(err), STDERR_FILENO);
		cr_expect_eq(run(bad_rows[i].line), 1, "%s", bad_rows[i].line);
		dup2(saved, STDERR_FILENO);
		close(saved);
		rewind(err);
		len = fread(text, 1, sizeof(text) - 1, err);
		text[len] = '\0';
		fclose(err);
		cr_expect_str_eq(text, bad_rows[i].message, "%s said '%s'",
		    bad_rows[i].line, text);
	}
	/* A daemon that goes away in the middle of a call. */
	cr_expect_eq(run("freeze web"), 1);
}

Test(session, a_domain_whose_console_cannot_be_had_is_named)
{
	static const struct answer answers[] = {
	    {"create", OK_ANSWER, -1},
	    {"console",
		"{\"error\": {\"class\": \"NotFound\", \"desc\": \"none\"}}",
		-1},
	    {NULL, NULL, -1},
	};
	char path[128], line[256], text[256];
	int saved = dup(STDERR_FILENO), descriptors;
	FILE *err = tmpfile(), *config;
	size_t len;

	start_server(answers);
	snprintf(path, sizeof(path), "%s/web.cfg", server.dir);
	config = fopen(path, "w");
	fputs("name = \"web\"\nmemory = 16\n", config);
	fclose(config);
	snprintf(line, sizeof(line), "create -c %s", path);
	dup2(fileno(err), STDERR_FILENO);
	descriptors = fault_open_descriptors();
	cr_expect_eq(run(line), 1);
	cr_expect_eq(fault_open_descriptors(), descriptors);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(err);
	len = fread(text, 1, sizeof(text) - 1, err);
	text[len] = '\0';
	fclose(err);
	cr_expect_str_eq(
	    text, "xlfork: domain 7 was made and is paused: none\n");
	unlink(path);
}

Test(session, a_failed_save_devstate_leaves_the_old_file_and_no_other)
{
	char path[128], line[256], text[8] = "";
	int fd;

	start_server(bad_answers);
	snprintf(path, sizeof(path), "%s/state", server.dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(write(fd, "old", 3), 3);
	close(fd);
	snprintf(line, sizeof(line), "save-devstate web %s", path);
	cr_expect_eq(run(line), 1);
	fd = open(path, O_RDONLY);
	cr_expect_eq(read(fd, text, sizeof(text)), 3);
	cr_expect_str_eq(text, "old");
	close(fd);
	unlink(path);
	/* stop_server() removes the directory: it fails if a part is left. */
}

/*
 * Runs "console web" in a child whose input and output are pipes, while the
 * parent plays the guest at the other end of `guest`.
 */
static pid_t
start_console(int *ret_input, int *ret_output)
{
	int in[2], out[2];
	pid_t pid;

	cr_assert_eq(pipe(in), 0);
	cr_assert_eq(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		alarm(LIFE_SECONDS);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		close(out[0]);
		_exit(run("console web"));
	}
	close(in[0]);
	close(out[1]);
	*ret_input = in[1];
	*ret_output = out[0];
	return pid;
}

static int
exit_status(pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(session, a_console_in_pipes_passes_every_byte_both_ways)
{
	static struct answer answers[] = {
	    {"console", "{\"return\": {\"type\": \"socket\"}}", -1},
	    {"info", "{\"return\": {\"id\": 7}}", -1},
	    {NULL, NULL, -1},
	};
	char buf[16] = "";
	int input, output, sv[2];
	pid_t pid;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	answers[0].fd = sv[1];
	start_server(answers);
	pid = start_console(&input, &output);
	/* The escape is a byte like any other when no terminal is there. */
	cr_expect_eq(write(input, "a\x1d\0b", 4), 4);
	cr_expect_eq(recv(sv[0], buf, 4, MSG_WAITALL), 4);
	cr_expect_arr_eq(buf, "a\x1d\0b", 4);
	/* The end of the input ends nothing. */
	close(input);
	usleep(50000);
	cr_expect_eq(write(sv[0], "tick 1\n", 7), 7);
	cr_expect_eq(read(output, buf, sizeof(buf)), 7);
	cr_expect_arr_eq(buf, "tick 1\n", 7);
	/* The end of the domain does. */
	shutdown(sv[0], SHUT_RDWR);
	close(sv[0]);
	close(sv[1]);
	cr_expect_eq(exit_status(pid), 0);
	close(output);
}

Test(session, a_guest_that_reads_nothing_does_not_hold_up_its_own_output)
{
	static struct answer answers[] = {
	    {"console", "{\"return\": {\"type\": \"socket\"}}", -1},
	    {"info", "{\"return\": {\"id\": 7}}", -1},
	    {NULL, NULL, -1},
	};
	static char flood[65536];
	struct pollfd guest = {.events = POLLOUT};
	char buf[16] = "";
	int input, output, sv[2];
	size_t taken = 0;
	ssize_t n;
	pid_t pid;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	answers[0].fd = sv[1];
	start_server(answers);
	pid = start_console(&input, &output);
	fcntl(input, F_SETFL, O_NONBLOCK);
	/* Until the way to the guest is full, and then the way to there. */
	guest.fd = sv[1];
	do {
		n = write(input, flood, sizeof(flood));
		taken += n > 0 ? (size_t)n : 0;
		cr_assert_lt(taken, 1UL << 26, "the console takes everything");
		usleep(n < 0 ? 5000 : 0);
	} while (n >= 0 || poll(&guest, 1, 0) > 0);
	cr_expect_eq(write(sv[0], "tick 2\n", 7), 7);
	cr_expect_eq(read(output, buf, sizeof(buf)), 7);
	shutdown(sv[0], SHUT_RDWR);
	close(sv[0]);
	close(sv[1]);
	cr_expect_eq(exit_status(pid), 0);
	close(input);
	close(output);
}

Test(session, a_console_that_is_a_file_is_followed_until_the_domain_is_gone)
{
	static struct answer answers[] = {
	    {"console", "{\"return\": {\"type\": \"file\"}}", -1},
	    {"info", "{\"return\": {\"id\": 7}}", -1},
	    {"domname", "{\"return\": {\"name\": \"web\"}}", -1},
	    {"domname",
		"{\"error\": {\"class\": \"NotFound\", \"desc\": \"gone\"}}",
		-1},
	    {NULL, NULL, -1},
	};
	char path[] = "/tmp/test-xlfork-file-XXXXXX", buf[16] = "";
	int input, output, fd = mkstemp(path);
	pid_t pid;

	answers[0].fd = open(path, O_RDONLY);
	unlink(path);
	start_server(answers);
	cr_assert_eq(write(fd, "one\n", 4), 4);
	pid = start_console(&input, &output);
	cr_expect_eq(read(output, buf, sizeof(buf)), 4);
	cr_expect_eq(write(fd, "two\n", 4), 4);
	cr_expect_eq(read(output, buf, sizeof(buf)), 4);
	cr_expect_arr_eq(buf, "two\n", 4);
	atomic_store(&server.shared->later, true);
	cr_expect_eq(exit_status(pid), 0);
	close(fd);
	close(input);
	close(output);
}

Test(session, on_a_terminal_the_escape_leaves_and_the_terminal_is_as_before)
{
	static struct answer answers[] = {
	    {"console", "{\"return\": {\"type\": \"socket\"}}", -1},
	    {"info", "{\"return\": {\"id\": 7}}", -1},
	    {NULL, NULL, -1},
	};
	struct termios before, after;
	int master, slave, sv[2];
	char buf[4] = "";
	pid_t pid;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	answers[0].fd = sv[1];
	start_server(answers);
	cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	cr_assert_eq(tcgetattr(slave, &before), 0);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		alarm(LIFE_SECONDS);
		dup2(slave, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		_exit(run("console web"));
	}
	/* Raw: Ctrl-C goes to the guest, without a line feed after it. */
	do {
		usleep(5000);
		tcgetattr(slave, &after);
	} while ((after.c_lflag & ICANON) != 0);
	cr_expect_eq(write(master, "x\x03", 2), 2);
	cr_expect_eq(recv(sv[0], buf, 2, MSG_WAITALL), 2);
	cr_expect_arr_eq(buf, "x\x03", 2);
	cr_expect_eq(write(master, "\x1d", 1), 1);
	cr_expect_eq(exit_status(pid), 0);
	cr_assert_eq(tcgetattr(slave, &after), 0);
	cr_expect_eq(before.c_lflag, after.c_lflag);
	cr_expect_eq(before.c_iflag, after.c_iflag);
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

	atomic_store(&server.shared->held, true);
	pid = fork();
	if (pid == 0) {
		alarm(LIFE_SECONDS);
		dup2(fd, STDERR_FILENO);
		close(fd);
		close(other);
		_exit(run(line));
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
	atomic_store(&server.shared->held, false);
	while ((n = read(other, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	cr_expect_eq(exit_status(pid), 0);
	close(other);
}

/* Half a second is long for somebody who looks, and nothing for a file. */
Test(session, what_lasts_is_told_on_a_terminal_and_wiped_away)
{
	char text[65536];
	int master, slave, fds[2];
	size_t len;

	start_server(good_answers);
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

		status = run(line);
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

	start_server(good_answers);
	cr_redirect_stdout();
	cr_redirect_stderr();
	fail_everywhere("list");
	fail_everywhere("pause web");
	fail_everywhere("fork-vm -n 2 -Q /dev/null web");
	snprintf(path, sizeof(path), "%s/state", server.dir);
	snprintf(line, sizeof(line), "save-devstate web %s", path);
	fail_everywhere(line);
	cr_expect_eq(unlink(path), 0);
	/* stop_server() fails to remove the directory if a part is left. */
}
