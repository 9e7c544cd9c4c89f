/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device-state files as text and as JSON.
 */
#ifndef XLFORK_DEVSTATE_PRINT_H
#define XLFORK_DEVSTATE_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include <libfork/devstate.h>

/* One line per section, structure and field, indented by its depth. */
int devstate_print_tree(
    FILE *stream, const struct lf_devstate *devstate, struct lf_error *error);

/* {"machine", "sections": [{"name", "instance", "version", "fields"}]} */
int devstate_print_json(
    FILE *stream, const struct lf_devstate *devstate, struct lf_error *error);

/* One line per difference. Returns their count. */
int devstate_print_differences(FILE *stream, const struct lf_devstate *a,
    const struct lf_devstate *b, bool json, struct lf_error *error);

#endif
