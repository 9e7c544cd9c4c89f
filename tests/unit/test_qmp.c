/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/qmp against a server that says what the test wants: answers, events in
 * between, refusals, silence, and what no server should say. And qemu/program:
 * programs that cannot run, and the last words of those that failed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdpass.h"
#include "lib/fault.h"
#include "qemu/program.h"
#include "qemu/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n"

/* For what comes, however busy the machine is. */
#define COMES_MS 300000

static struct lf_error error;

/* Says one string for each line that it hears; NULL: closes. */
struct server {
	int sock;
	const char *const *says;
	int got_fd; /* with any line; -1: none came */
	pthread_t thread;
};

static void *
server_main(void *opaque)
{
	struct server *server = opaque;
	const char *const *says = server->says;
	char buf[4096];
	size_t count;
	ssize_t n;

	for (; *says != NULL; says++) {
		if (send(server->sock, *says, strlen(*says), MSG_NOSIGNAL) < 0)
			break;
		n = fdpass_receive(server->sock, buf, sizeof(buf),
		    &server->got_fd, 1, &count, NULL);
		if (n <= 0)
			break;
	}
	close(server->sock);
	return NULL;
}

/* Our end of the connection. */
static int
serve(struct server *server, const char *const *says)
{
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	*server = (struct server){.sock = sv[1], .says = says, .got_fd = -1};
	pthread_create(&server->thread, NULL, server_main, server);
	return sv[0];
}

static void
served(struct server *server)
{
	pthread_join(server->thread, NULL);
	close_fd(server->got_fd);
}

Test(qmp, answers_events_and_refusals)
{
	static const char *const says[] = {GREETING,
	    "{\"return\": {}, \"id\": 1}\n",
	    "{\"event\": \"STOP\"}{\"event\": \"MIGRATION\", \"data\":"
	    "{\"status\": \"active\"}}\n{\"return\": {\"a\": 1}, \"id\": 2}\n",
	    "{\"error\": {\"class\": \"GenericError\", \"desc\": "
	    "\"no\\nway\"}, \"id\": 3}\n",
	    "{\"return\": \"text\\r\\n\", \"id\": 4}\n",
	    "{\"return\": 5, \"id\": 5}\n", NULL};
	cleanup_free char *text = NULL;
	struct server server;
	struct qmp *qmp = NULL;
	json_t *value = NULL;

	cr_assert_eq(qmp_new(serve(&server, says), COMES_MS, &qmp, &error), 0,
	    "%s", error.message);
	cr_assert_null(qmp_next_event(qmp));
	cr_assert_eq(qmp_execute(qmp, "query", json_pack("{s:i}", "x", 1),
			 &value, &error),
	    0, "%s", error.message);
	cr_assert_eq(json_integer_value(json_object_get(value, "a")), 1);
	json_decref(value);
	value = qmp_next_event(qmp);
	cr_assert_str_eq(
	    json_string_value(json_object_get(value, "event")), "STOP");
	json_decref(value);

	cr_assert_eq(
	    qmp_execute(qmp, "migrate", NULL, NULL, &error), -EREMOTEIO);
	cr_assert_str_eq(error.message, "QEMU refused 'migrate': no?way");
	cr_assert_eq(qmp_hmp(qmp, "info x", &text, &error), 0);
	cr_assert_str_eq(text, "text\r\n");
	free(take_ptr(text));
	cr_assert_eq(qmp_hmp(qmp, "info y", &text, &error), -EBADMSG);

	/* The event that waited; then the server is gone. */
	cr_assert_eq(
	    qmp_wait_event(qmp, COMES_MS, "MIGRATION", NULL, &value, &error),
	    0);
	json_decref(value);
	cr_assert_eq(qmp_execute(qmp, "stop", NULL, NULL, &error), -EPIPE);
	cr_assert_eq(
	    qmp_wait_event(qmp, COMES_MS, "NONE", NULL, &value, &error),
	    -EPIPE);
	qmp_free(qmp);
	served(&server);
}

