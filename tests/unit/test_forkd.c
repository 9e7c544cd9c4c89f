/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd's parts: connections in a loop, starting processes, directories, the
 * registry and its files, image headers.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/adopt.h"
#include "forkd/client.h"
#include "forkd/daemon.h"
#include "forkd/host.h"
#include "forkd/life.h"
#include "forkd/peer.h"
#include "forkd/qcow2.h"
#include "forkd/registry.h"
#include "forkd/rundir.h"
#include "forkd/spawn.h"
#include "lib/fault.h"
#include "lib/scratch.h"

/* --- peer --- */

struct end {
	struct peer *peer;
	struct peer_request *held; /* a request that is not answered yet */
	bool hold;
	unsigned requests, answers, events, closed;
	int last_code;
};

static void
on_request(void *opaque, struct peer_request *request)
{
	struct end *end = opaque;
	struct lf_error error;

	end->requests++;
	if (end->hold)
		end->held = request;
	else if (strcmp(request->name, "fail") == 0) {
		error_set(&error, EBUSY, "not now");
		peer_fail(request, &error);
	} else
		peer_return(request, json_object(), NULL, 0);
}

static void
on_event(void *opaque, const char *name, json_t *data)
{
	struct end *end = opaque;

	(void)data;
	cr_assert_str_eq(name, "A");
	end->events++;
}

static void
on_closed(void *opaque, const struct lf_error *why)
{
	struct end *end = opaque;

	(void)why;
	end->closed++;
	peer_free(end->peer);
	end->peer = NULL;
}

static void
on_answer(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct end *end = opaque;

	(void)result;
	(void)answer;
	end->answers++;
	end->last_code = error != NULL ? error->code : 0;
}

static const struct peer_ops ops = {
    .request = on_request, .event = on_event, .closed = on_closed};
static const struct peer_ops serial_ops = {
    .request = on_request, .closed = on_closed, .serial = true};

static struct event_base *base;

static void
make_ends(struct end *a, struct end *b, const struct peer_ops *b_ops)
{
	struct lf_error error;
	int sv[2];

	base = event_base_new();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(peer_new(base, sv[0], &ops, a, &a->peer, &error), 0);
	cr_assert_eq(peer_new(base, sv[1], b_ops, b, &b->peer, &error), 0);
}

TestSuite(peer, .timeout = 60);

/* Lets the loop work until something is the case, however long that takes. */
#define turn_until(condition)                               \
	do {                                                \
		while (!(condition))                        \
			event_base_loop(base, EVLOOP_ONCE); \
	} while (0)

static void
free_ends(struct end *a, struct end *b)
{
	peer_free(a->peer);
	peer_free(b->peer);
	event_base_free(base);
}

Test(peer, calls_are_answered_or_refused)
{
	struct end a = {0}, b = {0};

	make_ends(&a, &b, &ops);
	peer_call(a.peer, "hello", NULL, NULL, 0, -1, on_answer, &a);
	turn_until(a.answers == 1);
	cr_assert_eq(a.last_code, 0);
	peer_call(a.peer, "fail", NULL, NULL, 0, -1, on_answer, &a);
	turn_until(a.answers == 2);
	cr_assert_eq(a.last_code, -EBUSY);
	free_ends(&a, &b);
}

Test(peer, a_call_that_nobody_answers_times_out_and_its_late_answer_is_dropped)
{
	struct end a = {0}, b = {.hold = true};

	make_ends(&a, &b, &ops);
	peer_call(a.peer, "hello", NULL, NULL, 0, 30, on_answer, &a);
	turn_until(b.held != NULL && a.answers == 1);
	cr_assert_eq(a.last_code, -ETIMEDOUT);
	peer_return(b.held, json_object(), NULL, 0);
	/* It has come by when the answer to the next call is there. */
	b.hold = false;
	peer_call(a.peer, "hello", NULL, NULL, 0, -1, on_answer, &a);
	turn_until(a.answers >= 2);
	cr_assert_eq(a.answers, 2);
	cr_assert_eq(a.last_code, 0);
	cr_assert_eq(a.closed, 0);
	free_ends(&a, &b);
}

