/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration files: from a file that a user names to what forkd takes.
 */
#ifndef XLFORK_CONFIG_FILE_H
#define XLFORK_CONFIG_FILE_H

#include <jansson.h>
#include <libfork/error.h>

/*
 * Reads a file in either syntax ("-": standard input), makes its paths
 * absolute, checks it, and gives it in the form that goes to forkd.
 */
int config_file_load(
    const char *path, json_t **ret_config, struct lf_error *error);

/* Prints the QEMU command line that the file stands for. */
int config_file_dry_run(const char *path, struct lf_error *error);

/*
 * Prints the file in the other syntax, to `output` (NULL: standard output),
 * which is not touched when anything fails.
 */
int config_file_convert(
    const char *path, const char *output, struct lf_error *error);

#endif