Test(qmp, a_descriptor_goes_with_its_command)
{
	static const char *const says[] = {GREETING,
	    "{\"return\": {}, \"id\": 1}\n", "{\"return\": {}, \"id\": 2}\n",
	    NULL};
	cleanup_close int fd = memfd_create("test", MFD_CLOEXEC);
	struct server server;
	struct qmp *qmp = NULL;

	cr_assert_eq(qmp_new(serve(&server, says), COMES_MS, &qmp, &error), 0);
	cr_assert_eq(qmp_getfd(qmp, "stream", fd, &error), 0);
	qmp_free(qmp);
	pthread_join(server.thread, NULL);
	cr_assert_geq(server.got_fd, 0);
	close(server.got_fd);
}

Test(qmp, a_late_answer_is_not_the_next_one)
{
	static const char *const says[] = {GREETING,
	    "{\"return\": {}, \"id\": 1}\n", "{\"event\": \"RESUME\"}\n",
	    "{\"return\": 2, \"id\": 2}{\"return\": 3, \"id\": 3}\n", NULL};
	struct server server;
	struct qmp *qmp = NULL;
	json_t *value = NULL;

	cr_assert_eq(qmp_new(serve(&server, says), COMES_MS, &qmp, &error), 0);
	cr_assert_eq(qmp_execute_within(qmp, 100, "slow", NULL, NULL, &error),
	    -ETIMEDOUT);
	cr_assert_not_null(
	    strstr(error.message, "'slow'"), "%s", error.message);
	cr_assert_eq(qmp_execute(qmp, "next", NULL, &value, &error), 0);
	cr_assert_eq(json_integer_value(value), 3);
	json_decref(value);
	qmp_free(qmp);
	served(&server);
}

/* What a server may say instead of a greeting or an answer. */
Test(qmp, what_is_no_qmp_is_an_error)
{
	static const struct {
		const char *says[3];
		int rc;
	} cases[] = {
	    {{NULL}, -EPIPE},
	    {{"SSH-2.0\r\n", NULL}, -EBADMSG},
	    {{"{\"hello\": 1}\n", NULL}, -EBADMSG},
	    {{"{\"QMP\": 1}\n", NULL}, -EBADMSG},
	    {{GREETING, "{\"id\": 1}\n", NULL}, -EBADMSG},
	    {{GREETING, "{\"error\": {\"desc\": \"no\"}}\n", NULL}, -EREMOTEIO},
	    {{GREETING, "{\"error\": 5}\n", NULL}, -EBADMSG},
	    {{GREETING, "]\n", NULL}, -EBADMSG},
	    {{GREETING, NULL}, -EPIPE},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qmp *qmp = NULL;
		struct server server;
		int before = fault_open_descriptors(), rc;

		lf_error_clear(&error);
		rc = qmp_new(serve(&server, cases[i].says), 2000, &qmp, &error);
		cr_assert_eq(rc, cases[i].rc, "case %zu: %s", i, error.message);
		cr_assert_neq(error.message[0], '\0');
		served(&server);
		cr_assert_eq(fault_open_descriptors(), before);
	}
}

Test(qmp, silence_ends_in_time)
{
	struct qmp *qmp = NULL;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	cr_assert_eq(qmp_new(sv[0], 50, &qmp, &error), -ETIMEDOUT);
	close(sv[1]);
}

Test(qmp, events_that_nobody_takes_are_limited)
{
	struct qmp *qmp = NULL;
	json_t *event;
	int sv[2], count = 0, rc;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	cr_assert_eq(dprintf(sv[1], GREETING "{\"return\": {}}\n"),
	    (int)strlen(GREETING "{\"return\": {}}\n"));
	cr_assert_eq(qmp_new(sv[0], COMES_MS, &qmp, &error), 0);
	for (int i = 0; i < 3000; i++) {
		dprintf(sv[1], "{\"event\": \"E%d\"}\n", i);
		rc = qmp_read_events(qmp, &error);
		cr_assert_eq(rc, 0);
	}
	event = qmp_next_event(qmp);
	cr_assert_str_eq(
	    json_string_value(json_object_get(event, "event")), "E1976");
	do {
		json_decref(event);
		count++;
	} while ((event = qmp_next_event(qmp)) != NULL);
	cr_assert_eq(count, 1024);
	qmp_free(qmp);
	close(sv[1]);
}

