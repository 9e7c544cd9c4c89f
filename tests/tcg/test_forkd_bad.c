/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd and those who mean it ill or know no better: other users, garbage on
 * its socket, clients that do not read, configurations that cannot work,
 * programs that fail.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/channel.h"
#include "lib/forkd_test.h"
#include "lib/guest_vm.h"

TestSuite(
    forkd_bad, .init = forkd_setup, .fini = forkd_teardown, .timeout = 120);

static int
connect_raw(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, forkd_socket());
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(sock);
		return -errno;
	}
	return sock;
}

/* For what comes, however busy the machine is. */
#define COMES_MS 300000

/*
 * What comes until these words have come (NULL: until the end of the
 * connection). True when it is at its end.
 */
static bool
read_until(int sock, const char *words, char *text, size_t size)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	size_t len = 0;
	ssize_t n = 1;

	text[0] = '\0';
	while ((words == NULL || strstr(text, words) == NULL) &&
	       len < size - 1 && poll(&p, 1, COMES_MS) > 0) {
		n = read(sock, text + len, size - 1 - len);
		if (n <= 0)
			return true;
		len += (size_t)n;
		text[len] = '\0';
	}
	return false;
}

static const struct {
	const char *bytes, *answer;
	bool closed;
} garbage[] = {
    {"hello\n", "\"BadMessage\"", true},
    {"[1]", "\"BadMessage\"", true},
    {"{\"execute\":}", "\"BadMessage\"", true},
    {"{\"a\":1,\"a\":2}", "duplicate object key", true},
    {"{\"execute\":\"list\",\"fds\":3}", "3 descriptors, 0 came", true},
    {"{}", "a message without 'execute'", false},
    {"{\"execute\":1}", "'execute' of a message has to be a string", false},
    {"{\"execute\":\"reboot\"}", "\"CommandNotFound\"", false},
    {"{\"execute\":\"list\",\"arguments\":[]}", "has to be an object", false},
    {"{\"execute\":\"list\",\"id\":{\"x\":[1]}}", "\"id\":{\"x\":[1]}", false},
    {"{\"return\":{},\"id\":1}{\"execute\":\"list\"}", "\"domains\"", false},
    {"{\"execute\":\"create\",\"arguments\":{\"config\":{\"nme\":\"a\"}}}",
	"nme", false},
    {"{\"execute\":\"create\",\"arguments\":{\"config\":{\"name\":\"a\","
     "\"kernel\":\"vmlinuz\"}}}",
	"absolute", false},
    {"{\"execute\":\"info\",\"arguments\":{\"domain\":\"x\\u0000y\"}}",
	"\"BadMessage\"", true},
};

Test(forkd_bad, garbage_is_answered_and_disturbs_nobody)
{
	size_t i;

	forkd_start(NULL);
	for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		static const char ask[] = "{\"execute\":\"list\",\"id\":7}";
		char text[4096];
		int sock = connect_raw();
		bool closed;
		ssize_t len = (ssize_t)strlen(garbage[i].bytes);

		cr_assert_geq(sock, 0);
		cr_assert_eq(write(sock, garbage[i].bytes, (size_t)len), len);
		closed =
		    read_until(sock, garbage[i].answer, text, sizeof(text));
		cr_expect_not_null(strstr(text, garbage[i].answer),
		    "'%s' was answered by '%s'", garbage[i].bytes, text);
		/* Who is not dropped is served on. */
		if (!garbage[i].closed)
			cr_expect_eq(write(sock, ask, strlen(ask)),
			    (ssize_t)strlen(ask));
		closed = closed ||
			 read_until(sock, garbage[i].closed ? NULL : "\"id\":7",
			     text, sizeof(text));
		cr_expect_eq(
		    closed, garbage[i].closed, "'%s'", garbage[i].bytes);
		close(sock);
	}
	forkd_check_empty();
}

