/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs of too many instructions: a thread waits for the counter to pass the
 * limit and interrupts the run. The counter is started anew before a run has
 * its number, so that what passed belongs to the number seen before it was
 * looked at, or to no run any more.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "fuzz/session.h"

#define STACK_BYTES (64UL << 10)

static void *
wait_for_it(void *opaque)
{
	struct lf_fuzz *fuzz = opaque;
	struct fuzz_limit *limit = &fuzz->limit;
	struct pollfd fds[] = {
	    {.fd = limit->quit, .events = POLLIN},
	    {.fd = limit->counter.fd, .events = POLLIN},
	};

	for (;;) {
		uint64_t phase;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[0].revents != 0)
			return NULL;
		/* Whom it counted for has ended. */
		if ((fds[1].revents & (POLLHUP | POLLERR)) != 0)
			fds[1].fd = -1;
		phase = atomic_load(&fuzz->phase);
		if (phase % 2 == 1 && instructions_passed(&limit->counter))
			fuzz_end_run(fuzz, phase);
	}
}

static int
start_thread(struct lf_fuzz *fuzz, struct lf_error *error)
{
	struct fuzz_limit *limit = &fuzz->limit;
	pthread_attr_t attr;
	int r;

	limit->quit = sys.eventfd(0, EFD_CLOEXEC);
	if (limit->quit < 0)
		return error_sys(error, errno, "cannot make an eventfd");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = sys.pthread_create(&limit->thread, &attr, wait_for_it, fuzz);
	pthread_attr_destroy(&attr);
	if (r == 0)
		return 0;
	close(limit->quit);
	return error_sys(error, r, "cannot start a thread");
}

static int
start(struct lf_fuzz *fuzz, struct lf_error *error)
{
	struct fuzz_limit *limit = &fuzz->limit;
	unsigned vcpus = lf_snapshot_vcpus(fuzz->start);
	int rc;

	if (vcpus != 1)
		return error_set(error, ENOTSUP,
		    "instructions are counted on one vCPU, the guest has %u: "
		    "give another limit",
		    vcpus);
	rc = instructions_open(
	    &limit->counter, fuzz->options.instructions_max, error);
	if (rc < 0)
		return rc;
	rc = start_thread(fuzz, error);
	if (rc < 0) {
		instructions_close(&limit->counter);
		return rc;
	}
	limit->owner = pthread_self();
	limit->started = true;
	return 0;
}

/* A counter counts for one thread: another one gets its own. */
int
fuzz_limit_begin(struct lf_fuzz *fuzz, struct lf_error *error)
{
	struct fuzz_limit *limit = &fuzz->limit;

	if (fuzz->options.instructions_max == 0)
		return 0;
	if (limit->started && pthread_equal(limit->owner, pthread_self()))
		return instructions_restart(&limit->counter, error);
	fuzz_limit_end(fuzz);
	return start(fuzz, error);
}

bool
fuzz_limit_passed(const struct lf_fuzz *fuzz)
{
	return fuzz->limit.started && instructions_passed(&fuzz->limit.counter);
}

void
fuzz_limit_end(struct lf_fuzz *fuzz)
{
	static const uint64_t one = 1;
	struct fuzz_limit *limit = &fuzz->limit;

	if (!limit->started)
		return;
	/* Of an eventfd at 0 this cannot fail. */
	if (write(limit->quit, &one, sizeof(one)) == sizeof(one))
		pthread_join(limit->thread, NULL);
	close(limit->quit);
	instructions_close(&limit->counter);
	limit->started = false;
}
