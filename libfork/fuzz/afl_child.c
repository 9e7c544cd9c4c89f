/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process that stands for a run. It shares this one's memory and
 * descriptors (clone(2) with CLONE_VM and CLONE_FILES): no page table is
 * copied, and no page of a fork becomes copy-on-write once more. It ends with
 * the thread that made it.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "fuzz/afl.h"

#define STACK_BYTES (16UL << 10)

/* While a run does not end: a stop that came too early is given again. */
#define AGAIN_MS 2

/* In the other process: nothing of the C library may be touched here. */
static int
stand_by(void *opaque)
{
	const struct afl_child *child = opaque;

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* It was gone before we asked to be told. */
	if (syscall(SYS_getppid) != child->owner)
		syscall(SYS_exit_group, 0);
	for (;;)
		syscall(SYS_pause);
	return 0;
}

static pid_t
make_process(struct afl_child *child)
{
	return sys.clone(stand_by, (char *)child->stack + STACK_BYTES,
	    CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, child);
}

static void
set_pid(struct afl_child *child, pid_t pid)
{
	pthread_mutex_lock(&child->lock);
	child->pid = pid;
	child->killed = false;
	pthread_cond_broadcast(&child->changed);
	pthread_mutex_unlock(&child->lock);
}

static void
set_flag(struct afl_child *child, bool *flag)
{
	pthread_mutex_lock(&child->lock);
	*flag = true;
	pthread_cond_broadcast(&child->changed);
	pthread_mutex_unlock(&child->lock);
}

static void
set_failure(struct afl_child *child, int failure)
{
	pthread_mutex_lock(&child->lock);
	child->failure = failure;
	pthread_cond_broadcast(&child->changed);
	pthread_mutex_unlock(&child->lock);
}

/* Whether the loop still has to be told of the killed process. */
static bool
is_killed(struct afl_child *child)
{
	bool killed;

	pthread_mutex_lock(&child->lock);
	killed = child->killed;
	pthread_mutex_unlock(&child->lock);
	return killed;
}

/* Until the process is killed, AFL++ goes away, or we are told to end. */
enum news { NEWS_KILLED, NEWS_GONE, NEWS_QUIT, NEWS_FAILED };

static enum news
wait_for_news(struct afl_child *child, int pidfd)
{
	struct pollfd fds[] = {
	    {.fd = child->quit_fd, .events = POLLIN},
	    {.fd = child->control_fd, .events = 0},
	    {.fd = pidfd, .events = POLLIN},
	};

	while (sys.poll(fds, 3, -1) < 0 && errno == EINTR)
		;
	if (fds[0].revents != 0)
		return NEWS_QUIT;
	if (fds[1].revents != 0)
		return NEWS_GONE;
	return NEWS_KILLED;
}

static bool
should_quit(struct afl_child *child)
{
	struct pollfd fd = {.fd = child->quit_fd, .events = POLLIN};

	return sys.poll(&fd, 1, AGAIN_MS) > 0;
}

/* One process's life. False: no further one. */
static bool
one_process(struct afl_child *child)
{
	pid_t pid = make_process(child);
	int pidfd = pid > 0 ? sys.pidfd_open(pid, 0) : -1;
	enum news news = NEWS_FAILED;

	if (pidfd < 0) {
		set_failure(child, errno);
	} else {
		set_pid(child, pid);
		news = wait_for_news(child, pidfd);
	}
	close_fd(pidfd);
	if (pid > 0 && news != NEWS_KILLED)
		kill(pid, SIGKILL);
	if (pid > 0)
		waitpid(pid, NULL, __WALL);
	if (news == NEWS_FAILED)
		return false;
	if (news == NEWS_GONE)
		set_flag(child, &child->gone);
	if (news == NEWS_KILLED)
		set_flag(child, &child->killed);
	/* The run may be about to begin: stopped until it is over. */
	while (news != NEWS_QUIT && (news == NEWS_GONE || is_killed(child))) {
		lf_fuzz_interrupt(child->fuzz);
		if (should_quit(child))
			return false;
	}
	return news == NEWS_KILLED;
}

static void *
nanny(void *opaque)
{
	struct afl_child *child = opaque;

	while (one_process(child))
		;
	return NULL;
}

pid_t
afl_child_pid(struct afl_child *child, struct lf_error *error)
{
	pid_t pid;
	int failure;

	pthread_mutex_lock(&child->lock);
	if (child->killed) {
		child->killed = false;
		child->pid = 0;
	}
	while (child->pid == 0 && !child->gone && child->failure == 0)
		pthread_cond_wait(&child->changed, &child->lock);
	pid = child->gone ? 0 : child->pid;
	failure = child->failure;
	pthread_mutex_unlock(&child->lock);
	return failure == 0 ? pid
			    : error_sys(error, failure,
				  "cannot make a process that stands for a "
				  "run to AFL++");
}

void
afl_child_wait(struct afl_child *child)
{
	pthread_mutex_lock(&child->lock);
	while (!child->killed && !child->gone)
		pthread_cond_wait(&child->changed, &child->lock);
	pthread_mutex_unlock(&child->lock);
}

int
afl_child_start(struct afl_child *child, struct lf_fuzz *fuzz, int control_fd,
    struct lf_error *error)
{
	int r;

	*child = (struct afl_child){
	    .fuzz = fuzz,
	    .owner = getpid(),
	    .control_fd = control_fd,
	    .quit_fd = -1,
	    .stack = MAP_FAILED,
	};
	pthread_mutex_init(&child->lock, NULL);
	pthread_cond_init(&child->changed, NULL);
	child->quit_fd = sys.eventfd(0, EFD_CLOEXEC);
	child->stack = sys.mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (child->quit_fd < 0 || child->stack == MAP_FAILED) {
		r = errno;
		afl_child_end(child);
		return error_sys(error, r,
		    "cannot prepare a process that stands for a run to AFL++");
	}
	r = sys.pthread_create(&child->thread, NULL, nanny, child);
	if (r != 0) {
		afl_child_end(child);
		return error_sys(error, r, "cannot start a thread");
	}
	child->started = true;
	return 0;
}

void
afl_child_end(struct afl_child *child)
{
	const uint64_t one = 1;

	if (child->fuzz == NULL)
		return;
	if (child->started && write(child->quit_fd, &one, sizeof(one)) > 0)
		pthread_join(child->thread, NULL);
	close_fd(child->quit_fd);
	if (child->stack != MAP_FAILED)
		munmap(child->stack, STACK_BYTES);
	pthread_cond_destroy(&child->changed);
	pthread_mutex_destroy(&child->lock);
	child->fuzz = NULL;
}