Test(forkd_bad, a_message_without_end_is_cut_off)
{
	char text[4096] = "{\"execute\":\"";
	struct pollfd p;
	size_t sent = 0;
	int sock;

	forkd_start(NULL);
	signal(SIGPIPE, SIG_IGN);
	sock = connect_raw();
	memset(text + 12, 'x', sizeof(text) - 12);
	while (write(sock, text, sizeof(text)) > 0) {
		memset(text, 'x', sizeof(text));
		sent += sizeof(text);
		cr_assert_lt(sent, 2 * CHANNEL_OBJECT_MAX);
	}
	p = (struct pollfd){.fd = sock, .events = POLLIN};
	cr_assert_eq(poll(&p, 1, COMES_MS), 1);
	close(sock);
	forkd_check_empty();
}

Test(forkd_bad, a_client_that_does_not_read_is_dropped_and_others_are_served)
{
	static const char info[] =
	    "{\"execute\":\"info\",\"arguments\":{\"domain\":\"a\"}}";
	struct pollfd p = {.events = POLLIN};
	char text[65536];
	unsigned id, i;
	int sock;
	ssize_t n;

	forkd_start(NULL);
	signal(SIGPIPE, SIG_IGN);
	id = forkd_create(guest_bootless("a"));
	sock = connect_raw();
	cr_assert_geq(sock, 0);
	/* Megabytes of answers that nobody wants to have. */
	for (i = 0; send(sock, info, sizeof(info) - 1, 0) > 0; i++)
		cr_assert_lt(i, 100000, "it was not dropped");
	cr_assert_str_eq(forkd_text(id, "state"), "running");
	/* What was in the socket comes, then the end. */
	p.fd = sock;
	do {
		cr_assert_eq(poll(&p, 1, COMES_MS), 1, "there is no end");
		n = read(sock, text, sizeof(text));
	} while (n > 0);
	close(sock);
	cr_assert_str_eq(forkd_text(id, "state"), "running");
}

Test(forkd_bad, more_clients_than_are_served_are_told_so)
{
	int socks[200], i, served = 0;
	char text[512];

	forkd_start(NULL);
	for (i = 0; i < 200; i++) {
		struct pollfd p = {.events = POLLIN};

		socks[i] = connect_raw();
		cr_assert_geq(socks[i], 0);
		p.fd = socks[i];
		cr_assert_eq(poll(&p, 1, COMES_MS), 1);
		memset(text, 0, sizeof(text));
		cr_assert_gt(read(socks[i], text, sizeof(text) - 1), 0);
		if (strstr(text, "\"QMP\"") != NULL)
			served++;
		else
			cr_assert_not_null(
			    strstr(text, "forkd has 128 clients already"), "%s",
			    text);
	}
	/* 128, one of which is the test's own. */
	cr_assert_eq(served, 127);
	for (i = 0; i < 200; i++)
		close(socks[i]);
	forkd_check_empty();
}

