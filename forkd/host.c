/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What accelerator=auto means here.
 */
#include "forkd/host.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/retire.h"
#include "forkd/sandbox.h"

/* A probe takes some 50 ms. */
#define PROBE_SECONDS 10

struct waiter {
	struct waiter *next;
	void (*known)(void *opaque);
	void *opaque;
};

/* A probe that is under way. */
struct host_probe {
	struct daemon *daemon;
	struct process process;
	struct event *ended;
	int out;
	struct waiter *waiters;
};

static void
finish(struct host_probe *probe)
{
	struct daemon *daemon = probe->daemon;
	struct waiter *waiter = probe->waiters;

	daemon->host.known = true;
	daemon->host.probe = NULL;
	if (probe->ended != NULL)
		event_free(probe->ended);
	/* It is under way, if it did not answer in time. */
	retire_process(daemon->base, &probe->process);
	close_fd(probe->out);
	free(probe);
	while (waiter != NULL) {
		struct waiter *next = waiter->next;

		waiter->known(waiter->opaque);
		free(waiter);
		waiter = next;
	}
}

static void
on_probe_ended(evutil_socket_t fd, short what, void *arg)
{
	struct host_probe *probe = arg;
	struct daemon_host *host = &probe->daemon->host;
	char line[256], how[64];
	ssize_t n;

	(void)fd;
	if (what & EV_TIMEOUT)
		snprintf(how, sizeof(how), "took more than %d seconds",
		    PROBE_SECONDS);
	else {
		process_collect(&probe->process, how, sizeof(how));
		process_done(&probe->process);
	}
	/* "kvm REASON" or "tcg REASON". */
	n = sys.read(probe->out, line, sizeof(line) - 1);
	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strlen(line) > 4) {
		host->prefers_kvm = strncmp(line, "kvm ", 4) == 0;
		snprintf(host->reason, sizeof(host->reason), "%s", line + 4);
	} else
		snprintf(host->reason, sizeof(host->reason),
		    "TCG, because the probe of this host's KVM %s", how);
	finish(probe);
}

