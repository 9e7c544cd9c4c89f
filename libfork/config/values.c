/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Words that both syntaxes have in common.
 */
#include "config/values.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Leading digits as a number; `*ret_rest` is what follows them. */
static int
leading_number(const char *text, const char **ret_rest, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(
			number, (uint64_t)(*text - '0'), &number))
			return -ERANGE;
	*ret_rest = text;
	*ret_number = number;
	return 0;
}

int
value_size(const char *text, uint64_t unit, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	uint64_t number;
	const char *rest;
	int rc;

	rc = leading_number(text, &rest, &number);
	if (rc < 0)
		return rc;
	if (*rest != '\0') {
		const char *found =
		    strchr(units, toupper((unsigned char)*rest));

		if (found == NULL)
			return -EINVAL;
		unit = UINT64_C(1024) << (10 * (found - units));
		rest++;
		if (strcasecmp(rest, "iB") == 0 || strcasecmp(rest, "B") == 0)
			rest += strlen(rest);
		if (*rest != '\0')
			return -EINVAL;
	}
	if (__builtin_mul_overflow(number, unit, &number))
		return -ERANGE;
	*ret_bytes = number;
	return 0;
}

int
value_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number;
	const char *rest;
	int rc;

	rc = leading_number(text, &rest, &number);
	if (rc < 0)
		return rc;
	if (*rest != '\0')
		return -EINVAL;
	if (number > max)
		return -ERANGE;
	*ret_number = number;
	return 0;
}

int
value_switch(const char *text, bool *ret_on)
{
	static const char *const words[][2] = {
	    {"off", "on"}, {"false", "true"}, {"no", "yes"}, {"0", "1"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (int on = 0; on <= 1; on++)
			if (strcasecmp(text, words[i][on]) == 0) {
				*ret_on = on;
				return 0;
			}
	return -EINVAL;
}

int
value_choose(
    const struct value_choice *choices, const char *text, unsigned *ret_value)
{
	for (; choices->word != NULL; choices++)
		if (strcmp(choices->word, text) == 0) {
			*ret_value = choices->value;
			return 0;
		}
	return -EINVAL;
}

const char *
value_word(const struct value_choice *choices, unsigned value)
{
	while (choices->word != NULL && choices->value != value)
		choices++;
	return choices->word;
}

void
value_list(const struct value_choice *choices, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (; choices->word != NULL && used < size; choices++)
		used += (size_t)snprintf(buf + used, size - used, "%s%s",
		    used > 0 ? ", " : "", choices->word);
}

/* Longer words are as far from everything as can be. */
#define DISTANCE_MAX 32

static unsigned
min(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment distance, row by row. */
unsigned
value_distance(const char *a, const char *b)
{
	unsigned rows[3][DISTANCE_MAX + 1];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > DISTANCE_MAX || b_len > DISTANCE_MAX)
		return DISTANCE_MAX;
	for (size_t k = 0; k <= b_len; k++)
		rows[0][k] = (unsigned)k;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i - 1) % 3];

		row[0] = (unsigned)i;
		for (size_t k = 1; k <= b_len; k++) {
			unsigned change = a[i - 1] != b[k - 1];

			row[k] = min(above[k - 1] + change,
			    1 + min(above[k], row[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] &&
			    a[i - 2] == b[k - 1])
				row[k] =
				    min(row[k], 1 + rows[(i - 2) % 3][k - 2]);
		}
	}
	return rows[a_len % 3][b_len];
}
