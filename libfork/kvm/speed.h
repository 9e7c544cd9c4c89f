/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether kernel-mode code of a guest runs natively, judged by how long a loop
 * takes there and here. Whatever else the machine does makes a try longer,
 * never shorter: the best of some tries counts on each side, and what looks
 * slow is tried more often than what was seen to be fast. Knows neither clocks
 * nor guests.
 */
#ifndef KVM_SPEED_H
#define KVM_SPEED_H

#include <stdbool.h>

enum speed_verdict {
	SPEED_UNDECIDED, /* try again */
	SPEED_NATIVE,
	SPEED_EMULATED,
};

/* All in seconds; zeros to begin with. */
struct speed {
	unsigned tries;
	double entry;  /* into a guest that does next to nothing, and back */
	double inside; /* the same with the loop */
	double native; /* the loop here */
};

/* Takes a try in. */
void speed_add(struct speed *speed, double entry, double inside, double native);

/* Of at least one try. */
enum speed_verdict speed_judge(const struct speed *speed);

/* The loop alone: never shorter than it is here. */
double speed_guest(const struct speed *speed);

#endif
