/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Words that both syntaxes have in common: sizes, switches, choices, and the
 * nearest word to one that is unknown.
 */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct value_choice {
	const char *word; /* NULL ends a list */
	unsigned value;
};

/*
 * "512", "512M", "2G": a bare number counts in `unit` bytes. -EINVAL when it
 * is no size, -ERANGE when it does not fit.
 */
int value_size(const char *text, uint64_t unit, uint64_t *ret_bytes);

/* Decimal, up to `max`. -EINVAL, -ERANGE. */
int value_number(const char *text, uint64_t max, uint64_t *ret_number);

/* on, true, yes, 1 and their opposites, in any case. */
int value_switch(const char *text, bool *ret_on);

int value_choose(
    const struct value_choice *choices, const char *text, unsigned *ret_value);

/* The word of a value: the first that has it. */
const char *value_word(const struct value_choice *choices, unsigned value);

/* All words, "pc, q35". */
void value_list(const struct value_choice *choices, char *buf, size_t size);

/*
 * How many letters have to be added, taken away, changed or swapped with the
 * next to make one word the other.
 */
unsigned value_distance(const char *a, const char *b);

#endif