Test(peer, open_calls_fail_when_the_other_end_goes_away)
{
	struct end a = {0}, b = {.hold = true};

	make_ends(&a, &b, &ops);
	peer_call(a.peer, "hello", NULL, NULL, 0, -1, on_answer, &a);
	turn_until(b.held != NULL);
	peer_free(b.peer);
	b.peer = NULL;
	turn_until(a.closed == 1);
	cr_assert_eq(a.answers, 1);
	cr_assert_eq(a.last_code, -EPIPE);
	/* The request outlived its connection. */
	cr_assert_null(b.held->peer);
	peer_return(b.held, json_object(), NULL, 0);
	free_ends(&a, &b);
}

Test(peer, a_serial_peer_takes_the_next_command_after_the_answer)
{
	struct end a = {0}, b = {.hold = true};
	int i;

	make_ends(&a, &b, &serial_ops);
	for (i = 0; i < 3; i++)
		peer_call(a.peer, "hello", NULL, NULL, 0, -1, on_answer, &a);
	for (i = 1; i <= 3; i++) {
		turn_until(b.requests >= (unsigned)i);
		cr_assert_eq(b.requests, (unsigned)i);
		peer_return(b.held, json_object(), NULL, 0);
		turn_until(a.answers >= (unsigned)i);
		cr_assert_eq(a.answers, (unsigned)i);
	}
	free_ends(&a, &b);
}

Test(peer, an_end_that_does_not_read_is_dropped)
{
	struct end a = {0}, b = {0};
	char text[60001];
	json_t *event;
	int i;

	make_ends(&a, &b, &ops);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	event = json_pack("{s:s, s:s}", "event", "A", "text", text);
	for (i = 0; i < 100; i++)
		peer_send(a.peer, event);
	json_decref(event);
	turn_until(a.closed == 1);
	free_ends(&a, &b);
}

Test(peer, garbage_ends_the_connection_with_a_reason)
{
	struct end a = {0}, b = {0};
	struct lf_error error;
	char answer[200];
	ssize_t n;
	int sv[2];

	(void)a;
	base = event_base_new();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	cr_assert_eq(peer_new(base, sv[0], &ops, &b, &b.peer, &error), 0);
	cr_assert_eq(write(sv[1], "{]", 2), 2);
	turn_until(b.closed == 1);
	n = read(sv[1], answer, sizeof(answer) - 1);
	cr_assert_gt(n, 0);
	answer[n] = '\0';
	cr_assert_not_null(strstr(answer, "BadMessage"));
	cr_assert_eq(read(sv[1], answer, sizeof(answer)), 0);
	cr_assert_eq(b.closed, 1);
	event_base_free(base);
	close(sv[1]);
}

/* --- spawn --- */

static void
wait_end(struct process *process, char *how, size_t size)
{
	struct pollfd p = {.fd = process->pidfd, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, 5000), 1);
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
	    "$(ls /proc/$$/fd | wc -l)" /* with the pipe to wc */,
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
		char *argv[] = {"sleep", "10", NULL};
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

/* --- directories --- */

Test(rundir, what_is_not_ours_alone_is_refused)
{
	struct lf_error error;
	char path[64], other[64];

	scratch_make();
	snprintf(path, sizeof(path), "%s/run", scratch);
	cr_assert_eq(rundir_make(path, 0700, false, &error), 0);
	cr_assert_eq(rundir_make(path, 0700, false, &error), 0);
	cr_assert_eq(chmod(path, 0777), 0);
	cr_assert_eq(rundir_make(path, 0700, false, &error), -EPERM);
	cr_assert_not_null(
	    strstr(error.message, "can be written by others (mode 0777)"));
	cr_assert_eq(chmod(path, 0700), 0);
	snprintf(other, sizeof(other), "%s/file", scratch);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	cr_assert_eq(rundir_make(other, 0700, false, &error), -ENOTDIR);
	snprintf(other, sizeof(other), "%s/link", scratch);
	cr_assert_eq(symlink(path, other), 0);
	cr_assert_eq(rundir_make(other, 0700, false, &error), -ENOTDIR);
	snprintf(other, sizeof(other), "%s/a/b/c", scratch);
	cr_assert_eq(rundir_make(other, 0700, false, &error), -ENOENT);
	cr_assert_eq(rundir_make(other, 0700, true, &error), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chown(path, 1234, 1234), 0);
		cr_assert_eq(rundir_make(path, 0700, false, &error), -EPERM);
		cr_assert_not_null(
		    strstr(error.message, "belongs to user 1234"));
	}
	scratch_remove();
}

