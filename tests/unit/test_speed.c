/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How kinds of KVM are told apart by tries that were interrupted or not.
 * Times in microseconds: of this project's lab, of hardware, of a software KVM.
 */
#include <criterion/criterion.h>

#include "kvm/speed.h"

struct host {
	double entry, loop, native;
};

static const struct host hardware = {2, 1.4, 1.3};
static const struct host lab = {300, 90, 80};
static const struct host software = {25, 3300, 1.3};

/* What an interrupted try takes longer; long enough to look like emulation. */
#define GONE 30000

static enum speed_verdict
add(struct speed *speed, const struct host *host, double entry, double inside,
    double native)
{
	speed_add(speed, host->entry + entry, host->entry + host->loop + inside,
	    host->native + native);
	return speed_judge(speed);
}

/* As many undisturbed tries as a verdict takes. */
static enum speed_verdict
go_on(struct speed *speed, const struct host *host)
{
	enum speed_verdict verdict;

	do
		verdict = add(speed, host, 0, 0, 0);
	while (verdict == SPEED_UNDECIDED);
	return verdict;
}

Test(speed, each_kind_is_what_it_is_on_a_quiet_machine)
{
	struct speed speed = {0};

	cr_assert_eq(go_on(&speed, &hardware), SPEED_NATIVE);
	cr_assert_leq(speed.tries, 3);
	speed = (struct speed){0};
	cr_assert_eq(go_on(&speed, &lab), SPEED_NATIVE);
	speed = (struct speed){0};
	cr_assert_eq(go_on(&speed, &software), SPEED_EMULATED);
	cr_assert_leq(speed.tries, 10);
	cr_assert_float_eq(speed_guest(&speed), software.loop, 1e-6);
}

Test(speed, a_guest_that_was_interrupted_is_not_taken_for_emulated)
{
	struct speed speed = {0};

	for (unsigned i = 0; i < 9; i++)
		cr_assert_eq(add(&speed, &lab, 0, GONE + i * 500.0, 0),
		    SPEED_UNDECIDED, "try %u", i);
	cr_assert_eq(add(&speed, &lab, 0, 0, 0), SPEED_NATIVE);
}

Test(speed, a_loop_outside_that_was_interrupted_makes_no_guest_native)
{
	struct speed speed = {0};

	cr_assert_eq(add(&speed, &software, 0, 0, GONE), SPEED_UNDECIDED);
	cr_assert_eq(add(&speed, &software, 0, 0, GONE), SPEED_UNDECIDED);
	cr_assert_eq(go_on(&speed, &software), SPEED_EMULATED);
}

Test(speed, an_entry_that_was_interrupted_is_not_taken_off)
{
	struct speed speed = {0};

	cr_assert_eq(add(&speed, &software, GONE, 0, 0), SPEED_UNDECIDED);
	cr_assert_eq(go_on(&speed, &software), SPEED_EMULATED);
}

Test(speed, what_stays_between_the_two_is_emulated_in_the_end)
{
	static const struct host between = {25, 100, 2};
	struct speed speed = {0};

	cr_assert_eq(go_on(&speed, &between), SPEED_EMULATED);
	cr_assert_eq(speed.tries, 30);
}
