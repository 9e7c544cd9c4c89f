/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rounds of vCPU threads. `round` and `running` are under the lock; a thread
 * sleeps until the round's number is another one, so that no wake-up can be
 * lost however early or late it comes.
 *
 * Why a round ends is written down (`stop`, `over`) before any vCPU is stopped
 * for it. A vCPU that finds neither was stopped for a round that is gone, and
 * runs on: the others may be waiting for it.
 */
#include "domain/gang.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "kvm/vcpu.h"

/* A vCPU thread needs little: it makes ioctls. */
#define STACK_BYTES (128UL << 10)

/* Stops all but `self`: it has news, so the round is over. */
static void
stop_others(struct gang *gang, const struct gang_member *self)
{
	unsigned i;

	atomic_store(&gang->over, true);
	for (i = 0; i < gang->count; i++)
		if (&gang->members[i] != self)
			vcpu_stop(gang->members[i].vcpu);
}

static bool
was_stopped(const struct gang_member *member)
{
	return member->rc == 0 && member->exit.reason == LF_EXIT_INTERRUPTED;
}

static void
member_run(struct gang_member *member)
{
	struct gang *gang = member->gang;

	do {
		member->rc = gang->fn(
		    gang->opaque, member->vcpu, &member->exit, &member->error);
	} while (was_stopped(member) && !atomic_load(&gang->stop) &&
		 !atomic_load(&gang->over));
	if (member->rc == GANG_IDLE || was_stopped(member))
		return;
	member->news = true;
	if (gang->count > 1)
		stop_others(gang, member);
}

static void *
member_main(void *opaque)
{
	struct gang_member *member = opaque;
	struct gang *gang = member->gang;
	unsigned seen = 0;

	pthread_mutex_lock(&gang->lock);
	for (;;) {
		while (gang->round == seen && !gang->quit)
			pthread_cond_wait(&gang->begin, &gang->lock);
		if (gang->quit)
			break;
		seen = gang->round;
		pthread_mutex_unlock(&gang->lock);
		member_run(member);
		pthread_mutex_lock(&gang->lock);
		if (--gang->running == 0)
			pthread_cond_signal(&gang->end);
	}
	pthread_mutex_unlock(&gang->lock);
	return NULL;
}

static int
start_threads(struct gang *gang, struct lf_error *error)
{
	pthread_attr_t attr;
	unsigned i;
	int r = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (i = 1; i < gang->count && r == 0; i++) {
		struct gang_member *member = &gang->members[i];

		r = sys.pthread_create(
		    &member->thread, &attr, member_main, member);
		member->started = r == 0;
	}
	pthread_attr_destroy(&attr);
	return r == 0 ? 0
		      : error_sys(error, r, "cannot start a thread for a vCPU");
}

int
gang_init(struct gang *gang, gang_fn *fn, void *opaque,
    struct vcpu *const *vcpus, unsigned count, struct lf_error *error)
{
	unsigned i;
	int rc;

	*gang = (struct gang){.fn = fn, .opaque = opaque, .count = count};
	gang->members = sys.calloc(count, sizeof(*gang->members));
	if (gang->members == NULL)
		return error_nomem(error);
	pthread_mutex_init(&gang->lock, NULL);
	pthread_cond_init(&gang->begin, NULL);
	pthread_cond_init(&gang->end, NULL);
	for (i = 0; i < count; i++) {
		gang->members[i].gang = gang;
		gang->members[i].vcpu = vcpus[i];
	}
	rc = start_threads(gang, error);
	if (rc < 0)
		gang_done(gang);
	return rc;
}

void
gang_done(struct gang *gang)
{
	unsigned i;

	if (gang->members == NULL)
		return;
	pthread_mutex_lock(&gang->lock);
	gang->quit = true;
	pthread_cond_broadcast(&gang->begin);
	pthread_mutex_unlock(&gang->lock);
	for (i = 0; i < gang->count; i++)
		if (gang->members[i].started)
			pthread_join(gang->members[i].thread, NULL);
	pthread_cond_destroy(&gang->begin);
	pthread_cond_destroy(&gang->end);
	pthread_mutex_destroy(&gang->lock);
	free(gang->members);
	gang->members = NULL;
}

static bool
has_news(const struct gang *gang)
{
	unsigned i;

	for (i = 0; i < gang->count; i++)
		if (gang->members[i].news)
			return true;
	return false;
}

void
gang_run(struct gang *gang)
{
	unsigned i;

	if (has_news(gang) || atomic_load(&gang->stop))
		return;
	if (gang->count == 1) {
		member_run(&gang->members[0]);
		return;
	}
	atomic_store(&gang->over, false);
	pthread_mutex_lock(&gang->lock);
	gang->round++;
	gang->running = gang->count - 1;
	pthread_cond_broadcast(&gang->begin);
	pthread_mutex_unlock(&gang->lock);

	member_run(&gang->members[0]);

	pthread_mutex_lock(&gang->lock);
	while (gang->running > 0)
		pthread_cond_wait(&gang->end, &gang->lock);
	pthread_mutex_unlock(&gang->lock);
	/* Who was stopped too late for it would only stop for nothing. */
	for (i = 0; i < gang->count; i++)
		vcpu_stop_clear(gang->members[i].vcpu);
}

void
gang_stop(struct gang *gang)
{
	unsigned i;

	atomic_store(&gang->stop, true);
	for (i = 0; i < gang->count; i++)
		vcpu_stop(gang->members[i].vcpu);
}

bool
gang_take_stop(struct gang *gang)
{
	return atomic_exchange(&gang->stop, false);
}

void
gang_forget(struct gang *gang)
{
	unsigned i;

	for (i = 0; i < gang->count; i++)
		gang->members[i].news = false;
}
