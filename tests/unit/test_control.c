/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * control/: the channel with its descriptors and limits, arguments against the
 * table, error classes, the client's time-outs, where forkd lives.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "control/channel.h"
#include "control/client.h"
#include "control/messages.h"
#include "control/paths.h"
#include "control/start.h"
#include "lib/fault.h"

static void
make_pair(struct channel *a, struct channel *b)
{
	struct lf_error error;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(channel_init(a, sv[0], &error), 0);
	cr_assert_eq(channel_init(b, sv[1], &error), 0);
}

static int
receive(struct channel *c, struct channel_message *m, struct lf_error *error)
{
	int rc;

	while ((rc = channel_next(c, m, error)) == 0) {
		rc = channel_read(c, error);
		if (rc <= 0)
			return rc;
	}
	return rc;
}

Test(channel, each_descriptor_arrives_with_its_own_message)
{
	struct channel a, b;
	struct channel_message m = {0};
	struct lf_error error;
	int one = memfd_create("one", MFD_CLOEXEC);
	int two = memfd_create("two", MFD_CLOEXEC);
	json_t *object;
	int fd;

	make_pair(&a, &b);
	cr_assert_eq(ftruncate(two, 2), 0);
	object = json_pack("{s:i}", "n", 0);
	cr_assert_eq(channel_send(&a, object, NULL, 0, &error), 0);
	cr_assert_eq(channel_send(&a, object, &one, 1, &error), 0);
	cr_assert_eq(channel_send(&a, object, &two, 1, &error), 0);
	json_decref(object);

	cr_assert_eq(receive(&b, &m, &error), 1);
	cr_assert_eq(m.fd_count, 0);
	channel_message_done(&m);
	cr_assert_eq(receive(&b, &m, &error), 1);
	cr_assert_eq(m.fd_count, 1);
	channel_message_done(&m);
	cr_assert_eq(receive(&b, &m, &error), 1);
	cr_assert_eq(m.fd_count, 1);
	fd = channel_message_take_fd(&m, 0);
	cr_assert_eq(lseek(fd, 0, SEEK_END), 2);
	cr_assert_eq(channel_message_take_fd(&m, 1), -1);
	close(fd);
	channel_message_done(&m);
	channel_done(&a);
	channel_done(&b);
}

Test(channel, a_reader_that_does_not_read_fills_a_bounded_queue)
{
	struct channel a, b;
	struct channel_message m = {0};
	struct lf_error error;
	char text[60001];
	json_t *object;
	int sent = 0, got = 0, rc;

	make_pair(&a, &b);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	object = json_pack("{s:s}", "text", text);
	while ((rc = channel_send(&a, object, NULL, 0, &error)) == 0)
		cr_assert_lt(++sent, 1000);
	json_decref(object);
	cr_assert_eq(rc, -ENOBUFS);
	cr_assert(channel_wants_write(&a));
	cr_assert_leq(a.queued, CHANNEL_QUEUE_MAX);
	/* What was queued is not lost. */
	while (got < sent) {
		cr_assert_eq(channel_flush(&a, &error), 0);
		if (receive(&b, &m, &error) == 1) {
			got++;
			channel_message_done(&m);
		}
	}
	cr_assert_not(channel_wants_write(&a));
	channel_done(&a);
	channel_done(&b);
}

static const struct {
	const char *bytes;
	int rc;
	const char *message;
} bad_bytes[] = {
    {"hello", -EBADMSG, "not a JSON object: it begins with 0x68"},
    {"{\"a\":}", -EBADMSG, "not a JSON object: unexpected token near '}'"},
    {"{\"fds\":1}", -EBADMSG,
	"a message says that it has 1 descriptors, 0 came"},
    {"{\"fds\":-1}", -EBADMSG,
	"member 'fds' of a message: a number from 0 to 64 wanted"},
    {"{\"fds\":\"1\"}", -EBADMSG,
	"member 'fds' of a message: a number from 0 to 64 wanted"},
};

Test(channel, malformed_messages_are_refused_with_the_reason)
{
	size_t i;

	for (i = 0; i < sizeof(bad_bytes) / sizeof(bad_bytes[0]); i++) {
		struct channel a, b;
		struct channel_message m = {0};
		struct lf_error error;
		size_t len = strlen(bad_bytes[i].bytes);

		make_pair(&a, &b);
		cr_assert_eq(
		    write(a.sock, bad_bytes[i].bytes, len), (ssize_t)len);
		cr_expect_eq(receive(&b, &m, &error), bad_bytes[i].rc);
		cr_expect_str_eq(error.message, bad_bytes[i].message);
		channel_done(&a);
		channel_done(&b);
	}
}

