/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xl.cfg: lines "key = value", the value a text, a list of texts, or nothing,
 * which means the default.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "config/values.h"
#include "config/xl.h"
#include "config/xl_lex.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);

/* Words that people know from elsewhere, and what is meant here. */
static const char *const known_elsewhere[][2] = {
    {"append", "cmdline"},
    {"bios", "firmware"},
    {"cpus", "vcpus"},
    {"disks", "disk"},
    {"genid", "vmgenid"},
    {"initrd", "ramdisk"},
    {"maxmem", "memory"},
    {"maxvcpus", "vcpus"},
    {"ms_vm_genid", "vmgenid"},
    {"network", "vif"},
    {"root", "cmdline"},
    {"stdvga", "vga"},
};

static void
value_done(struct xl_value *value)
{
	for (size_t i = 0; i < value->count; i++)
		free(value->elements[i].text);
	free(value->elements);
	free(value->text);
}

static const struct xl_key *
find_key(const char *name)
{
	for (size_t i = 0; i < xl_key_count; i++)
		if (strcmp(xl_keys[i].name, name) == 0)
			return &xl_keys[i];
	return NULL;
}

/* The key that was probably meant, or NULL. */
static const char *
suggestion(const char *name)
{
	unsigned best = 1 + (unsigned)strlen(name) / 3;
	const char *found = NULL;

	for (size_t i = 0;
	     i < sizeof(known_elsewhere) / sizeof(known_elsewhere[0]); i++)
		if (strcmp(known_elsewhere[i][0], name) == 0)
			return known_elsewhere[i][1];
	for (size_t i = 0; i < xl_key_count; i++) {
		unsigned distance = value_distance(name, xl_keys[i].name);

		if (distance < best || (distance == best && found == NULL)) {
			best = distance;
			found = xl_keys[i].name;
		}
	}
	return found;
}

static int
unknown_key(struct xl *xl, const struct xl_token *token)
{
	const char *meant = suggestion(token->text);
	char name[64];

	snprintf(name, sizeof(name), "%.60s", token->text);
	if (meant == NULL)
		return source_fail(&xl->source, token->line, token->column,
		    name, "unknown key");
	return source_fail(&xl->source, token->line, token->column, name,
	    "unknown key; did you mean '%s'?", meant);
}

static int
expect(struct xl *xl, const struct xl_token *token, const char *wanted)
{
	char buf[80];

	return source_fail(&xl->source, token->line, token->column, NULL,
	    "%s expected, not %s", wanted,
	    xl_token_text(token, buf, sizeof(buf)));
}

static int
take_text(struct xl *xl, const struct xl_token *token, struct xl_value *value)
{
	value->line = token->line;
	value->column = token->column;
	value->text = sys.strdup(token->text);
	return value->text != NULL ? 0 : error_nomem(xl->source.error);
}

static int
add_element(struct xl *xl, const struct xl_key *key,
    const struct xl_token *token, struct xl_value *value)
{
	if (value->count == XL_ELEMENTS_MAX)
		return source_fail(&xl->source, token->line, token->column,
		    key->name, "a list of more than %d elements",
		    XL_ELEMENTS_MAX);
	if (value->elements == NULL)
		value->elements =
		    sys.calloc(XL_ELEMENTS_MAX, sizeof(*value->elements));
	if (value->elements == NULL)
		return error_nomem(xl->source.error);
	return take_text(xl, token, &value->elements[value->count++]);
}

/* After '[', up to and with ']'. A comma may stand before the latter. */
static int
parse_list(struct xl *xl, struct xl_lexer *lexer, const struct xl_key *key,
    struct xl_value *value)
{
	struct xl_token token;
	bool after_element = false;
	int rc;

	value->is_list = true;
	lexer->in_list = true;
	for (;;) {
		rc = xl_lexer_next(lexer, &token);
		if (rc < 0)
			return rc;
		if (token.kind == XL_CLOSE)
			break;
		if (token.kind == XL_END)
			return source_fail(&xl->source, value->line,
			    value->column, key->name,
			    "the list has no ']' at its end");
		if (token.kind == XL_OPEN)
			return source_fail(&xl->source, token.line,
			    token.column, key->name,
			    "a list cannot be in a list");
		if (after_element && token.kind != XL_COMMA)
			return expect(xl, &token, "',' or ']'");
		if (!after_element && token.kind != XL_WORD &&
		    token.kind != XL_STRING)
			return expect(xl, &token, "a list's element");
		if (!after_element)
			rc = add_element(xl, key, &token, value);
		if (rc < 0)
			return rc;
		after_element = !after_element;
	}
	lexer->in_list = false;
	return 0;
}

/* After the key, up to and with the end of its line. */
static int
parse_value(struct xl *xl, struct xl_lexer *lexer, const struct xl_key *key,
    struct xl_value *value)
{
	struct xl_token token;
	int rc;

