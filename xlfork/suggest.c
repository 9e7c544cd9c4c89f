/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nearness is the number of letters to add, drop, change or swap. A word that
 * needs more than a third of its letters changed is no suggestion.
 */
#include "xlfork/suggest.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#define WORD_MAX 32

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edit distance with swaps of neighbours (optimal string alignment). */
static unsigned
distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), i, j;
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];

	if (la > WORD_MAX || lb > WORD_MAX)
		return UINT_MAX;
	for (i = 0; i <= la; i++)
		d[i][0] = (unsigned)i;
	for (j = 0; j <= lb; j++)
		d[0][j] = (unsigned)j;
	for (i = 1; i <= la; i++)
		for (j = 1; j <= lb; j++) {
			unsigned change = a[i - 1] != b[j - 1];

			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1,
			    d[i - 1][j - 1] + change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	return d[la][lb];
}

void
suggestion_init(struct suggestion *s, const char *word)
{
	*s = (struct suggestion){.word = word};
}

void
suggestion_offer(struct suggestion *s, const char *candidate)
{
	size_t typed = strlen(s->word), len = strlen(candidate);
	unsigned d, limit;

	if (typed < 2)
		return;
	d = distance(s->word, candidate);
	limit = (unsigned)(typed > len ? typed : len) / 3;
	/* "save" for "save-devstate": the beginning is what people know. */
	if (typed >= 3 && strncmp(candidate, s->word, typed) == 0 && d > 1)
		d = limit = 1;
	if (d > limit || (s->best != NULL && d >= s->distance))
		return;
	s->best = candidate;
	s->distance = d;
}
