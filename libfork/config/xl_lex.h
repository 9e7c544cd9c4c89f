/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xl.cfg cut into tokens, and written. Knows nothing of what keys there are.
 * Reads any bytes: whatever is not text of bounded lines is an error that
 * points at the byte.
 */
#ifndef CONFIG_XL_LEX_H
#define CONFIG_XL_LEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/writer.h"
#include "config/source.h"

#define XL_LINE_MAX 16384 /* bytes */
#define XL_TEXT_MAX 8191  /* bytes of a string or word */

enum xl_token_kind {
	XL_END,
	XL_NEWLINE, /* or ';' */
	XL_WORD,    /* bare, e.g. a key or a number */
	XL_STRING,  /* in quotes */
	XL_EQUALS,
	XL_OPEN,
	XL_CLOSE,
	XL_COMMA,
};

struct xl_token {
	enum xl_token_kind kind;
	unsigned line, column; /* from 1 */
	const char *text;      /* WORD, STRING: until the next token */
};

struct xl_lexer {
	struct source *source;
	const char *at, *end;
	const char *line_start;
	unsigned line;
	bool in_list; /* newlines are white space */
	char text[XL_TEXT_MAX + 1];
};

void xl_lexer_init(struct xl_lexer *lexer, const char *text, size_t len,
    struct source *source);

/* The next token; -EINVAL with an error that points at the byte. */
int xl_lexer_next(struct xl_lexer *lexer, struct xl_token *ret_token);

/* A token for messages: "'vcpus'", "end of line". */
const char *xl_token_text(const struct xl_token *token, char *buf, size_t size);

/* "name = ", and a text in quotes as the lexer reads it. */
void xl_write_key(struct writer *w, const char *name);
void xl_write_string(struct writer *w, const char *text);

#endif