/* What another process gets that wants the lock: an errno. */
static int
lock_in_child(void)
{
	struct lf_error error;
	int fd, status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(-rundir_lock(scratch, &fd, &error));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

Test(rundir, the_lock_is_held_by_one)
{
	struct lf_error error;
	int one;

	scratch_make();
	cr_assert_eq(rundir_lock(scratch, &one, &error), 0);
	cr_assert_eq(lock_in_child(), EWOULDBLOCK);
	close(one);
	cr_assert_eq(lock_in_child(), 0);
	scratch_remove();
}

Test(rundir, a_child_does_not_keep_the_lock_of_a_forkd_that_died)
{
	struct lf_error error;
	pid_t child;
	int one;

	scratch_make();
	cr_assert_eq(rundir_lock(scratch, &one, &error), 0);
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	close(one);
	cr_expect_eq(lock_in_child(), 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	scratch_remove();
}

Test(rundir, a_socket_replaces_a_socket_but_no_file)
{
	struct lf_error error;
	char path[64];
	struct stat st;
	int sock;

	scratch_make();
	snprintf(path, sizeof(path), "%s/socket", scratch);
	cr_assert_eq(rundir_listen(path, 1, 0600, &sock, &error), 0);
	close(sock);
	cr_assert_eq(rundir_listen(path, 1, 0600, &sock, &error), 0);
	close(sock);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	unlink(path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	cr_assert_eq(rundir_listen(path, 1, 0600, &sock, &error), -EEXIST);
	scratch_remove();
}

Test(rundir, a_file_is_replaced_whole_or_not_at_all)
{
	scratch_make();
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		json_t *value = json_pack("{s:i}", "n", (int)fault.round);
		json_t *back = NULL;
		char path[64];
		int rc;

		snprintf(path, sizeof(path), "%s/file", scratch);
		rc = rundir_write_json(path, value, &error);
		fault_end(&fault);
		json_decref(value);
		if (fault.hit)
			cr_assert_lt(rc, 0, "%s unseen", fault.name);
		else
			cr_assert_eq(rc, 0);
		/* Until the last round the file is not there. */
		rc = rundir_read_json(path, &back, &error);
		cr_assert_eq(rc, fault.hit ? -ENOENT : 0);
		json_decref(back);
	}
	scratch_remove();
}

/* --- what accelerator=auto means --- */

static const struct {
	enum lf_host_kvm qemu, ours;
	bool kvm;
	const char *reason;
} views[] = {
    {LF_HOST_KVM_HARDWARE, LF_HOST_KVM_HARDWARE, true, "the user's"},
    {LF_HOST_KVM_SOFTWARE, LF_HOST_KVM_SOFTWARE, false, "the user's"},
    {LF_HOST_KVM_ABSENT, LF_HOST_KVM_ABSENT, false, "the user's"},
    /* Permission would change nothing. */
    {LF_HOST_KVM_DENIED, LF_HOST_KVM_SOFTWARE, false, "ours"},
    {LF_HOST_KVM_DENIED, LF_HOST_KVM_BROKEN, false, "ours"},
    {LF_HOST_KVM_DENIED, LF_HOST_KVM_HARDWARE, false,
	"TCG, not KVM: QEMU runs as user 'nobody', who may not open /dev/kvm; "
	"'chgrp kvm /dev/kvm; chmod g+rw /dev/kvm' and start forkd again"},
};

Test(host, what_counts_is_what_the_user_of_qemu_may_do)
{
	struct host_view qemu = {.reason = "the user's"};
	struct host_view ours = {.reason = "ours"};
	char reason[240];
	size_t i;

	for (i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
		qemu.kvm = views[i].qemu;
		ours.kvm = views[i].ours;
		cr_expect_eq(
		    host_judge(&qemu, &ours, "nobody", reason, sizeof(reason)),
		    views[i].kvm, "row %zu", i);
		cr_expect_str_eq(reason, views[i].reason);
	}
	/* No other user than ours: nobody else to ask. */
	qemu.kvm = LF_HOST_KVM_DENIED;
	cr_expect_not(
	    host_judge(&qemu, NULL, "nobody", reason, sizeof(reason)));
	cr_expect_str_eq(reason, "the user's");
}

/* --- clients --- */

static unsigned accepts;

static int
accept_none(int sock, struct sockaddr *addr, socklen_t *len, int flags)
{
	(void)sock;
	(void)addr;
	(void)len;
	(void)flags;
	accepts++;
	errno = EMFILE;
	return -1;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	cr_assert_eq(connect(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return sock;
}

Test(client, a_daemon_without_descriptors_rests_before_it_accepts_again)
{
	struct daemon daemon = {.base = event_base_new()};
	struct lf_error error;
	char path[64];
	int sock, caller;

	scratch_make();
	snprintf(path, sizeof(path), "%s/socket", scratch);
	cr_assert_eq(rundir_listen(path, 4, 0600, &sock, &error), 0);
	daemon.listener = event_new(
	    daemon.base, sock, EV_READ | EV_PERSIST, client_accept, &daemon);
	event_add(daemon.listener, NULL);
	caller = connect_to(path);
	sys.accept4 = accept_none;
	event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert_eq(accepts, 1);
	cr_assert_not(event_pending(daemon.listener, EV_READ, NULL));
	/* The rest is over, and the client still waits. */
	event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert(event_pending(daemon.listener, EV_READ, NULL));
	event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert_eq(accepts, 2);
	event_free(daemon.listener);
	event_base_free(daemon.base);
	close(sock);
	close(caller);
	scratch_remove();
}

/* --- registry --- */

static struct lf_domain_config *
make_config(const char *name)
{
	struct lf_domain_config *config = lf_domain_config_new();
	struct lf_error error;

	cr_assert_eq(lf_domain_config_set(&config->name, name, &error), 0);
	cr_assert_eq(lf_domain_config_complete(config, &error), 0);
	return config;
}

static struct domain *
add(struct registry *registry, const char *name, unsigned parent)
{
	struct domain *domain = NULL;
	struct lf_error error;

	cr_assert_eq(registry_add(registry, make_config(name), parent, NULL,
			 &domain, &error),
	    0, "%s", error.message);
	return domain;
}

static void
no_report(const struct lf_error *error)
{
	cr_assert(false, "%s", error->message);
}

Test(registry, domains_come_back_from_their_files_and_ids_grow)
{
	struct registry registry;
	struct lf_error error;
	struct domain *domain;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	add(&registry, "one", 0);
	domain = add(&registry, "two", 1);
	domain->established = true;
	cr_assert_eq(registry_add_file(
			 domain, &domain->overlays, "/tmp/overlay", &error),
	    0);
	cr_assert_eq(
	    registry_report(domain, CONTROL_CRASHED, "why", &error), 1);
	cr_assert_eq(registry_save(domain, &error), 0);
	domain = add(&registry, "three", 0);
	registry_remove(domain);
	registry_done(&registry);

	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	cr_assert_eq(registry_load(&registry, no_report, &error), 0);
	cr_assert_eq(registry.count, 2);
	domain = registry_find_id(&registry, 2);
	cr_assert_str_eq(domain->config->name, "two");
	cr_assert_eq(domain->state, CONTROL_CRASHED);
	cr_assert_str_eq(domain->reason, "why");
	cr_assert_eq(domain->parent, 1);
	cr_assert(domain->established);
	cr_assert(file_list_has(&domain->overlays, "/tmp/overlay"));
	/* A number is not used again, though its domain is gone. */
	cr_assert_eq(add(&registry, "four", 0)->id, 4);
	registry_done(&registry);
	scratch_remove();
}

static const struct {
	const char *name, *message;
	int rc;
} bad_names[] = {
    {"one",
	"the name 'one' is taken by domain 1; choose another, or destroy that "
	"domain",
	-EEXIST},
    {"17", "the name '17' is a number, which would be taken for an id",
	-EINVAL},
};

Test(registry, names_are_unique_and_no_numbers)
{
	struct registry registry;
	struct lf_error error;
	struct domain *domain;
	size_t i;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	add(&registry, "one", 0);
	for (i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
		cr_expect_eq(
		    registry_add(&registry, make_config(bad_names[i].name), 0,
			NULL, &domain, &error),
		    bad_names[i].rc);
		cr_expect_str_eq(error.message, bad_names[i].message);
	}
	cr_assert_eq(registry.count, 1);
	cr_assert_eq(registry_find(&registry, "1", &domain, &error), 0);
	cr_assert_eq(registry_find(&registry, "one", &domain, &error), 0);
	cr_assert_eq(registry_find(&registry, "2", &domain, &error), -ENOENT);
	cr_assert_eq(registry_find(&registry, "1x", &domain, &error), -ENOENT);
	registry_done(&registry);
	scratch_remove();
}

Test(registry, a_failed_add_leaves_nothing)
{
	struct registry registry;
	struct lf_error error = {0};
	struct domain *domain;
	struct lf_domain_config *config = make_config("one");
	char path[64];

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	FAULT_LOOP(fault)
	{
		int rc;

		rc = registry_add(&registry, config, 0, NULL, &domain, &error);
		fault_end(&fault);
		snprintf(path, sizeof(path), "%s/domains/%u", scratch,
		    registry.next_id - 1);
		if (!fault.hit) {
			cr_assert_eq(rc, 0);
			cr_assert_eq(access(path, F_OK), 0);
			break;
		}
		cr_assert_lt(rc, 0, "%s unseen", fault.name);
		cr_assert_eq(registry.count, 0);
		cr_assert_eq(access(path, F_OK), -1);
		config = make_config("one");
	}
	registry_done(&registry);
	scratch_remove();
}

static const struct {
	enum control_state from, to;
	int rc;
} transitions[] = {
    {CONTROL_PAUSED, CONTROL_RUNNING, 1},
    {CONTROL_RUNNING, CONTROL_PAUSED, 1},
    {CONTROL_RUNNING, CONTROL_FROZEN, 1},
    {CONTROL_FROZEN, CONTROL_RUNNING, 1},
    {CONTROL_FROZEN, CONTROL_CRASHED, 1},
    {CONTROL_CRASHED, CONTROL_RUNNING, 1},
    {CONTROL_CRASHED, CONTROL_PAUSED, 1},
    {CONTROL_CRASHED, CONTROL_FROZEN, -EINVAL},
    {CONTROL_RUNNING, CONTROL_RUNNING, 0},
};

Test(registry, reports_are_looked_up_in_the_table_of_transitions)
{
	struct registry registry;
	struct lf_error error;
	struct domain *domain;
	size_t i;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	domain = add(&registry, "one", 0);
	for (i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
		domain->state = transitions[i].from;
		domain->reason[0] = '\0';
		cr_expect_eq(
		    registry_report(domain, transitions[i].to, "", &error),
		    transitions[i].rc, "row %zu", i);
		if (transitions[i].rc < 0)
			cr_expect_eq(domain->state, transitions[i].from);
	}
	registry_done(&registry);
	scratch_remove();
}

Test(registry, an_overlay_goes_with_its_domain_only_from_our_own_directory)
{
	struct registry registry;
	struct lf_error error;
	struct domain *domain;
	char ours[48], beside[64], others[64];

	scratch_make();
	snprintf(ours, sizeof(ours), "%s/overlays", scratch);
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	domain = add(&registry, "one", 0);
	snprintf(beside, sizeof(beside), "%s-mine", ours);
	snprintf(others, sizeof(others), "%s/a", ours);
	cr_assert_eq(file_list_add(&domain->overlays, beside, &error), 0);
	cr_assert_eq(file_list_add(&domain->overlays, others, &error), 0);
	registry_release_overlays(domain, ours);
	cr_assert_eq(domain->overlays.count, 1);
	cr_assert(file_list_has(&domain->overlays, others));
	cr_assert(file_list_has(&domain->named, beside));
	registry_done(&registry);
	scratch_remove();
}

Test(registry, images_of_others_are_not_known)
{
	struct registry registry;
	struct lf_error error;
	struct domain *parent, *fork, *other;
	struct lf_disk *disk;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	parent = add(&registry, "parent", 0);
	cr_assert_eq(
	    lf_domain_config_add_disk(parent->config, &disk, &error), 0);
	disk->path = strdup("/images/base");
	fork = add(&registry, "fork", parent->id);
	other = add(&registry, "other", 0);
	registry_add_file(fork, &fork->overlays, "/overlays/2", &error);
	cr_assert(registry_knows_image(parent, "/images/base"));
	cr_assert(registry_knows_image(fork, "/images/base"));
	cr_assert(registry_knows_image(fork, "/overlays/2"));
	cr_assert_not(registry_knows_image(parent, "/overlays/2"));
	cr_assert_not(registry_knows_image(other, "/images/base"));
	cr_assert_not(registry_knows_image(fork, "/etc/shadow"));
	registry_done(&registry);
	scratch_remove();
}

/* --- an operation with each call failing in turn --- */

Test(faults, a_directory_is_made_and_checked_or_the_reason_is_told)
{
	char path[64];

	scratch_make();
	snprintf(path, sizeof(path), "%s/a/b", scratch);
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		int rc = rundir_make(path, 0700, true, &error);

		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "%s: %d", fault.name, rc);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	scratch_remove();
}

Test(faults, a_socket_listens_or_nothing_is_open)
{
	char path[64];

	scratch_make();
	snprintf(path, sizeof(path), "%s/socket", scratch);
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		int sock = -1;
		int rc = rundir_listen(path, 1, 0600, &sock, &error);

		fault_end(&fault);
		/* lstat() failing stands for: no old socket is there. */
		if (fault.hit && strcmp(fault.name, "lstat") == 0 && rc == 0)
			close(sock);
		else if (fault.hit)
			cr_assert_lt(rc, 0, "%s unseen", fault.name);
		else
			cr_assert_eq(close(sock), 0);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	scratch_remove();
}

Test(faults, the_lock_is_taken_or_nothing_is_open)
{
	scratch_make();
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		int fd = -1, rc = rundir_lock(scratch, &fd, &error);

		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "%s: %d", fault.name, rc);
		if (rc == 0)
			close(fd);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	scratch_remove();
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

/* A process that stands for a domain process, and waits for ever. */
static void
start_stand_in(struct domain *domain)
{
	struct spawn_user same = {.change = false};
	char *argv[] = {"sleep", "1000", NULL};
	struct spawn_request request = {
	    .program = "sleep", .argv = argv, .log_fd = -1, .user = &same};
	struct lf_error error;
	int go;

	cr_assert_eq(spawn_begin(&request, &domain->process, &go, &error), 0);
	cr_assert_eq(spawn_go(go, &error), 0);
}

/*
 * A forkd that runs out of something while it takes its domains over must not
 * end one, forget one or believe it dead: the next one tries again.
 */
Test(faults, domains_are_adopted_whole_or_left_to_the_next_forkd)
{
	char path[160];
	struct registry registry;
	struct lf_error error;
	struct domain *domain;
	struct stat st;
	pid_t stand_in;
	int sock;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	domain = add(&registry, "one", 0);
	start_stand_in(domain);
	stand_in = domain->process.pid;
	domain->established = true;
	domain->state = CONTROL_RUNNING;
	domain->reason[0] = '\0';
	cr_assert_eq(registry_save(domain, &error), 0);
	snprintf(path, sizeof(path), "%s/socket", domain->dir);
	cr_assert_eq(rundir_listen(path, 64, 0600, &sock, &error), 0);
	registry_done(&registry);
	FAULT_LOOP(fault)
	{
		struct daemon daemon = {.base = event_base_new()};
		int rc, accepted;

		rc = registry_init(&daemon.registry, scratch, 0700, &error);
		if (rc == 0)
			rc = registry_load(&daemon.registry, no_report, &error);
		if (rc == 0)
			rc = adopt_domain(
			    &daemon, daemon.registry.first, &error);
		fault_end(&fault);
		domain = daemon.registry.first;
		if (fault.hit && strcmp(fault.name, "connect") == 0) {
			/* Refused: it is about to end, and is ended. */
			cr_assert_eq(waitpid(stand_in, NULL, 0), stand_in);
			process_done(&domain->process);
			start_stand_in(domain);
			stand_in = domain->process.pid;
			cr_assert_eq(registry_save(domain, &error), 0);
			rc = -ECONNREFUSED;
		}
		cr_assert_eq(waitpid(stand_in, NULL, WNOHANG), 0,
		    "%s failed: the domain was ended", fault.name);
		cr_assert_eq(stat(path, &st), 0,
		    "%s failed: the domain was removed", fault.name);
		if (!fault.hit)
			cr_assert_eq(rc, 0, "%s", error.message);
		if (rc == 0) {
			cr_assert_eq(daemon.registry.count, 1);
			cr_assert_eq(domain->process.pid, stand_in);
			cr_assert_eq(domain->state, CONTROL_RUNNING);
			cr_assert_not_null(domain->link);
		}
		registry_done(&daemon.registry);
		event_base_free(daemon.base);
		while ((accepted = accept(sock, NULL, NULL)) >= 0)
			close(accepted);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors,
		    "%s failed", fault.name);
	}
	/* Each of them ended with its question open, and ended nothing else. */
	usleep(50000);
	cr_assert_eq(waitpid(stand_in, NULL, WNOHANG), 0);
	kill(stand_in, SIGKILL);
	waitpid(stand_in, NULL, 0);
	close(sock);
	scratch_remove();
}

/* --- forks that were ready before that was on record --- */

static void
describe(void *opaque, struct peer_request *request)
{
	bool knows = *(const bool *)opaque;
	struct lf_error error;

	if (strcmp(request->name, "describe") != 0)
		peer_return(request, json_object(), NULL, 0);
	else if (knows)
		peer_return(request,
		    json_pack("{s:s, s:s, s:b, s:s}", "state", "running",
			"reason", "", "ended", 0, "backend", "kvm"),
		    NULL, 0);
	else {
		error_set(&error, ENOENT, "unknown");
		peer_fail(request, &error);
	}
}

static void
describe_closed(void *opaque, const struct lf_error *why)
{
	(void)opaque;
	(void)why;
}

static const struct peer_ops describing_ops = {
    .request = describe, .closed = describe_closed};

/* One that its host's process knows or not; true when it is there then. */
static bool
adopt_unready(bool knows)
{
	struct daemon daemon = {.base = event_base_new()};
	struct domain *host, *fork;
	struct peer *process;
	struct lf_error error;
	unsigned rounds;
	bool there;
	int sv[2];

	scratch_make();
	daemon.overlay_dir = scratch;
	cr_assert_eq(registry_init(&daemon.registry, scratch, 0700, &error), 0);
	host = add(&daemon.registry, "host", 0);
	host->established = true;
	cr_assert_eq(registry_add(&daemon.registry, make_config("fork"), 1,
			 host, &fork, &error),
	    0);
	cr_assert_not(fork->device_model);
	start_stand_in(host);
	cr_assert_eq(life_watch(&daemon, host, &error), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(life_link(&daemon, host, sv[0], &error), 0);
	cr_assert_eq(peer_new(daemon.base, sv[1], &describing_ops, &knows,
			 &process, &error),
	    0);
	cr_assert_eq(adopt_domain(&daemon, fork, &error), 0);
	for (rounds = 0; rounds < 1000; rounds++) {
		fork = registry_find_id(&daemon.registry, 2);
		if (fork == NULL || fork->established)
			break;
		event_base_loop(daemon.base, EVLOOP_ONCE);
	}
	cr_assert_lt(rounds, 1000);
	there = fork != NULL;
	if (there) {
		cr_assert_eq(fork->state, CONTROL_RUNNING);
		cr_assert_str_eq(fork->reason, "");
	}
	process_kill(&host->process);
	peer_free(process);
	registry_done(&daemon.registry);
	event_base_free(daemon.base);
	scratch_remove();
	return there;
}

Test(adoption, a_fork_that_its_process_knows_was_ready)
{
	cr_assert(adopt_unready(true));
}

Test(adoption, a_fork_that_its_process_does_not_know_was_not_ready)
{
	cr_assert_not(adopt_unready(false));
}

/* --- ends --- */

static void
say_all(int sock, const char *text)
{
	cr_assert_eq(write(sock, text, strlen(text)), (ssize_t)strlen(text));
}

/* Works until a client has been told `count` times that all went well. */
static void
hear_returns(struct daemon *daemon, int sock, unsigned count)
{
	char text[4096] = "";
	size_t len = 0;

	while (count > 0) {
		const char *at = text;
		unsigned returns = 0;
		ssize_t n;

		event_base_loop(daemon->base, EVLOOP_ONCE);
		n = recv(
		    sock, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
		text[len] = '\0';
		cr_assert_null(strstr(text, "error"), "%s", text);
		while ((at = strstr(at, "return")) != NULL) {
			returns++;
			at++;
		}
		if (returns == count)
			return;
	}
}

static void
on_any_request(void *opaque, struct peer_request *request)
{
	struct peer_request **held = opaque;

	*held = request;
}

static void
on_any_closed(void *opaque, const struct lf_error *why)
{
	(void)opaque;
	(void)why;
}

static const struct peer_ops hosting_ops = {
    .request = on_any_request, .closed = on_any_closed};

/*
 * A client waits for the end of a fork, and the next thing that it wants is the
 * end of the domain in whose process the fork lives; that process dies.
 */
Test(ends, a_host_may_be_destroyed_by_who_hears_of_the_end_of_its_fork)
{
	struct daemon daemon = {.base = event_base_new()};
	struct peer_request *held = NULL;
	struct domain *host, *fork;
	struct peer *process;
	struct lf_error error;
	int sock, client, sv[2];
	char path[64];

	scratch_make();
	daemon.overlay_dir = scratch;
	cr_assert_eq(registry_init(&daemon.registry, scratch, 0700, &error), 0);
	host = add(&daemon.registry, "host", 0);
	fork = add(&daemon.registry, "fork", 1);
	host->established = fork->established = true;
	fork->host = host->id;
	fork->owner = &daemon;
	start_stand_in(host);
	cr_assert_eq(life_watch(&daemon, host, &error), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(life_link(&daemon, host, sv[0], &error), 0);
	cr_assert_eq(
	    peer_new(daemon.base, sv[1], &hosting_ops, &held, &process, &error),
	    0);
	snprintf(path, sizeof(path), "%s/socket", scratch);
	cr_assert_eq(rundir_listen(path, 4, 0600, &sock, &error), 0);
	client = connect_to(path);
	client_accept(sock, EV_READ, &daemon);
	say_all(client,
	    "{\"execute\":\"destroy\",\"arguments\":{\"domain\":\"fork\"}}"
	    "{\"execute\":\"destroy\",\"arguments\":{\"domain\":\"host\"}}");
	while (held == NULL)
		event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert_str_eq(held->name, "destroy");
	process_kill(&host->process);
	hear_returns(&daemon, client, 2);
	cr_assert_eq(daemon.registry.count, 0);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	peer_return(held, json_object(), NULL, 0);
	peer_free(process);
	while (daemon.clients != NULL)
		client_free(daemon.clients);
	registry_done(&daemon.registry);
	event_base_free(daemon.base);
	close(client);
	close(sock);
	scratch_remove();
}

/* --- image headers --- */

/* Version 3, backing file "b" with format "raw", 1 MiB. */
static const uint8_t header[] = {
    'Q',
    'F',
    'I',
    0xfb,
    0,
    0,
    0,
    3, /* magic, version */
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    128,
    0,
    0,
    0,
    1, /* name at 128, 1 byte */
    0,
    0,
    0,
    16,
    0,
    0,
    0,
    0,
    0,
    0x10,
    0,
    0, /* clusters, size */
    [100] = 0,
    0,
    0,
    104, /* header length */
    0xe2,
    0x79,
    0x2a,
    0xca,
    0,
    0,
    0,
    3,
    'r',
    'a',
    'w', /* format */
    [128] = 'b',
};

static int
read_header(
    const uint8_t *bytes, size_t len, struct qcow2 *ret, struct lf_error *error)
{
	cleanup_close int fd = memfd_create("image", MFD_CLOEXEC);

	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	return qcow2_read(fd, "image", ret, error);
}

Test(qcow2, size_and_backing_file_are_read)
{
	struct lf_error error;
	struct qcow2 q;

	cr_assert_eq(read_header(header, sizeof(header), &q, &error), 1);
	cr_assert_eq(q.bytes, 1 << 20);
	cr_assert_str_eq(q.backing, "b");
	cr_assert_str_eq(q.format, "raw");
	cr_assert_eq(read_header((const uint8_t *)"raw", 3, &q, &error), 0);
	cr_assert_eq(read_header(NULL, 0, &q, &error), 0);
}

Test(qcow2, a_header_cut_anywhere_or_with_any_byte_changed_is_bounded)
{
	struct lf_error error;
	struct qcow2 q;
	size_t i;
	int rc;

	for (i = 4; i < sizeof(header); i++) {
		rc = read_header(header, i, &q, &error);
		cr_assert_eq(rc, -EBADMSG, "cut at %zu: %d", i, rc);
	}
	for (i = 0; i < sizeof(header); i++) {
		uint8_t bytes[sizeof(header)];
		int value;

		memcpy(bytes, header, sizeof(header));
		for (value = 0; value < 256; value += 5) {
			bytes[i] = (uint8_t)value;
			rc = read_header(bytes, sizeof(bytes), &q, &error);
			cr_assert(rc == 0 || rc == 1 || rc == -EBADMSG);
			cr_assert_leq(strlen(q.backing), QCOW2_NAME_MAX);
		}
	}
}