	rc = xl_lexer_next(lexer, &token);
	if (rc < 0)
		return rc;
	if (token.kind != XL_EQUALS)
		return expect(xl, &token, "'='");
	rc = xl_lexer_next(lexer, &token);
	if (rc < 0)
		return rc;
	value->line = token.line;
	value->column = token.column;
	switch (token.kind) {
	case XL_NEWLINE:
	case XL_END:
		return 0;
	case XL_WORD:
	case XL_STRING:
		rc = take_text(xl, &token, value);
		break;
	case XL_OPEN:
		rc = parse_list(xl, lexer, key, value);
		break;
	case XL_EQUALS:
	case XL_CLOSE:
	case XL_COMMA:
		return expect(xl, &token, "a value");
	}
	if (rc == 0)
		rc = xl_lexer_next(lexer, &token);
	if (rc < 0)
		return rc;
	if (token.kind != XL_NEWLINE && token.kind != XL_END)
		return expect(xl, &token, "end of line");
	return 0;
}

/* A single text where a list is wanted is a list of one. */
static int
set_list(struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	size_t count = value->is_list ? value->count : 1;

	for (size_t i = 0; i < count; i++) {
		const struct xl_value *element =
		    value->is_list ? &value->elements[i] : value;
		int rc;

		source_note(&xl->source, key->model_key, i, key->name,
		    element->line, element->column);
		rc = key->set(xl, key, element);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
set_value(struct xl *xl, const struct xl_key *key, const struct xl_value *value)
{
	/* Nothing after '=', or '' or "": the default. */
	if (!value->is_list && (value->text == NULL || value->text[0] == '\0'))
		return 0;
	if (key->list)
		return set_list(xl, key, value);
	if (value->is_list)
		return xl_fail(xl, key, value, "takes no list");
	if (key->model_key != NULL)
		source_note(&xl->source, key->model_key, 0, key->name,
		    value->line, value->column);
	return key->set(xl, key, value);
}

/* `lines`: where each key of the table was given; 0: not yet. */
static int
parse_lines(struct xl *xl, struct xl_lexer *lexer, unsigned *lines)
{
	struct xl_token token;

	for (;;) {
		cleanup(value_done) struct xl_value value = {0};
		const struct xl_key *key;
		unsigned *line;
		int rc;

		rc = xl_lexer_next(lexer, &token);
		if (rc < 0)
			return rc;
		if (token.kind == XL_END)
			return 0;
		if (token.kind == XL_NEWLINE)
			continue;
		if (token.kind != XL_WORD)
			return expect(xl, &token, "a key");
		key = find_key(token.text);
		if (key == NULL)
			return unknown_key(xl, &token);
		line = &lines[key - xl_keys];
		if (*line != 0)
			return source_fail(&xl->source, token.line,
			    token.column, key->name,
			    "given twice, the first time in line %u", *line);
		*line = token.line;
		rc = parse_value(xl, lexer, key, &value);
		if (rc == 0)
			rc = set_value(xl, key, &value);
		if (rc < 0)
			return rc;
	}
}

int
xl_parse(const char *text, size_t len, const char *file,
    struct lf_domain_config **ret_config, struct lf_error *error)
{
	cleanup(lf_domain_config_free_p) struct lf_domain_config *config = NULL;
	cleanup_free struct xl_lexer *lexer = NULL;
	cleanup_free unsigned *lines = NULL;
	struct xl xl = {.source = {.file = file, .error = error}};
	int rc;

	config = lf_domain_config_new();
	lexer = sys.malloc(sizeof(*lexer));
	lines = sys.calloc(xl_key_count, sizeof(*lines));
	if (config == NULL || lexer == NULL || lines == NULL)
		return error_nomem(error);
	xl.config = config;
	xl_lexer_init(lexer, text, len, &xl.source);
	rc = parse_lines(&xl, lexer, lines);
	if (rc < 0)
		return rc;
	rc = source_finish(
	    &xl.source, config, xl.has_firmware_type, xl.has_video);
	if (rc == 0)
		*ret_config = take_ptr(config);
	return rc;
}

int
xl_print(const struct lf_domain_config *config, char **ret_text,
    struct lf_error *error)
{
	cleanup(writer_done) struct writer w = {0};
	int rc;

	/* What cannot be parsed cannot be printed either. */
	rc = lf_domain_config_check(config, error);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < xl_key_count; i++)
		if (xl_keys[i].print != NULL)
			xl_keys[i].print(&xl_keys[i], config, &w);
	writer_u8(&w, '\0');
	if (writer_status(&w, NULL) < 0)
		return error_nomem(error);
	*ret_text = (char *)take_ptr(w.data);
	return 0;
}
