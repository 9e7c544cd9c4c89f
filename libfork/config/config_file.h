/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration files: two syntaxes for one model, told apart by content. A
 * file that begins with '<' is libvirt-style domain XML, every other xl.cfg.
 * What comes out has passed lf_domain_config_check(). Printing and parsing
 * again gives an equal configuration, in either syntax.
 *
 * Errors are one line, "FILE:LINE:COLUMN: KEY: why" (an error of the XML
 * schema has no column).
 *
 * All of this is for one thread: libxml2's error handling and the schema, which
 * is compiled at the first use and kept, are the process's.
 */
#ifndef CONFIG_CONFIG_FILE_H
#define CONFIG_CONFIG_FILE_H

#include <stddef.h>

#include <libfork/domain_config.h>
#include <libfork/error.h>

/* Bytes of a file at most. */
#define CONFIG_FILE_MAX (1u << 20)

enum config_syntax {
	CONFIG_SYNTAX_XL,
	CONFIG_SYNTAX_XML,
};

enum config_syntax config_syntax_of(const char *text, size_t len);

/*
 * Parses a file's content; `file` is its name, for messages. -EINVAL or
 * -ENOMEM. Paths are as they were written.
 */
int config_parse(const char *text, size_t len, const char *file,
    struct lf_domain_config **ret_config, struct lf_error *error);

/* Reads and parses a file; "-" is standard input. */
int config_read(const char *path, struct lf_domain_config **ret_config,
    enum config_syntax *ret_syntax, struct lf_error *error);

/*
 * Makes relative paths absolute, from the current directory on, as xl does.
 * Before a configuration leaves the process.
 */
int config_make_absolute(
    struct lf_domain_config *config, struct lf_error *error);

/* Prints in a syntax; the caller frees the text. */
int config_print(const struct lf_domain_config *config,
    enum config_syntax syntax, char **ret_text, struct lf_error *error);

#endif
