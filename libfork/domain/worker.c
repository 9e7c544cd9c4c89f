/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain/worker.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/sys.h"

/* It makes ioctls and reads the guest's memory, no more. */
#define STACK_BYTES (128UL << 10)

void
worker_init(struct worker *worker, worker_fn *fn, void *opaque)
{
	*worker = (struct worker){.fn = fn, .opaque = opaque};
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->changed, NULL);
}

static void *
worker_main(void *opaque)
{
	struct worker *worker = opaque;

	pthread_mutex_lock(&worker->lock);
	for (;;) {
		while (!worker->busy && !worker->quit)
			pthread_cond_wait(&worker->changed, &worker->lock);
		if (!worker->busy)
			break;
		pthread_mutex_unlock(&worker->lock);
		worker->fn(worker->opaque);
		pthread_mutex_lock(&worker->lock);
		worker->busy = false;
		pthread_cond_broadcast(&worker->changed);
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int
worker_start(struct worker *worker, struct lf_error *error)
{
	pthread_attr_t attr;
	int r;

	if (worker->started)
		return 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = sys.pthread_create(&worker->thread, &attr, worker_main, worker);
	pthread_attr_destroy(&attr);
	if (r != 0)
		return error_sys(error, r, "cannot start a thread");
	worker->started = true;
	return 0;
}

static void
begin(struct worker *worker, bool last)
{
	pthread_mutex_lock(&worker->lock);
	worker->busy = true;
	worker->quit = last;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->lock);
}

int
worker_begin(struct worker *worker, struct lf_error *error)
{
	int rc = worker_start(worker, error);

	if (rc == 0)
		begin(worker, false);
	return rc;
}

void
worker_begin_last(struct worker *worker)
{
	begin(worker, true);
}

void
worker_wait(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	while (worker->busy)
		pthread_cond_wait(&worker->changed, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

void
worker_done(struct worker *worker)
{
	if (worker->fn == NULL)
		return;
	if (worker->started) {
		pthread_mutex_lock(&worker->lock);
		worker->quit = true;
		pthread_cond_broadcast(&worker->changed);
		pthread_mutex_unlock(&worker->lock);
		pthread_join(worker->thread, NULL);
	}
	pthread_cond_destroy(&worker->changed);
	pthread_mutex_destroy(&worker->lock);
	*worker = (struct worker){0};
}

void
worker_free(struct worker *worker)
{
	if (worker == NULL)
		return;
	worker_done(worker);
	free(worker);
}