Test(channel, an_object_that_never_ends_is_refused_at_the_limit)
{
	struct channel a, b;
	struct channel_message m = {0};
	struct lf_error error;
	char text[4096] = "{\"a\":\"";
	size_t sent = 0;
	int rc = 0;

	make_pair(&a, &b);
	memset(text + 6, 'x', sizeof(text) - 6);
	while (rc == 0) {
		cr_assert_eq(
		    write(a.sock, text, sizeof(text)), (ssize_t)sizeof(text));
		memset(text, 'x', sizeof(text));
		sent += sizeof(text);
		cr_assert_leq(sent, CHANNEL_OBJECT_MAX + sizeof(text));
		rc = receive(&b, &m, &error);
	}
	cr_assert_eq(rc, -EMSGSIZE);
	channel_done(&a);
	channel_done(&b);
}

Test(channel, descriptors_that_no_message_takes_are_limited)
{
	struct channel a, b;
	struct channel_message m = {0};
	struct lf_error error;
	int before = fault_open_descriptors(), fds[FDPASS_MAX], i, rc = 0;

	make_pair(&a, &b);
	for (i = 0; i < FDPASS_MAX; i++)
		fds[i] = 0;
	for (i = 0; i < 2; i++)
		cr_assert_eq(
		    fdpass_send(a.sock, " ", 1, fds, FDPASS_MAX, &error), 1);
	while (rc == 0)
		rc = receive(&b, &m, &error) ?: (i-- > 0 ? 0 : -1);
	cr_assert_eq(rc, -EBADMSG);
	channel_done(&a);
	channel_done(&b);
	cr_assert_eq(fault_open_descriptors(), before);
}

Test(channel, a_failed_send_leaks_nothing)
{
	int before = fault_open_descriptors();

	FAULT_LOOP(fault)
	{
		struct channel a = {.sock = -1}, b = {.sock = -1};
		struct lf_error error = {0};
		json_t *object = json_pack("{s:i}", "n", 1);
		int sv[2], null = open("/dev/null", O_RDONLY), rc;

		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		rc = channel_init(&a, sv[0], &error);
		if (rc == 0)
			rc = channel_init(&b, sv[1], &error);
		else
			close(sv[1]);
		if (rc == 0)
			rc = channel_send(&a, object, &null, 1, &error);
		fault_end(&fault);
		if (fault.hit) {
			cr_assert_lt(rc, 0, "%s failed unseen", fault.name);
			cr_assert_neq(error.message[0], '\0');
		} else
			cr_assert_eq(rc, 0);
		channel_done(&a);
		channel_done(&b);
		json_decref(object);
		close(null);
		cr_assert_eq(fault_open_descriptors(), before);
	}
}

static const struct {
	const char *command, *arguments, *message;
	size_t fd_count;
} bad_arguments[] = {
    {"pause", "{}",
	"pause: argument 'domain' is missing (the domain's id or name)", 0},
    {"pause", "{\"domain\":1}",
	"pause: argument 'domain' has to be a string that is not empty", 0},
    {"pause", "{\"domain\":\"\"}",
	"pause: argument 'domain' has to be a string that is not empty", 0},
    {"pause", "{\"domain\":\"a\",\"doman\":\"a\"}",
	"pause: no argument is called 'doman'", 0},
    {"pause", "[]", "pause: 'arguments' has to be an object", 0},
    {"fork-vm", "{\"domain\":\"a\",\"count\":0}",
	"fork-vm: argument 'count' has to be a number from 1 to 1000", 0},
    {"fork-vm", "{\"domain\":\"a\",\"count\":1001}",
	"fork-vm: argument 'count' has to be a number from 1 to 1000", 0},
    {"fork-vm", "{\"domain\":\"a\",\"paused\":1}",
	"fork-vm: argument 'paused' has to be true or false", 0},
    {"fork-vm", "{\"domain\":\"a\",\"devstate\":1}",
	"fork-vm: argument 'devstate' is descriptor 1 of the message, which "
	"has 1",
	1},
    {"save-devstate", "{\"domain\":\"a\",\"fd\":-1}",
	"save-devstate: argument 'fd' is descriptor -1 of the message, which "
	"has 1",
	1},
    {"create", "{\"config\":\"x\"}",
	"create: argument 'config' has to be an object", 0},
};

Test(messages, bad_arguments_are_named)
{
	size_t i;

	for (i = 0; i < sizeof(bad_arguments) / sizeof(bad_arguments[0]); i++) {
		const struct control_command *command =
		    control_command_find(bad_arguments[i].command);
		json_t *arguments =
		    json_loads(bad_arguments[i].arguments, 0, NULL);
		struct lf_error error = {0};

		cr_assert_not_null(command);
		cr_expect_eq(
		    control_check_arguments(command->name, command->arguments,
			arguments, bad_arguments[i].fd_count, &error),
		    -EINVAL);
		cr_expect_str_eq(error.message, bad_arguments[i].message);
		json_decref(arguments);
	}
}