Test(forkd_bad, another_user_is_refused_with_the_reason)
{
	char text[512];
	int status;
	pid_t pid;

	if (geteuid() != 0)
		cr_skip_test("only root can be another user");
	forkd_start(NULL);
	pid = fork();
	if (pid == 0) {
		if (setresgid(65534, 65534, 65534) < 0 ||
		    setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		/* The socket's mode keeps it out. */
		_exit(connect_raw() == -EACCES ? 0 : 2);
	}
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
	/* And if it did not, the daemon would. */
	cr_assert_eq(chmod(forkd_socket(), 0666), 0);
	pid = fork();
	if (pid == 0) {
		int sock;

		if (setresgid(65534, 65534, 65534) < 0 ||
		    setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		sock = connect_raw();
		if (sock < 0)
			_exit(2);
		read_until(sock, NULL, text, sizeof(text));
		_exit(strstr(text, "NotPermitted") != NULL &&
			      strstr(text,
				  "this forkd serves user 0 and root only, not "
				  "user 65534") != NULL
			  ? 0
			  : 3);
	}
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0, "%#x", status);
}

/* --- domains that cannot be --- */

static void
refused(struct lf_domain_config *take_config, int code, const char *words)
{
	forkd_refuses("create",
	    json_pack("{s:o}", "config", forkd_config_value(take_config)), code,
	    words);
	lf_domain_config_free(take_config);
}

Test(forkd_bad, a_domain_that_cannot_be_made_leaves_nothing)
{
	struct lf_domain_config *config;
	struct lf_disk *disk;
	char *path = guest_path("fifo");

	forkd_start(NULL);
	config = guest_bootless("a");
	lf_domain_config_set(
	    &config->firmware.path, "/nonexistent/firmware", NULL);
	refused(config, -ENOENT,
	    "'/nonexistent/firmware': No such file or directory");

	config = guest_bootless("a");
	lf_domain_config_add_disk(config, &disk, NULL);
	disk->path = strdup(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	refused(config, -EINVAL, "is neither a file nor a device");

	/* A qcow2 that is none. */
	config = guest_bootless("a");
	guest_shell("echo nothing > %s/empty", guest_dir());
	lf_domain_config_add_disk(config, &disk, NULL);
	disk->path = guest_path("empty");
	disk->format = LF_DISK_QCOW2;
	refused(config, -EINVAL, "is not a qcow2");

	/* QEMU's own last words. */
	config = guest_bootless("a");
	lf_domain_config_add_qemu_arg(config, "-device", NULL);
	lf_domain_config_add_qemu_arg(config, "no-such-device", NULL);
	refused(config, -EIO, "'no-such-device' is not a valid device model");

	config = guest_bootless("a");
	lf_domain_config_set(&config->cpu, "no-such-cpu", NULL);
	refused(config, -EIO, "no-such-cpu");
	forkd_check_empty();
	free(path);
}

Test(forkd_bad, a_qemu_that_cannot_be_executed_is_named)
{
	static const char *const options[] = {
	    "--qemu", "/nonexistent/qemu", NULL};

	forkd_start(options);
	refused(guest_bootless("a"), -EIO,
	    "cannot execute '/nonexistent/qemu': No such file or directory");
	forkd_check_empty();
}

Test(forkd_bad, no_space_for_an_overlay)
{
	struct lf_domain_config *config = guest_bootless("a");
	char *state = guest_path("state");
	unsigned id;

	cr_assert_eq(mkdir(state, 0700), 0);
	if (mount("none", state, "tmpfs", 0, "size=16k,mode=0700") < 0)
		cr_skip_test("no file system of a few pages can be mounted");
	forkd_start(NULL);
	guest_add_disk(config, "disk");
	id = forkd_create(config);
	forkd_refuses(
	    "fork-vm", forkd_domain(id), -ENOSPC, "No space left on device");
	/* The parent is as it was, but frozen. */
	json_decref(forkd_call("unpause", forkd_domain(id)));
	json_decref(forkd_call("destroy", forkd_domain(id)));
	forkd_check_empty();
	forkd_stop();
	umount2(state, MNT_DETACH);
	free(state);
}

Test(forkd_bad, a_second_forkd_does_not_disturb_the_first)
{
	const char *top = getenv("top_builddir");

	forkd_start(NULL);
	guest_shell("! %s/forkd/forkd --run-dir %s/run --state-dir %s/state "
		    "2>%s/said; grep -q 'another forkd runs' %s/said",
	    top != NULL ? top : ".", guest_dir(), guest_dir(), guest_dir(),
	    guest_dir());
	json_decref(forkd_call("list", NULL));
}

static const struct {
	const char *prepare, *message;
} bad_dirs[] = {
    {"mkdir bad && chmod 0777 bad", "can be written by others"},
    {"touch bad", "is not a directory"},
    {"ln -s /tmp bad", "is not a directory"},
    {"mkdir bad && chown 1234 bad", "belongs to user 1234"},
};

Test(forkd_bad, a_run_directory_that_is_not_ours_alone_is_refused)
{
	const char *top = getenv("top_builddir");
	size_t i;

	for (i = 0; i < sizeof(bad_dirs) / sizeof(bad_dirs[0]); i++) {
		if (geteuid() != 0 && strstr(bad_dirs[i].prepare, "chown"))
			continue;
		guest_shell("rm -rf %s/bad", guest_dir());
		guest_shell("cd %s && %s", guest_dir(), bad_dirs[i].prepare);
		guest_shell("! %s/forkd/forkd --run-dir %s/bad --state-dir "
			    "%s/state 2>%s/said",
		    top != NULL ? top : ".", guest_dir(), guest_dir(),
		    guest_dir());
		guest_shell("grep -q '%s' %s/said || { cat %s/said; false; }",
		    bad_dirs[i].message, guest_dir(), guest_dir());
	}
}
