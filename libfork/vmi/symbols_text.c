/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Symbols as text: what nm(1) prints (with or without -S and -C), a
 * System.map, a copy of /proc/kallsyms. Outside bytes: every line is either
 * understood or an error.
 *
 *	ADDRESS [SIZE] TYPE NAME[\tMORE]	a symbol; "\t[module]" is kept
 *	TYPE NAME			undefined, skipped
 */
#include "vmi/symbols.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"

struct cursor {
	const char *at, *end;
};

static void
skip_blanks(struct cursor *c)
{
	while (c->at < c->end && *c->at == ' ')
		c->at++;
}

/* The next word up to a blank; empty at the end. */
static struct cursor
next_word(struct cursor *c)
{
	struct cursor word;

	skip_blanks(c);
	word.at = c->at;
	while (c->at < c->end && *c->at != ' ' && *c->at != '\t')
		c->at++;
	word.end = c->at;
	return word;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* nm pads to 8 or 16 digits; anything shorter would be a type letter. */
static bool
parse_hex(struct cursor word, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (word.end - word.at < 8 || word.end - word.at > 16)
		return false;
	for (; word.at < word.end; word.at++) {
		int digit = hex_digit(*word.at);

		if (digit < 0)
			return false;
		value = value << 4 | (unsigned)digit;
	}
	*ret_value = value;
	return true;
}

/* 1: a symbol was added, 0: nothing to add, negative: errno. */
static int
add_line(struct lf_symbols *symbols, struct cursor line, struct lf_error *error)
{
	struct cursor word, name;
	const char *module = NULL;
	uint64_t address = 0, size = 0;
	size_t module_len = 0;
	bool has_address;

	word = next_word(&line);
	has_address = parse_hex(word, &address);
	if (has_address) {
		word = next_word(&line);
		if (parse_hex(word, &size))
			word = next_word(&line);
	}
	if (word.end - word.at != 1 || isdigit((unsigned char)*word.at) ||
	    !isgraph((unsigned char)*word.at))
		return -EBADMSG;
	skip_blanks(&line);
	name.at = name.end = line.at;
	while (name.end < line.end && *name.end != '\t')
		name.end++;
	while (name.end > name.at && name.end[-1] == ' ')
		name.end--;
	if (name.end == name.at)
		return -EBADMSG;
	if (!has_address || *word.at == 'U')
		return 0;
	line.at = name.end;
	while (line.at < line.end && (*line.at == '\t' || *line.at == ' '))
		line.at++;
	if (line.end - line.at > 2 && *line.at == '[' && line.end[-1] == ']') {
		module = line.at + 1;
		module_len = line.end - line.at - 2;
	}
	return symbols_add(symbols,
	    &(struct symbol_source){.name = name.at,
		.name_len = name.end - name.at,
		.module = module,
		.module_len = module_len,
		.address = address,
		.size = size,
		.type = *word.at},
	    error);
}

int
symbols_add_text(struct lf_symbols *symbols, const char *text, size_t len,
    struct lf_error *error)
{
	unsigned long number = 0;
	struct cursor line;
	int rc;

	while (len > 0) {
		number++;
		line.at = text;
		line.end = memchr(text, '\n', len);
		if (line.end == NULL)
			line.end = text + len;
		/* The line's end, where there is one, is skipped, too. */
		len -= line.end - text;
		text = line.end;
		if (len > 0) {
			text++;
			len--;
		}
		if (line.end == line.at)
			continue;
		lf_error_clear(error);
		rc = add_line(symbols, line, error);
		if (rc == -EBADMSG && (error == NULL || error->code == 0))
			return error_set(error, EBADMSG,
			    "line %lu: 'ADDRESS TYPE NAME' wanted, as nm "
			    "prints it, but it is '%.*s'",
			    number,
			    line.end - line.at > 80 ? 80
						    : (int)(line.end - line.at),
			    line.at);
		if (rc < 0)
			return error_prefix(error, rc, "line %lu", number);
	}
	return 0;
}
