/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thread that runs a domain in the background. */
#include <config.h>

#include <criterion/criterion.h>
#include <string.h>

#include "domain/worker.h"
#include "lib/fault.h"

#define ROUNDS 1000

struct tally {
	struct worker worker;
	unsigned tasks;
	unsigned strangers; /* tasks done by another thread than the first's */
	pthread_t thread;
};

static void
count(void *opaque)
{
	struct tally *tally = opaque;

	if (tally->tasks++ == 0)
		tally->thread = pthread_self();
	else if (!pthread_equal(tally->thread, pthread_self()))
		tally->strangers++;
}

Test(worker, one_thread_does_all_tasks)
{
	struct tally tally = {0};
	struct lf_error error;
	unsigned round;

	worker_init(&tally.worker, count, &tally);
	worker_wait(&tally.worker);
	for (round = 1; round <= ROUNDS; round++) {
		cr_assert_eq(worker_begin(&tally.worker, &error), 0);
		worker_wait(&tally.worker);
		cr_assert_eq(tally.tasks, round);
	}
	cr_assert_eq(tally.strangers, 0);
	cr_assert(!pthread_equal(tally.thread, pthread_self()));
	worker_done(&tally.worker);
}

Test(worker, a_task_under_way_is_ended_before_the_thread)
{
	struct tally tally = {0};
	struct lf_error error;

	worker_init(&tally.worker, count, &tally);
	cr_assert_eq(worker_begin(&tally.worker, &error), 0);
	worker_done(&tally.worker);
	cr_assert_eq(tally.tasks, 1);
}

/* The second's thread lives, with the C library, where the first's did. */
Test(worker, one_that_was_ended_can_be_ended_again, .timeout = 60)
{
	struct tally first = {0}, second = {0};
	struct lf_error error;

	worker_init(&first.worker, count, &first);
	cr_assert_eq(worker_begin(&first.worker, &error), 0);
	worker_done(&first.worker);
	worker_init(&second.worker, count, &second);
	cr_assert_eq(worker_begin(&second.worker, &error), 0);
	worker_wait(&second.worker);
	worker_done(&first.worker);
	cr_assert_eq(worker_begin(&second.worker, &error), 0);
	worker_done(&second.worker);
	cr_assert_eq(first.tasks, 1);
	cr_assert_eq(second.tasks, 2);
}

Test(worker, a_thread_that_cannot_be_started_can_be_tried_again)
{
	struct tally tally = {0};
	struct lf_error error;

	FAULT_LOOP(fault)
	{
		int rc;

		worker_init(&tally.worker, count, &tally);
		rc = worker_begin(&tally.worker, &error);
		fault_end(&fault);
		if (fault.hit) {
			cr_assert_lt(rc, 0);
			cr_assert_not_null(
			    strstr(error.message, "cannot start a thread"));
			cr_assert_eq(worker_begin(&tally.worker, &error), 0);
		} else {
			cr_assert_eq(rc, 0);
		}
		worker_done(&tally.worker);
	}
	cr_assert_eq(tally.tasks, 2);
	worker_done(&(struct worker){0});
}