Test(messages, an_overlong_string_is_refused_and_a_good_call_passes)
{
	const struct control_command *command = control_command_find("pause");
	struct lf_error error = {0};
	char name[200];
	json_t *arguments;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	arguments = json_pack("{s:s}", "domain", name);
	cr_assert_eq(control_check_arguments(command->name, command->arguments,
			 arguments, 0, &error),
	    -EINVAL);
	json_decref(arguments);
	arguments = json_pack("{s:s}", "domain", "web");
	cr_assert_eq(control_check_arguments(command->name, command->arguments,
			 arguments, 0, &error),
	    0);
	json_decref(arguments);
}

Test(messages, every_command_is_found_by_its_name_and_described)
{
	int i;

	for (i = 0; i < CONTROL_COMMAND_COUNT; i++) {
		const struct control_command *c = &control_commands[i];

		cr_assert_not_null(c->name);
		cr_assert_eq(control_command_find(c->name), c);
		cr_assert_neq(c->meaning[0], '\0');
		cr_assert_neq(c->returns[0], '\0');
	}
	cr_assert_null(control_command_find("reboot"));
}

Test(messages, error_classes_keep_the_code_over_the_wire)
{
	static const int codes[] = {ENOENT, EEXIST, EBUSY, EBADFD, EINVAL,
	    ENOSPC, EACCES, ENOSYS, ETIMEDOUT, EOPNOTSUPP};
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct lf_error error = {-codes[i], "text"}, back = {0};
		json_t *answer = control_make_error(&error, NULL), *none;

		cr_assert_eq(
		    control_read_answer(answer, &none, &back), -codes[i]);
		cr_assert_str_eq(back.message, "text");
		json_decref(answer);
	}
	cr_assert_eq(control_error_code("SomethingNew"), -EIO);
}

Test(messages, text_that_is_not_utf8_does_not_lose_the_answer)
{
	struct lf_error error = {-EIO, "name '\xff\xfe'"}, back = {0};
	json_t *answer = control_make_error(&error, NULL), *none;

	cr_assert_not_null(answer);
	cr_assert_eq(control_read_answer(answer, &none, &back), -EIO);
	cr_assert_str_eq(back.message, "name '?"
				       "?'");
	json_decref(answer);
}

Test(messages, states_have_names)
{
	cr_assert_str_eq(control_state_name(CONTROL_FROZEN), "frozen");
	cr_assert_eq(control_state_parse("crashed"), CONTROL_CRASHED);
	cr_assert_eq(control_state_parse("asleep"), 0);
	cr_assert_eq(control_state_parse(NULL), 0);
}

/* A server that says what it is told to and then closes, or waits. */
struct server {
	char dir[32], path[40];
	int sock;
	const char *greeting, *answer;
	bool hang;
	pthread_t thread;
};

