/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domain process: its main thread.
 */
#include "forkd/domain_main.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <libfork/log.h>
#include <libfork/pool.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "forkd/domain_jobs.h"
#include "forkd/domain_launcher.h"
#include "forkd/domain_process.h"
#include "forkd/hosted.h"
#include "forkd/job.h"
#include "forkd/lease.h"
#include "forkd/sandbox.h"
#include "forkd/spawn.h"

/* Commands that wait: one for each domain, of a few clients. */
#define JOBS_MAX 16384

static void
say(const char *text)
{
	fprintf(stderr, "%s\n", text);
}

static void
on_log(void *opaque, enum lf_log_level level, const char *message)
{
	(void)opaque;
	(void)level;
	say(message);
}

/* --- jobs --- */

static void *
worker(void *arg)
{
	struct domain_process *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct job *job;
		uint64_t one = 1;

		while (p->queue == NULL || p->job_done)
			pthread_cond_wait(&p->work, &p->lock);
		job = p->queue;
		pthread_mutex_unlock(&p->lock);
		domain_job_run(job);
		pthread_mutex_lock(&p->lock);
		p->job_done = true;
		if (sys.write(p->wake_fd, &one, sizeof(one)) < 0)
			_exit(1);
	}
	return NULL;
}

/*
 * Without forkd and without a domain that is whole, or that somebody will come
 * for, nobody needs us. A job that is under way comes to its end first: what it
 * needs of forkd fails.
 */
static void
check_orphan(struct domain_process *p)
{
	if (p->peer == NULL && p->queue == NULL &&
	    (!p->established || p->given_up))
		event_base_loopbreak(p->base);
}

/* The domain that a job made is one of ours, if its maker is still there. */
static void
take_in(struct domain_process *p, struct job *job)
{
	struct hosted *made = take_ptr(job->made);

	if (made == NULL)
		return;
	if (job->rc < 0 || job->request->peer == NULL) {
		hosted_free(made);
		return;
	}
	hosted_append(p, made);
	hosted_look_at(made);
	hosted_watch(made);
}

static void
answer(struct job *job)
{
	if (job->rc < 0)
		peer_fail(job->request, &job->error);
	else
		peer_return(job->request,
		    job->result != NULL ? take_ptr(job->result) : json_object(),
		    NULL, 0);
}

/* What is told of a domain meanwhile would not be true for long. */
static bool
changes_shape(enum role_command_id command)
{
	return command == ROLE_LAUNCH || command == ROLE_PREPARE ||
	       command == ROLE_RESET;
}

