/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kvm/speed.h"

/*
 * Native code has at least this share of the speed outside. Emulation has
 * about a thousandth, a hypervisor's worst exits do not come near a tenth.
 */
#define NATIVE_SHARE 0.1
#define SLOW_SHARE   0.005

/*
 * One try says nothing: a loop that was interrupted outside makes every guest
 * look fast, one that was interrupted inside makes it look slow. On a machine
 * that is a busy guest itself every third try can be interrupted, each for as
 * long as emulation takes.
 */
#define NATIVE_TRIES 3
#define SLOW_TRIES   10
#define TRIES_MAX    30

static double
less(unsigned tries, double best, double time)
{
	return tries == 0 || time < best ? time : best;
}

void
speed_add(struct speed *speed, double entry, double inside, double native)
{
	speed->entry = less(speed->tries, speed->entry, entry);
	speed->inside = less(speed->tries, speed->inside, inside);
	speed->native = less(speed->tries, speed->native, native);
	speed->tries++;
}

double
speed_guest(const struct speed *speed)
{
	double time = speed->inside - speed->entry;

	return time > speed->native ? time : speed->native;
}

enum speed_verdict
speed_judge(const struct speed *speed)
{
	double share = speed->native / speed_guest(speed);

	if (speed->tries >= NATIVE_TRIES && share >= NATIVE_SHARE)
		return SPEED_NATIVE;
	if (speed->tries >= TRIES_MAX ||
	    (speed->tries >= SLOW_TRIES && share < SLOW_SHARE))
		return SPEED_EMULATED;
	return SPEED_UNDECIDED;
}
