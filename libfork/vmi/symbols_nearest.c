/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names nearest to a misspelt one: edit distance with transpositions
 * (optimal string alignment), given up as soon as it passes a bound, so that
 * a hundred thousand names take milliseconds.
 */
#include "vmi/symbols.h"

#include <stdlib.h>
#include <string.h>

#define NEAREST_MAX 16
#define COLUMNS     64 /* longer names are compared by their first bytes */

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* The distance of two names, or bound + 1 when it is more than `bound`. */
static unsigned
edit_distance(
    const char *a, size_t a_len, const char *b, size_t b_len, unsigned bound)
{
	unsigned rows[3][COLUMNS + 1];
	size_t i, j;

	for (j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3];
		const unsigned *two_above = rows[(i + 1) % 3];
		unsigned least = i;

		row[0] = i;
		for (j = 1; j <= b_len; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1,
			    above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] &&
			    two_above[j - 2] + 1 < row[j])
				row[j] = two_above[j - 2] + 1;
			if (row[j] < least)
				least = row[j];
		}
		if (least > bound)
			return bound + 1;
	}
	i = rows[a_len % 3][b_len];
	return i > bound ? bound + 1 : (unsigned)i;
}

/* Also what the compiler made of the name: name.part.0, name.cold ... */
static unsigned
distance_to(const char *name, size_t len, const char *other, unsigned bound)
{
	size_t other_len = strnlen(other, COLUMNS);

	if (len > 1 && strncmp(other, name, len) == 0 && other[len] == '.')
		return 1;
	if (other_len > len + bound || len > other_len + bound)
		return bound + 1;
	return edit_distance(name, len, other, other_len, bound);
}

size_t
lf_symbols_nearest(const struct lf_symbols *symbols, const char *name,
    const char **ret_names, size_t max)
{
	unsigned distances[NEAREST_MAX];
	size_t len = strnlen(name, COLUMNS);
	size_t i, j, place, count = 0;
	unsigned distance, bound = 1 + len / 4;
	struct lf_symbol symbol;

	if (max > NEAREST_MAX)
		max = NEAREST_MAX;
	if (max == 0)
		return 0;
	for (i = 0; i < lf_symbols_count(symbols); i++) {
		lf_symbols_get(symbols, i, &symbol);
		distance = distance_to(name, len, symbol.name, bound);
		if (distance > bound)
			continue;
		for (j = 0; j < count; j++)
			if (strcmp(ret_names[j], symbol.name) == 0)
				break;
		if (j < count)
			continue;
		for (place = count; place > 0; place--)
			if (distances[place - 1] <= distance)
				break;
		if (place == max)
			continue;
		if (count < max)
			count++;
		for (j = count - 1; j > place; j--) {
			distances[j] = distances[j - 1];
			ret_names[j] = ret_names[j - 1];
		}
		distances[place] = distance;
		ret_names[place] = symbol.name;
		/* From a full list on only a nearer one is wanted. */
		if (count == max && distances[max - 1] > 0)
			bound = distances[max - 1];
	}
	return count;
}
