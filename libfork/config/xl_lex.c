/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xl.cfg cut into tokens, and written.
 */
#include "config/xl_lex.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void
xl_lexer_init(
    struct xl_lexer *lexer, const char *text, size_t len, struct source *source)
{
	lexer->source = source;
	lexer->at = lexer->line_start = text;
	lexer->end = text + len;
	lexer->line = 1;
	lexer->in_list = false;
}

static unsigned
column(const struct xl_lexer *lexer)
{
	return (unsigned)(lexer->at - lexer->line_start) + 1;
}

#define fail(lexer, ...) \
	source_fail(     \
	    (lexer)->source, (lexer)->line, column(lexer), NULL, __VA_ARGS__)

static int
bad_byte(const struct xl_lexer *lexer)
{
	unsigned char byte = (unsigned char)*lexer->at;

	if (byte == '\0')
		return fail(lexer, "a NUL byte; this is not a text file");
	if (byte == '\r')
		return fail(lexer,
		    "a carriage return; lines end with a line feed alone");
	if (byte < 0x20 || byte == 0x7f)
		return fail(lexer, "control character 0x%02x", byte);
	if (lexer->end - lexer->at >= 3 &&
	    memcmp(lexer->at, "\xef\xbb\xbf", 3) == 0)
		return fail(
		    lexer, "a byte order mark; save the file without one");
	if (byte >= 0x80)
		return fail(
		    lexer, "byte 0x%02x outside of a quoted string", byte);
	return fail(lexer, "unexpected '%c'", byte);
}

static bool
is_word_byte(char c)
{
	return isalnum((unsigned char)c) ||
	       (c != '\0' && strchr("_./:+-@%", c) != NULL);
}

/* Whether the byte may stand in a comment or string. */
static bool
is_text_byte(char c)
{
	return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static int
check_line(const struct xl_lexer *lexer)
{
	if (lexer->at - lexer->line_start > XL_LINE_MAX)
		return source_fail(lexer->source, lexer->line, 0, NULL,
		    "a line of more than %d bytes", XL_LINE_MAX);
	return 0;
}

/* Over white space and comments, and over newlines where they are nothing. */
static int
skip_space(struct xl_lexer *lexer)
{
	bool comment = false;

	for (; lexer->at < lexer->end; lexer->at++) {
		char c = *lexer->at;

		if (check_line(lexer) < 0)
			return -EINVAL;
		if (c == '\n' && !lexer->in_list)
			return 0;
		if (c == '\n') {
			lexer->line++;
			lexer->line_start = lexer->at + 1;
			comment = false;
		} else if (comment && !is_text_byte(c)) {
			return bad_byte(lexer);
		} else if (c == '#') {
			comment = true;
		} else if (!comment && c != ' ' && c != '\t') {
			return 0;
		}
	}
	return 0;
}

static int
word(struct xl_lexer *lexer, struct xl_token *token)
{
	size_t len = 0;

	token->kind = XL_WORD;
	token->text = lexer->text;
	while (lexer->at < lexer->end && is_word_byte(*lexer->at)) {
		if (len == XL_TEXT_MAX)
			return source_fail(lexer->source, token->line,
			    token->column, NULL, "a word of more than %d bytes",
			    XL_TEXT_MAX);
		lexer->text[len++] = *lexer->at++;
	}
	lexer->text[len] = '\0';
	return 0;
}

static int
string(struct xl_lexer *lexer, struct xl_token *token)
{
	char quote = *lexer->at++;
	size_t len = 0;

	token->kind = XL_STRING;
	token->text = lexer->text;
	for (;; lexer->at++) {
		if (lexer->at == lexer->end || *lexer->at == '\n')
			return source_fail(lexer->source, token->line,
			    token->column, NULL,
			    "the string does not end on its line");
		if (*lexer->at == quote)
			break;
		if (!is_text_byte(*lexer->at))
			return bad_byte(lexer);
		if (*lexer->at == '\\') {
			if (++lexer->at == lexer->end ||
			    strchr("\\'\"", *lexer->at) == NULL ||
			    *lexer->at == '\0')
				return fail(lexer,
				    "after a backslash only a backslash or "
				    "quote may stand");
		}
		if (len == XL_TEXT_MAX)
			return source_fail(lexer->source, token->line,
			    token->column, NULL,
			    "a string of more than %d bytes", XL_TEXT_MAX);
		lexer->text[len++] = *lexer->at;
	}
	lexer->at++;
	lexer->text[len] = '\0';
	return 0;
}

/* A token of one byte. */
static int
single(struct xl_lexer *lexer, struct xl_token *token)
{
	switch (*lexer->at) {
	case '=':
		token->kind = XL_EQUALS;
		break;
	case '[':
		token->kind = XL_OPEN;
		break;
	case ']':
		token->kind = XL_CLOSE;
		break;
	case ',':
		token->kind = XL_COMMA;
		break;
	case ';':
		token->kind = XL_NEWLINE;
		break;
	default:
		return bad_byte(lexer);
	}
	lexer->at++;
	return 0;
}

int
xl_lexer_next(struct xl_lexer *lexer, struct xl_token *ret_token)
{
	int rc;

	rc = skip_space(lexer);
	if (rc < 0)
		return rc;
	*ret_token = (struct xl_token){
	    .kind = XL_END, .line = lexer->line, .column = column(lexer)};
	if (lexer->at == lexer->end)
		return 0;
	if (*lexer->at == '\n') {
		ret_token->kind = XL_NEWLINE;
		lexer->line_start = ++lexer->at;
		lexer->line++;
		return 0;
	}
	if (is_word_byte(*lexer->at))
		rc = word(lexer, ret_token);
	else if (*lexer->at == '"' || *lexer->at == '\'')
		rc = string(lexer, ret_token);
	else
		rc = single(lexer, ret_token);
	if (rc == 0)
		rc = check_line(lexer);
	return rc;
}

const char *
xl_token_text(const struct xl_token *token, char *buf, size_t size)
{
	switch (token->kind) {
	case XL_END:
		return "end of file";
	case XL_NEWLINE:
		return "end of line";
	case XL_EQUALS:
		return "'='";
	case XL_OPEN:
		return "'['";
	case XL_CLOSE:
		return "']'";
	case XL_COMMA:
		return "','";
	case XL_WORD:
	case XL_STRING:
		break;
	}
	snprintf(buf, size, "'%.60s'", token->text);
	return buf;
}

void
xl_write_key(struct writer *w, const char *name)
{
	writer_bytes(w, name, strlen(name));
	writer_bytes(w, " = ", 3);
}

void
xl_write_string(struct writer *w, const char *text)
{
	writer_u8(w, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			writer_u8(w, '\\');
		writer_u8(w, (uint8_t)*text);
	}
	writer_u8(w, '"');
}