static int
start_probe(struct daemon *daemon, struct lf_error *error)
{
	struct timeval limit = {PROBE_SECONDS, 0};
	struct host_probe *probe = sys.calloc(1, sizeof(*probe));
	cleanup_close int in = -1;
	struct spawn_fd out = {.number = HOST_PROBE_FD};
	char *argv[] = {"forkd", "--role", "probe", NULL};
	struct spawn_user same = {.change = false};
	struct spawn_request request = {.program = "/proc/self/exe",
	    .argv = argv,
	    .fds = &out,
	    .fd_count = 1,
	    .log_fd = -1,
	    .ends_with_us = true,
	    .user = &same};
	char uid[16], gid[16], extra[16];
	char *argv_user[] = {"forkd", "--role", "probe", uid, gid, extra, NULL};
	int fds[2], go, rc;

	if (probe == NULL)
		return error_nomem(error);
	*probe = (struct host_probe){
	    .daemon = daemon, .process = PROCESS_NONE, .out = -1};
	daemon->host.probe = probe;
	if (daemon->user.change) {
		snprintf(uid, sizeof(uid), "%u", daemon->user.uid);
		snprintf(gid, sizeof(gid), "%u", daemon->user.gid);
		snprintf(extra, sizeof(extra), "%u", daemon->user.extra_gid);
		request.argv = argv_user;
	}
	if (sys.pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_sys(error, errno, "cannot make a pipe");
	probe->out = fds[0];
	in = fds[1];
	out.fd = in;
	rc = spawn_begin(&request, &probe->process, &go, error);
	if (rc < 0)
		return rc;
	probe->ended = event_new(
	    daemon->base, probe->process.pidfd, EV_READ, on_probe_ended, probe);
	if (probe->ended == NULL || event_add(probe->ended, &limit) < 0) {
		close_fd(go);
		rc = error_nomem(error);
	} else
		rc = spawn_go(go, error);
	if (rc < 0)
		spawn_cancel(&probe->process);
	return rc;
}

void
host_when_known(
    struct daemon *daemon, void (*known)(void *opaque), void *opaque)
{
	struct waiter *waiter;
	struct lf_error error;

	if (daemon->host.known) {
		known(opaque);
		return;
	}
	if (daemon->host.probe == NULL && start_probe(daemon, &error) < 0) {
		daemon_log_error(&error);
		snprintf(daemon->host.reason, sizeof(daemon->host.reason),
		    "TCG, because this host's KVM could not be probed");
		if (daemon->host.probe != NULL)
			finish(daemon->host.probe);
		known(opaque);
		return;
	}
	waiter = sys.calloc(1, sizeof(*waiter));
	if (waiter == NULL) {
		/* Better a slow guest than none. */
		known(opaque);
		return;
	}
	*waiter = (struct waiter){daemon->host.probe->waiters, known, opaque};
	daemon->host.probe->waiters = waiter;
}

/* --- the probe process --- */

/* In a child that is this user from now on: "KIND REASON" into the pipe. */
static void __attribute__((noreturn))
look_as(const struct spawn_user *user, int out)
{
	struct lf_host host = {0};
	struct lf_error error;
	char reason[220], line[240];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if ((user->change && sandbox_become(user->uid, user->gid,
				 user->extra_gid, &error) < 0) ||
	    sandbox_enter(SANDBOX_PROBE, &error) < 0 ||
	    lf_host_probe(&host, &error) < 0) {
		host.kvm = LF_HOST_KVM_BROKEN;
		snprintf(reason, sizeof(reason), "TCG, not KVM: %.200s",
		    error.message);
	} else
		lf_host_prefers_kvm(&host, reason, sizeof(reason));
	snprintf(line, sizeof(line), "%d %s", host.kvm, reason);
	_exit(sys.write(out, line, strlen(line)) < 0);
}

static void
probe_as(const struct spawn_user *user, struct host_view *ret)
{
	char line[240];
	int fds[2], kind, used = 0;
	ssize_t n = -1;
	pid_t pid;

	*ret = (struct host_view){.kvm = LF_HOST_KVM_BROKEN,
	    .reason = "TCG, not KVM: it could not be probed"};
	if (sys.pipe2(fds, O_CLOEXEC) < 0)
		return;
	pid = sys.fork();
	if (pid == 0)
		look_as(user, fds[1]);
	close_fd(fds[1]);
	/* One write of less than a pipe takes at once. */
	if (pid > 0)
		n = sys.read(fds[0], line, sizeof(line) - 1);
	close_fd(fds[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	line[n > 0 ? n : 0] = '\0';
	if (sscanf(line, "%d %n", &kind, &used) != 1 || used == 0)
		return;
	ret->kvm = (enum lf_host_kvm)kind;
	snprintf(ret->reason, sizeof(ret->reason), "%s", line + used);
}

bool
host_judge(const struct host_view *qemu, const struct host_view *ours,
    const char *user, char *reason, size_t size)
{
	if (qemu->kvm != LF_HOST_KVM_DENIED || ours == NULL) {
		snprintf(reason, size, "%s", qemu->reason);
		return qemu->kvm == LF_HOST_KVM_HARDWARE;
	}
	/* Permission would not help if there is nothing to be had. */
	if (ours->kvm != LF_HOST_KVM_HARDWARE)
		snprintf(reason, size, "%s", ours->reason);
	else
		snprintf(reason, size,
		    "TCG, not KVM: QEMU runs as user '%s', who may not open "
		    "/dev/kvm; 'chgrp kvm /dev/kvm; chmod g+rw /dev/kvm' and "
		    "start forkd again",
		    user);
	return false;
}

int
host_probe_main(const struct spawn_user *user, int out)
{
	static const struct spawn_user same = {.change = false};
	const struct passwd *entry = getpwuid(user->uid);
	struct host_view qemu, ours;
	char reason[240], number[16];
	bool denied, kvm;

	snprintf(number, sizeof(number), "%u", user->uid);
	probe_as(user, &qemu);
	denied = qemu.kvm == LF_HOST_KVM_DENIED && user->change;
	if (denied)
		probe_as(&same, &ours);
	kvm = host_judge(&qemu, denied ? &ours : NULL,
	    entry != NULL ? entry->pw_name : number, reason, sizeof(reason));
	return dprintf(out, "%s %s\n", kvm ? "kvm" : "tcg", reason) < 0;
}
