/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time-outs of runs, measured by a thread of their own, so that a run costs
 * no look at a clock: the thread comes by a few times per time-out and ends
 * a run that it has met for too long.
 */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "fuzz/session.h"

#define LOOKS_PER_TIMEOUT 8
#define STACK_BYTES       (64UL << 10)

static void
sleep_locked(struct fuzz_watchdog *dog, uint64_t until_ms)
{
	const struct timespec until = {
	    .tv_sec = (time_t)(until_ms / 1000),
	    .tv_nsec = (long)(until_ms % 1000 * 1000000),
	};

	pthread_cond_timedwait(&dog->wake, &dog->lock, &until);
}

static void *
watch(void *opaque)
{
	struct lf_fuzz *fuzz = opaque;
	struct fuzz_watchdog *dog = &fuzz->watchdog;
	uint64_t tick = dog->timeout_ms / LOOKS_PER_TIMEOUT + 1;
	uint64_t met = 0, since = 0;

	pthread_mutex_lock(&dog->lock);
	while (!dog->quit) {
		uint64_t phase = atomic_load(&fuzz->phase);
		uint64_t now = clock_ms();

		if (phase != met) {
			met = phase;
			since = now;
		} else if (phase % 2 == 1 && now - since >= dog->timeout_ms) {
			fuzz_end_run(fuzz, phase);
			since = now;
		}
		sleep_locked(dog, now + tick);
	}
	pthread_mutex_unlock(&dog->lock);
	return NULL;
}

int
fuzz_watchdog_start(
    struct lf_fuzz *fuzz, unsigned timeout_ms, struct lf_error *error)
{
	struct fuzz_watchdog *dog = &fuzz->watchdog;
	pthread_condattr_t clock;
	pthread_attr_t attr;
	int r;

	if (timeout_ms == 0)
		return 0;
	dog->timeout_ms = timeout_ms;
	dog->quit = false;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&dog->wake, &clock);
	pthread_condattr_destroy(&clock);
	pthread_mutex_init(&dog->lock, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = sys.pthread_create(&dog->thread, &attr, watch, fuzz);
	pthread_attr_destroy(&attr);
	if (r != 0) {
		pthread_cond_destroy(&dog->wake);
		pthread_mutex_destroy(&dog->lock);
		return error_sys(error, r, "cannot start a thread");
	}
	dog->started = true;
	return 0;
}

void
fuzz_watchdog_end(struct lf_fuzz *fuzz)
{
	struct fuzz_watchdog *dog = &fuzz->watchdog;

	if (!dog->started)
		return;
	pthread_mutex_lock(&dog->lock);
	dog->quit = true;
	pthread_cond_signal(&dog->wake);
	pthread_mutex_unlock(&dog->lock);
	pthread_join(dog->thread, NULL);
	pthread_cond_destroy(&dog->wake);
	pthread_mutex_destroy(&dog->lock);
	dog->started = false;
}

int
lf_fuzz_set_timeout(
    struct lf_fuzz *fuzz, unsigned timeout_ms, struct lf_error *error)
{
	fuzz_watchdog_end(fuzz);
	fuzz->options.timeout_ms = timeout_ms;
	return fuzz_watchdog_start(fuzz, timeout_ms, error);
}