static void
on_job_done(struct domain_process *p, struct job *job)
{
	struct hosted *h = job->hosted;

	if (job->facts != NULL) {
		json_decref(h->facts);
		h->facts = take_ptr(job->facts);
	}
	/* Events may have come in while the job read something else. */
	hosted_look_at(h);
	if (job->rc == 0 && job->lease != NULL)
		job->rc = lease_begin(p, take_ptr(job->lease), &job->error);
	take_in(p, job);
	/* A forkd that did not hear of it has a domain on record that failed.
	 */
	if (job->rc == 0 && p->first->domain != NULL &&
	    job->request->peer != NULL)
		p->established = true;
	h->jobs--;
	h->changes -= changes_shape(job->command);
	hosted_watch(h);
	if (job->command == ROLE_DESCRIBE)
		hosted_describe(h, job->request);
	else
		answer(job);
	if (job->command == ROLE_DESTROY)
		hosted_remove(p, h);
	if (job->lease != NULL)
		lease_free(job->lease);
	json_decref(job->result);
	free(job);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct domain_process *p = arg;
	struct job *done = NULL;
	uint64_t count;

	(void)what;
	if (sys.read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		say("cannot read an eventfd");
	domain_need_send(p);
	pthread_mutex_lock(&p->lock);
	if (p->job_done) {
		done = p->queue;
		p->queue = done->next;
		p->queued--;
	}
	pthread_mutex_unlock(&p->lock);
	if (done == NULL)
		return;
	/* The worker waits until this job is dealt with: all is ours. */
	on_job_done(p, done);
	pthread_mutex_lock(&p->lock);
	p->job_done = false;
	if (p->queue != NULL)
		pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
	check_orphan(p);
}

static void
add_job(struct hosted *h, struct peer_request *request,
    enum role_command_id command)
{
	struct domain_process *p = h->process;
	struct job *job = sys.calloc(1, sizeof(*job)), **at;
	struct lf_error error;

	if (job == NULL || p->queued >= JOBS_MAX) {
		free(job);
		error_set(&error, EBUSY, "too many commands wait");
		peer_fail(request, &error);
		return;
	}
	*job =
	    (struct job){.request = request, .command = command, .hosted = h};
	hosted_unwatch(h);
	h->jobs++;
	h->changes += changes_shape(command);
	h->doomed = command == ROLE_DESTROY;
	pthread_mutex_lock(&p->lock);
	for (at = &p->queue; *at != NULL; at = &(*at)->next)
		;
	*at = job;
	p->queued++;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

/* --- forkd --- */

/* The domain that a command is for, if it may be given to it now. */
static int
check_request(struct domain_process *p, const struct peer_request *request,
    int command, struct hosted **ret, struct lf_error *error)
{
	bool first = command == ROLE_BOOT || command == ROLE_FORK;
	json_int_t id;
	struct hosted *h;
	int rc;

	if (command < 0)
		return error_set(error, ENOSYS, "there is no command '%.64s'",
		    request->name);
	rc = control_check_arguments(request->name,
	    role_commands[command].arguments, request->arguments,
	    request->message.fd_count, error);
	if (rc < 0)
		return rc;
	id = json_integer_value(json_object_get(request->arguments, "domain"));
	h = hosted_find(p, (unsigned)id);
	if (h == NULL)
		return error_set(error, ENOENT,
		    "its domain process has no domain %d", (int)id);
	*ret = h;
	if (command == ROLE_DESCRIBE)
		return 0;
	if (command == ROLE_CHECK_LEASES || command == ROLE_UNPAUSE)
		rc = lease_check(p, h->id, error);
	if (rc < 0 || command == ROLE_CHECK_LEASES)
		return rc;
	if (first != (h->jobs == 0 && h->domain == NULL))
		return error_set(error, EBADFD, "'%s' is not possible %s",
		    request->name, first ? "again" : "yet");
	if (command == ROLE_DESTROY && h == p->first)
		return error_set(error, EINVAL,
		    "the domain that this process is for ends with it");
	return 0;
}

static void
on_request(void *opaque, struct peer_request *request)
{
	struct domain_process *p = opaque;
	int command =
	    role_find(role_commands, ROLE_COMMAND_COUNT, request->name);
	struct hosted *h = NULL;
	struct lf_error error;

	if (check_request(p, request, command, &h, &error) < 0)
		peer_fail(request, &error);
	else if (command == ROLE_DESCRIBE && h->changes == 0)
		hosted_describe(h, request);
	else if (command == ROLE_CHECK_LEASES)
		peer_return(request, json_object(), NULL, 0);
	else
		add_job(h, request, (enum role_command_id)command);
}

/* Every second: whether somebody can still come for us, and in time. */
static void
on_orphaned(evutil_socket_t fd, short what, void *arg)
{
	struct domain_process *p = arg;
	struct stat st;

	(void)fd;
	(void)what;
	p->orphan_seconds++;
	if (p->adopt_within > 0 && p->orphan_seconds >= p->adopt_within)
		p->given_up = true;
	/* The next forkd looks into the run directory. */
	if (sys.fstat(ROLE_DIR_FD, &st) == 0 && st.st_nlink == 0)
		p->given_up = true;
	check_orphan(p);
}

static void
become_orphan(struct domain_process *p)
{
	struct timeval second = {1, 0};

	p->orphan_seconds = 0;
	event_add(p->orphaned, &second);
	check_orphan(p);
}

static void
on_closed(void *opaque, const struct lf_error *why)
{
	struct domain_process *p = opaque;

	(void)why;
	peer_free(p->peer);
	p->peer = NULL;
	become_orphan(p);
}

static const struct peer_ops forkd_ops = {
    .request = on_request,
    .closed = on_closed,
};

/* The next forkd connects; the one before, if it is there, is not heard. */
static void
on_connect(evutil_socket_t fd, short what, void *arg)
{
	struct domain_process *p = arg;
	struct ucred who;
	socklen_t len = sizeof(who);
	struct lf_error error;
	int sock;

	(void)what;
	sock = sys.accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (sock < 0)
		return;
	if (sys.getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
	    (who.uid != p->forkd_uid && who.uid != 0)) {
		close_fd(sock);
		return;
	}
	peer_free(p->peer);
	p->peer = NULL;
	if (peer_new(p->base, sock, &forkd_ops, p, &p->peer, &error) < 0) {
		say(error.message);
		become_orphan(p);
	} else
		event_del(p->orphaned);
}

/* --- start --- */

static int
start(struct domain_process *p, struct lf_error *error)
{
	pthread_t thread;
	int rc;

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->answered, NULL);
	/* A thousand forks are several thousand descriptors. */
	spawn_raise_limit();
	p->base = event_base_new();
	p->wake_fd = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->base == NULL || p->wake_fd < 0)
		return error_sys(error, errno, "cannot make an event loop");
	p->wake =
	    event_new(p->base, p->wake_fd, EV_READ | EV_PERSIST, on_wake, p);
	p->listener = event_new(
	    p->base, ROLE_LISTEN_FD, EV_READ | EV_PERSIST, on_connect, p);
	p->orphaned = event_new(p->base, -1, EV_PERSIST, on_orphaned, p);
	if (p->wake == NULL || p->listener == NULL || p->orphaned == NULL ||
	    event_add(p->wake, NULL) < 0 || event_add(p->listener, NULL) < 0)
		return error_nomem(error);
	lf_domain_prepare();
	rc = sandbox_enter(SANDBOX_DOMAIN, error);
	if (rc < 0)
		return rc;
	rc = pthread_create(&thread, NULL, worker, p);
	if (rc != 0)
		return error_sys(error, rc, "cannot make a thread");
	return peer_new(
	    p->base, ROLE_CONTROL_FD, &forkd_ops, p, &p->peer, error);
}

int
domain_process_main(unsigned id, unsigned adopt_within, uid_t forkd_uid)
{
	static struct domain_process p;
	struct lf_error error;

	p = (struct domain_process){
	    .adopt_within = adopt_within, .forkd_uid = forkd_uid, .origin = -1};
	p.first = hosted_new(&p, id);
	if (p.first == NULL)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "forkd-domain", 0, 0, 0);
	lf_log_set(on_log, NULL, LF_LOG_INFO);
	if (start(&p, &error) < 0) {
		say(error.message);
		return 1;
	}
	event_base_dispatch(p.base);
	/*
	 * Nobody will adopt the domain: it ends, with its QEMU. Its overlays
	 * are left to the next forkd, which looks for those of no domain.
	 */
	p.over = true;
	while (p.first != NULL)
		hosted_remove(&p, p.first);
	lf_pool_free(p.pool);
	return 0;
}
