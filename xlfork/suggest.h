/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The nearest of several words to one that was mistyped.
 */
#ifndef XLFORK_SUGGEST_H
#define XLFORK_SUGGEST_H

struct suggestion {
	const char *word; /* what was typed; borrowed */
	const char *best; /* NULL while nothing comes near */
	unsigned distance;
};

void suggestion_init(struct suggestion *s, const char *word);

/* Another word that may have been meant; borrowed. */
void suggestion_offer(struct suggestion *s, const char *candidate);

#endif
