/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watcher thread, and the signal that interrupts KVM_RUN.
 */
#include "kvm/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "kvm/internal.h"

#define TICK_NS (4 * 1000 * 1000)

/*
 * A real-time signal of its own, so that programs keep SIGUSR1, SIGALRM and
 * the like. Its handler does nothing: the signal's arrival ends KVM_RUN.
 */
#define KICK_SIGNAL (SIGRTMIN + 6)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static struct vcpu *vcpus; /* watched ones */
static bool thread_runs;
static atomic_bool asleep;
static __thread int self; /* this thread's number; 0: not asked for yet */

static void
ignore(int signal)
{
	(void)signal;
}

/* --- fork(2) --- */

static void
before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void
after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

/*
 * A child has a thread of another number and none that watches. The vCPUs are
 * its parent's: it cannot run them, only free them.
 */
static void
after_fork_in_child(void)
{
	for (; vcpus != NULL; vcpus = vcpus->watch_next)
		vcpus->watched = false;
	thread_runs = false;
	atomic_store(&asleep, false);
	pthread_cond_init(&wanted, NULL);
	self = 0;
	pthread_mutex_unlock(&lock);
}

/* --- the signal --- */

static int
install_handler(struct lf_error *error)
{
	struct sigaction action = {
	    .sa_handler = ignore, .sa_flags = SA_RESTART};
	struct sigaction old;

	if (sigaction(KICK_SIGNAL, NULL, &old) < 0)
		return error_sys(error, errno, "signal %d", KICK_SIGNAL);
	if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN &&
	    old.sa_handler != ignore)
		return error_set(error, EBUSY,
		    "signal %d, with which libfork interrupts vCPUs, is used "
		    "by the program already",
		    KICK_SIGNAL);
	if (sigaction(KICK_SIGNAL, &action, NULL) < 0)
		return error_sys(error, errno, "signal %d", KICK_SIGNAL);
	if (pthread_atfork(before_fork, after_fork, after_fork_in_child) != 0)
		return error_nomem(error);
	return 0;
}

int
watch_signal(int *ret_signal, struct lf_error *error)
{
	static bool installed;
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (!installed)
		rc = install_handler(error);
	if (rc == 0)
		installed = true;
	pthread_mutex_unlock(&lock);
	*ret_signal = KICK_SIGNAL;
	return rc;
}

int
watch_self(void)
{
	if (self == 0)
		self = (int)syscall(SYS_gettid);
	return self;
}

void
watch_kick(struct vcpu *vcpu)
{
	int thread = atomic_load(&vcpu->runner);

	/* Should the thread be gone and its number reused in this process, the
	 * signal does nothing there. */
	if (thread != 0)
		syscall(SYS_tgkill, getpid(), thread, KICK_SIGNAL);
}

/* --- the watcher --- */

/*
 * Interrupts who is in the same KVM_RUN as one tick ago. Returns whether
 * anybody runs at all.
 */
static bool
tick(void)
{
	struct vcpu *vcpu;
	bool any = false;

	for (vcpu = vcpus; vcpu != NULL; vcpu = vcpu->watch_next) {
		unsigned seq = atomic_load(&vcpu->runs_seq);

		if ((seq & 1) == 0)
			continue;
		any = true;
		if (seq == vcpu->watched_seq)
			watch_kick(vcpu);
		vcpu->watched_seq = seq;
	}
	return any;
}

static void *
watch(void *unused)
{
	static const struct timespec tick_time = {.tv_nsec = TICK_NS};
	unsigned idle = 0;

	(void)unused;
	pthread_mutex_lock(&lock);
	for (;;) {
		idle = tick() ? 0 : idle + 1;
		/* A run that starts just now sees `asleep` or is seen here. */
		if (idle > 2) {
			atomic_store(&asleep, true);
			if (!tick())
				pthread_cond_wait(&wanted, &lock);
			atomic_store(&asleep, false);
			idle = 0;
		}
		pthread_mutex_unlock(&lock);
		nanosleep(&tick_time, NULL);
		pthread_mutex_lock(&lock);
	}
	return NULL;
}

static int
start_thread(struct lf_error *error)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int r;

	/* The program's signals are for the program's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = sys.pthread_create(&thread, &attr, watch, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return error_sys(
		    error, r, "cannot start the thread that watches vCPUs");
	thread_runs = true;
	return 0;
}

int
watch_add(struct vcpu *vcpu, struct lf_error *error)
{
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (!thread_runs)
		rc = start_thread(error);
	if (rc == 0 && !vcpu->watched) {
		vcpu->watch_next = vcpus;
		vcpu->watch_prev = NULL;
		if (vcpus != NULL)
			vcpus->watch_prev = vcpu;
		vcpus = vcpu;
		vcpu->watched = true;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void
watch_remove(struct vcpu *vcpu)
{
	pthread_mutex_lock(&lock);
	if (vcpu->watched) {
		if (vcpu->watch_prev != NULL)
			vcpu->watch_prev->watch_next = vcpu->watch_next;
		else
			vcpus = vcpu->watch_next;
		if (vcpu->watch_next != NULL)
			vcpu->watch_next->watch_prev = vcpu->watch_prev;
		vcpu->watched = false;
	}
	pthread_mutex_unlock(&lock);
}

void
watch_enter(struct vcpu *vcpu)
{
	atomic_fetch_add(&vcpu->runs_seq, 1);
	if (atomic_load(&asleep)) {
		pthread_mutex_lock(&lock);
		pthread_cond_signal(&wanted);
		pthread_mutex_unlock(&lock);
	}
}

void
watch_leave(struct vcpu *vcpu)
{
	atomic_fetch_add(&vcpu->runs_seq, 1);
}