static void *
serve(void *arg)
{
	struct server *s = arg;
	char buf[1000];
	int fd = accept(s->sock, NULL, NULL);

	if (write(fd, s->greeting, strlen(s->greeting)) < 0)
		return NULL;
	if (s->answer != NULL && read(fd, buf, sizeof(buf)) > 0 &&
	    write(fd, s->answer, strlen(s->answer)) < 0)
		return NULL;
	/* A client that gives up closes its end. */
	while (s->hang && read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
	return NULL;
}

static void
server_begin(struct server *s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	strcpy(s->dir, "/tmp/test-control-XXXXXX");
	cr_assert_not_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	strcpy(addr.sun_path, s->path);
	s->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(s->sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(s->sock, 1), 0);
	cr_assert_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void
server_end(struct server *s)
{
	pthread_join(s->thread, NULL);
	close(s->sock);
	unlink(s->path);
	rmdir(s->dir);
}

#define GREETING "{\"QMP\":{}}\n"

/* What comes is waited for, however busy the machine; what does not, is not. */
#define COMES_MS 300000
#define NEVER_MS 50

static const struct {
	const char *greeting, *answer;
	bool hang;
	int connect_rc, call_rc;
	const char *message;
} servers[] = {
    {"SSH-2.0\n", NULL, false, -EBADMSG, 0, NULL},
    {"{\"hello\":1}\n", NULL, false, -EBADMSG, 0, NULL},
    {"", NULL, false, -EPIPE, 0, NULL},
    {"", NULL, true, -ETIMEDOUT, 0, NULL},
    {GREETING, NULL, true, 0, -ETIMEDOUT, NULL},
    {GREETING, "", false, 0, -EPIPE, NULL},
    {GREETING, "{\"id\":1}", true, 0, -EBADMSG, NULL},
    {GREETING, "{\"return\":{}}{", true, 0, 0, NULL},
    {GREETING, "{\"event\":\"A\",\"data\":{}}{\"return\":{},\"id\":1}", true, 0,
	0, NULL},
    {GREETING,
	"{\"error\":{\"class\":\"Busy\",\"desc\":\"held by 3\"},\"id\":1}",
	true, 0, -EBUSY, "held by 3"},
};

static int
patience(int wanted_rc)
{
	return wanted_rc == -ETIMEDOUT ? NEVER_MS : COMES_MS;
}

Test(client, whatever_the_server_does_the_call_ends_with_the_right_code)
{
	size_t i;

	for (i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		struct control_client *client = NULL;
		struct lf_error error = {0};
		struct server s = {.greeting = servers[i].greeting,
		    .answer = servers[i].answer,
		    .hang = servers[i].hang};
		int rc;

		server_begin(&s);
		rc = control_client_connect(
		    s.path, patience(servers[i].connect_rc), &client, &error);
		cr_expect_eq(rc, servers[i].connect_rc, "row %zu: %d %s", i, rc,
		    error.message);
		if (rc == 0) {
			rc = control_client_call(client, "list", NULL, NULL,
			    NULL, patience(servers[i].call_rc), NULL, &error);
			cr_expect_eq(rc, servers[i].call_rc, "row %zu: %d %s",
			    i, rc, error.message);
		}
		if (servers[i].message != NULL)
			cr_expect_str_eq(error.message, servers[i].message);
		control_client_free(client);
		server_end(&s);
	}
}

Test(client, an_event_before_the_answer_is_kept)
{
	struct control_client *client = NULL;
	struct lf_error error = {0};
	struct server s = {.greeting = GREETING,
	    .answer = "{\"event\":\"A\"}{\"return\":{\"x\":1},\"id\":1}",
	    .hang = true};
	json_t *result = NULL, *event = NULL;

	server_begin(&s);
	cr_assert_eq(
	    control_client_connect(s.path, COMES_MS, &client, &error), 0);
	cr_assert_eq(control_client_call(client, "list", NULL, NULL, NULL,
			 COMES_MS, &result, &error),
	    0);
	cr_assert_eq(json_integer_value(json_object_get(result, "x")), 1);
	cr_assert_eq(
	    control_client_next_event(client, NULL, 0, &event, &error), 0);
	cr_assert_str_eq(
	    json_string_value(json_object_get(event, "event")), "A");
	json_decref(event);
	json_decref(result);
	cr_assert_eq(
	    control_client_next_event(client, NULL, 10, &event, &error),
	    -ETIMEDOUT);
	control_client_free(client);
	server_end(&s);
}

Test(client, nobody_listening_is_told_apart)
{
	struct control_client *client = NULL;
	struct lf_error error = {0};

	cr_assert_eq(
	    control_client_connect("/nonexistent/socket", 100, &client, &error),
	    -ENOENT);
	cr_assert_str_eq(error.message,
	    "cannot connect to forkd at '/nonexistent/socket': No such file "
	    "or directory");
}

Test(paths, the_environment_decides_and_is_checked)
{
	struct lf_error error = {0};
	char *path = NULL;
	char *longer;

	setenv(CONTROL_RUN_DIR_ENV, "/run/mine", 1);
	cr_assert_eq(control_run_dir(&path, &error), 0);
	cr_assert_str_eq(path, "/run/mine");
	free(path);
	setenv(CONTROL_RUN_DIR_ENV, "mine", 1);
	cr_assert_eq(control_run_dir(&path, &error), -EINVAL);
	longer = malloc(200);
	memset(longer, '/', 199);
	longer[199] = '\0';
	setenv(CONTROL_RUN_DIR_ENV, longer, 1);
	cr_assert_eq(control_run_dir(&path, &error), -ENAMETOOLONG);
	free(longer);
	unsetenv(CONTROL_RUN_DIR_ENV);
	setenv(CONTROL_STATE_DIR_ENV, "/var/lib/mine", 1);
	cr_assert_eq(control_state_dir(&path, &error), 0);
	cr_assert_str_eq(path, "/var/lib/mine");
	free(path);
}

Test(start, a_forkd_that_cannot_start_says_why)
{
	struct control_client *client = NULL;
	struct lf_error error = {0};
	char dir[] = "/tmp/test-control-XXXXXX";

	cr_assert_not_null(mkdtemp(dir));
	setenv(CONTROL_RUN_DIR_ENV, dir, 1);
	cr_assert_eq(control_start(
			 "/nonexistent/forkd", true, COMES_MS, &client, &error),
	    -EIO);
	cr_assert_str_eq(error.message,
	    "forkd did not start: cannot start '/nonexistent/forkd': No such "
	    "file or directory");
	cr_assert_eq(
	    control_start("/bin/true", true, 5000, &client, &error), -ENOENT);
	cr_assert_eq(
	    control_start("/bin/true", false, 5000, &client, &error), -ENOENT);
	rmdir(dir);
}
