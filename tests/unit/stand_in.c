/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit/stand_in.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/channel.h"
#include "control/messages.h"
#include "xlfork/command.h"

/* A process of its own, so that a fault loop does not hit it. */
static struct {
	int sock;
	const struct stand_in_answer *answers;
	pid_t pid;
} server;

struct stand_in_shared *stand_in_shared;
char stand_in_dir[64];

static void
remember(const json_t *object)
{
	size_t used = strlen(stand_in_shared->asked);
	char *arguments = json_dumps(json_object_get(object, "arguments"),
	    JSON_COMPACT | JSON_SORT_KEYS);

	snprintf(stand_in_shared->asked + used, STAND_IN_ASKED_MAX - used,
	    "%s %s\n", json_string_value(json_object_get(object, "execute")),
	    arguments);
	free(arguments);
}

static const struct stand_in_answer *
find_answer(const char *command)
{
	const struct stand_in_answer *a, *found = NULL;

	for (a = server.answers; a->command != NULL; a++)
		if (strcmp(a->command, command) == 0 &&
		    (found == NULL || atomic_load(&stand_in_shared->later)))
			found = a;
	return found;
}

/* False: hang up. */
static bool
answer_one(struct channel *c, struct channel_message *m)
{
	const struct stand_in_answer *a = find_answer(
	    json_string_value(json_object_get(m->object, "execute")));
	struct lf_error error;
	json_t *object;
	bool sent;

	remember(m->object);
	while (atomic_load(&stand_in_shared->held))
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

	alarm(STAND_IN_LIFE_SECONDS);
	while ((sock = accept(server.sock, NULL, NULL)) >= 0)
		serve_client(sock);
	_exit(0);
}

void
stand_in_start(const struct stand_in_answer *answers)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	strcpy(stand_in_dir, "/tmp/test-xlfork-XXXXXX");
	cr_assert_not_null(mkdtemp(stand_in_dir));
	setenv("FORKD_RUN_DIR", stand_in_dir, 1);
	setenv("FORKD", "/nonexistent/forkd", 1);
	snprintf(
	    addr.sun_path, sizeof(addr.sun_path), "%s/socket", stand_in_dir);
	server.sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	server.answers = answers;
	cr_assert_eq(
	    bind(server.sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(server.sock, 5), 0);
	stand_in_shared = mmap(NULL, sizeof(*stand_in_shared),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(stand_in_shared, MAP_FAILED);
	server.pid = fork();
	if (server.pid == 0)
		serve();
}

void
stand_in_stop(void)
{
	char path[128];

	kill(server.pid, SIGKILL);
	waitpid(server.pid, NULL, 0);
	close(server.sock);
	snprintf(path, sizeof(path), "%s/socket", stand_in_dir);
	unlink(path);
	cr_expect_eq(rmdir(stand_in_dir), 0, "something is left in it");
}

int
stand_in_run(const char *line)
{
	char words[1024], *argv[32];
	int argc = 0;

	snprintf(words, sizeof(words), "xlfork %s", line);
	for (char *w = strtok(words, " "); w != NULL; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	stand_in_shared->asked[0] = '\0';
	return (int)command_main(argc, argv);
}

void
stand_in_expect(const char *line, int status, int stream, const char *expected)
{
	char text[8192];
	FILE *file = tmpfile();
	int saved = dup(stream);
	size_t len;

	dup2(fileno(file), stream);
	cr_expect_eq(stand_in_run(line), status, "%s", line);
	fflush(stdout);
	dup2(saved, stream);
	close(saved);
	rewind(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	fclose(file);
	cr_expect_str_eq(text, expected, "%s said '%s'", line, text);
}

int
stand_in_exit_status(pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
