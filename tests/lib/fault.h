/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fault loops: an operation is repeated while its first, second, third ...
 * system call or allocation is made to fail, until it runs through with none
 * failing. Every failed round must return an error, say why, and leak
 * nothing.
 *
 *	FAULT_LOOP(fault) {
 *		rc = operation(&error);
 *		fault_end(&fault);
 *		if (fault.hit) cr_assert(rc < 0); else cr_assert(rc == 0);
 *	}
 */
#ifndef TESTS_LIB_FAULT_H
#define TESTS_LIB_FAULT_H

#include <stdbool.h>

struct fault {
	unsigned long round; /* the call that fails in this round, from 1 */
	unsigned long calls; /* calls made in this round */
	bool hit;            /* the round's fault happened */
	const char *name;    /* the call that failed */
	int descriptors;     /* open before the round */
};

/*
 * Begins the next round: false when the round before had no fault. The
 * program's other threads count too; keep them still.
 */
bool fault_next(struct fault *fault);

/* Ends a round: calls succeed again. */
void fault_end(struct fault *fault);

/* Descriptors this process has open now. */
int fault_open_descriptors(void);

#define FAULT_LOOP(name) for (struct fault name = {0}; fault_next(&name);)

#endif
