/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rounds of vCPU threads, without a KVM: the vCPUs here have a run page and
 * the flag that vcpu_stop() sets, and what they do in a round is the test's.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <time.h>

#include "domain/gang.h"
#include "kvm/internal.h"

#define MEMBERS 2

struct scene {
	struct kvm_run page[MEMBERS];
	struct vcpu vcpu[MEMBERS];
	struct gang gang;
	atomic_uint calls[MEMBERS]; /* into play() */
	atomic_bool went_on;        /* the last member ran unstopped */
};

static void
begin(struct scene *scene, gang_fn *fn, unsigned count)
{
	struct vcpu *vcpus[MEMBERS];
	struct lf_error error;
	unsigned i;

	for (i = 0; i < count; i++) {
		scene->vcpu[i].run = &scene->page[i];
		scene->vcpu[i].index = i;
		vcpus[i] = &scene->vcpu[i];
	}
	cr_assert_eq(gang_init(&scene->gang, fn, scene, vcpus, count, &error),
	    0, "%s", error.message);
}

/* As vcpu_run(), for a vCPU that otherwise has an exit to tell. */
static int
answer_stop(struct vcpu *vcpu, struct lf_exit *ret_exit, bool *ret_stopped)
{
	*ret_stopped = atomic_exchange(&vcpu->stop, false);
	ret_exit->reason = *ret_stopped ? LF_EXIT_INTERRUPTED : LF_EXIT_IO;
	return VCPU_EXIT;
}

static int
exit_at_once(void *opaque, struct vcpu *vcpu, struct lf_exit *ret_exit,
    struct lf_error *error)
{
	struct scene *scene = opaque;
	bool stopped;

	(void)error;
	atomic_fetch_add(&scene->calls[vcpu->index], 1);
	return answer_stop(vcpu, ret_exit, &stopped);
}

/* The last member has an exit, the first waits until that was possible. */
static int
wait_for_last(void *opaque, struct vcpu *vcpu, struct lf_exit *ret_exit,
    struct lf_error *error)
{
	static const struct timespec moment = {.tv_nsec = 1000000};
	struct scene *scene = opaque;
	unsigned i;
	int rc;
	bool stopped;

	(void)error;
	if (vcpu->index == MEMBERS - 1) {
		rc = answer_stop(vcpu, ret_exit, &stopped);
		if (!stopped)
			atomic_store(&scene->went_on, true);
		return rc;
	}
	for (i = 0; i < 10000 && !atomic_load(&scene->went_on); i++)
		nanosleep(&moment, NULL);
	return GANG_IDLE;
}

/* A stop that comes when the exit is already there. */
static int
exit_and_be_stopped(void *opaque, struct vcpu *vcpu, struct lf_exit *ret_exit,
    struct lf_error *error)
{
	struct scene *scene = opaque;

	(void)error;
	if (atomic_fetch_add(&scene->calls[vcpu->index], 1) == 0 &&
	    vcpu->index == MEMBERS - 1)
		gang_stop(&scene->gang);
	ret_exit->reason =
	    vcpu->index == MEMBERS - 1 ? LF_EXIT_IO : LF_EXIT_INTERRUPTED;
	return VCPU_EXIT;
}

Test(gang, a_round_ends_with_what_one_has_to_tell)
{
	static struct scene scene;
	unsigned i, news = 0;

	begin(&scene, exit_at_once, MEMBERS);
	gang_run(&scene.gang);
	for (i = 0; i < MEMBERS; i++)
		news += scene.gang.members[i].news;
	cr_assert_geq(news, 1);
	/* Until it is told, nobody runs. */
	for (i = 0; i < MEMBERS; i++)
		atomic_store(&scene.calls[i], 0);
	gang_run(&scene.gang);
	for (i = 0; i < MEMBERS; i++)
		cr_assert_eq(atomic_load(&scene.calls[i]), 0);
	gang_done(&scene.gang);
}

/*
 * The end of a stop can be late: the round that it meant is over, and its last
 * vCPUs are stopped only now. They have to run, or who waits for them does so
 * for ever.
 */
Test(gang, a_vcpu_stopped_for_a_reason_that_is_gone_runs_on)
{
	static struct scene scene;

	begin(&scene, wait_for_last, MEMBERS);
	vcpu_stop(&scene.vcpu[MEMBERS - 1]);
	gang_run(&scene.gang);
	cr_assert(atomic_load(&scene.went_on));
	cr_assert(scene.gang.members[MEMBERS - 1].news);
	gang_done(&scene.gang);
}

Test(gang, a_stop_during_a_round_that_ended_by_itself_ends_the_next)
{
	static struct scene scene;
	unsigned i;

	begin(&scene, exit_and_be_stopped, MEMBERS);
	gang_run(&scene.gang);
	cr_assert(scene.gang.members[MEMBERS - 1].news);
	gang_forget(&scene.gang);
	for (i = 0; i < MEMBERS; i++)
		atomic_store(&scene.calls[i], 0);
	gang_run(&scene.gang);
	for (i = 0; i < MEMBERS; i++)
		cr_assert_eq(atomic_load(&scene.calls[i]), 0);
	cr_assert(gang_take_stop(&scene.gang));
	cr_assert_not(gang_take_stop(&scene.gang));
	/* It was answered once: now all run. */
	gang_run(&scene.gang);
	for (i = 0; i < MEMBERS; i++)
		cr_assert_gt(atomic_load(&scene.calls[i]), 0);
	gang_done(&scene.gang);
}

Test(gang, one_member_is_stopped_in_the_same_way)
{
	static struct scene scene;

	begin(&scene, exit_at_once, 1);
	gang_stop(&scene.gang);
	gang_run(&scene.gang);
	cr_assert_not(scene.gang.members[0].news);
	cr_assert(gang_take_stop(&scene.gang));
	gang_run(&scene.gang);
	cr_assert(scene.gang.members[0].news);
	gang_done(&scene.gang);
}