/* --- programs --- */

Test(program, what_cannot_run_and_what_fails)
{
	char *missing[] = {"no-such-program-here", NULL};
	char *fails[] = {
	    "sh", "-c", "echo first; echo 'qemu-x: second' >&2; exit 3", NULL};
	char *works[] = {"sh", "-c", "echo out", NULL};
	cleanup_free char *text = NULL;
	int before = fault_open_descriptors();

	cr_assert_eq(program_run(missing, NULL, &error), -ENOENT);
	cr_assert_str_eq(error.message,
	    "cannot run 'no-such-program-here': No such file or directory");
	cr_assert_eq(program_run(fails, NULL, &error), -EIO);
	cr_assert_str_eq(error.message, "sh failed: first; second");
	cr_assert_eq(program_run(works, &text, &error), 0);
	cr_assert_str_eq(text, "out\n");
	cr_assert_eq(fault_open_descriptors(), before);
}

/* Descriptors arrive under their numbers, and no others with them. */
Test(program, a_program_has_the_descriptors_it_shall_have)
{
	char *argv[] = {"sh", "-c",
	    "echo 'char device redirected to /dev/pts/0 (label serial0)'; "
	    "cat <&4; cat <&3; ls /proc/self/fd | tr '\\n' ' '",
	    NULL};
	int a = memfd_create("a", 0), b = memfd_create("b", 0), fds[2];
	int pidfd, log_fd;
	struct pollfd pfd;
	struct program program = {.argv = argv, .fds = fds, .fd_count = 2};
	char words[256];
	pid_t pid;

	/* Crossed: a has the number that b is to get, or a lower one. */
	fds[0] = b;
	fds[1] = a;
	cr_assert_eq(write(a, "A\n", 2) + write(b, "B\n", 2), 4);
	lseek(a, 0, SEEK_SET);
	lseek(b, 0, SEEK_SET);
	cr_assert_eq(program_start(&program, &pid, &pidfd, &log_fd, &error), 0,
	    "%s", error.message);
	pfd = (struct pollfd){.fd = pidfd, .events = POLLIN};
	cr_assert_eq(poll(&pfd, 1, COMES_MS), 1);
	program_last_words(log_fd, words, sizeof(words));
	/* 5 is ls's own, of the directory. */
	cr_assert_str_eq(words, "A; B; 0 1 2 3 4 5 ");
	program_end(pid, pidfd);
	close(pidfd);
	close(log_fd);
	close(a);
	close(b);
}

Test(program, every_failing_call_is_an_error)
{
	char *argv[] = {"true", NULL};

	FAULT_LOOP(fault)
	{
		int rc = program_run(argv, NULL, &error);

		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
}

/* What the monitor says without being asked; the client's ids go 1, 2, ... */
static struct qmp *
connect_to(const char *says, int *ret_monitor)
{
	struct qmp *qmp = NULL;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(write(sv[1], says, strlen(says)), (ssize_t)strlen(says));
	cr_assert_eq(
	    qmp_new(sv[0], COMES_MS, &qmp, &error), 0, "%s", error.message);
	*ret_monitor = sv[1];
	return qmp;
}

Test(qmp, an_event_that_came_with_an_answer_is_not_waited_for)
{
	json_t *event = NULL;
	struct qmp *qmp;
	int monitor;

	/* All in one piece: the event is read together with the answer. */
	qmp = connect_to("{\"QMP\": {}} {\"return\": {}} {\"return\": {}}"
			 " {\"event\": \"MIGRATION\", \"data\": {}}",
	    &monitor);
	cr_assert_eq(qmp_execute(qmp, "migrate", NULL, NULL, &error), 0);
	cr_assert_eq(
	    qmp_wait_event(qmp, COMES_MS, "MIGRATION", NULL, &event, &error), 0,
	    "%s", error.message);
	json_decref(event);
	qmp_free(qmp);
	close(monitor);
}
