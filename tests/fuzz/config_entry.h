/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the entries of both configuration syntaxes do with an input that is
 * accepted: printed and read again it means the same, in either syntax.
 */
#ifndef TESTS_FUZZ_CONFIG_ENTRY_H
#define TESTS_FUZZ_CONFIG_ENTRY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_file.h"
#include "fuzz/fuzz.h"

static inline char *
config_json(const struct lf_domain_config *config)
{
	struct lf_error error;
	char *text;

	if (lf_domain_config_to_json(config, &text, &error) < 0) {
		fprintf(stderr, "no JSON: %s\n", error.message);
		abort();
	}
	return text;
}

static inline void
config_survives(
    const struct lf_domain_config *config, enum config_syntax syntax)
{
	struct lf_domain_config *again;
	struct lf_error error;
	char *text, *before, *after;

	if (config_print(config, syntax, &text, &error) < 0 ||
	    config_parse(text, strlen(text), "again", &again, &error) < 0) {
		fprintf(stderr, "%s\n", error.message);
		abort();
	}
	before = config_json(config);
	after = config_json(again);
	if (strcmp(before, after) != 0) {
		fprintf(stderr, "%s\n%s\n%s\n", before, text, after);
		abort();
	}
	free(before);
	free(after);
	free(text);
	lf_domain_config_free(again);
}

static inline void
config_check_both(struct lf_domain_config *config)
{
	config_survives(config, CONFIG_SYNTAX_XL);
	config_survives(config, CONFIG_SYNTAX_XML);
	lf_domain_config_free(config);
}

#endif
