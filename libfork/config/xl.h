/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xl.cfg: parser and printer, and the values between the parser and the keys.
 */
#ifndef CONFIG_XL_H
#define CONFIG_XL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/writer.h"
#include "config/source.h"

#define XL_ELEMENTS_MAX 256 /* of a list */

/* What stands after a key's '='. */
struct xl_value {
	unsigned line, column;
	char *text; /* owned; NULL: nothing, or a list */
	bool is_list;
	struct xl_value *elements; /* owned; of a list: texts */
	size_t count;
};

/* A configuration while it is read. */
struct xl {
	struct source source;
	struct lf_domain_config *config;
	bool has_video; /* given, and so not by default what VNC wants */
	bool has_firmware_type;
};

/* One key. */
struct xl_key {
	const char *name;
	const char *model_key; /* whose errors it gets; NULL: none */
	bool list;             /* takes a list (a single text is one element) */
	/* Takes a text or a list's elements; never an empty value. */
	int (*set)(struct xl *xl, const struct xl_key *key,
	    const struct xl_value *value);
	/* Writes "key = value" if it is not the default; NULL: another does. */
	void (*print)(const struct xl_key *key,
	    const struct lf_domain_config *config, struct writer *w);
	const void *opaque; /* for them */
	size_t offset;      /* in the configuration, for them */
};

extern const struct xl_key xl_keys[];
extern const size_t xl_key_count;

/* Errors of one key or one element. */
#define xl_fail(xl, key, value, ...)                               \
	source_fail(&(xl)->source, (value)->line, (value)->column, \
	    (key)->name, __VA_ARGS__)

/* The little languages in the strings of `disk` and `vif`. */
int xl_disk_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value);
void xl_disk_print(const struct xl_key *key,
    const struct lf_domain_config *config, struct writer *w);
int xl_vif_set(
    struct xl *xl, const struct xl_key *key, const struct xl_value *value);
void xl_vif_print(const struct xl_key *key,
    const struct lf_domain_config *config, struct writer *w);

int xl_parse(const char *text, size_t len, const char *file,
    struct lf_domain_config **ret_config, struct lf_error *error);
int xl_print(const struct lf_domain_config *config, char **ret_text,
    struct lf_error *error);

#endif
