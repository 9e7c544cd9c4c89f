/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chips of a VM as a JSON object: one member per chip that is held, with
 * one string per field of cpu/chips.h.
 */
#ifndef SNAPSHOT_CHIPS_JSON_H
#define SNAPSHOT_CHIPS_JSON_H

#include <jansson.h>
#include <libfork/error.h>

struct cpu_chips;

/* A new object; NULL when out of memory. */
json_t *chips_json_write(const struct cpu_chips *chips);

/* The caller's: free(). -EBADMSG names the bad chip or field. */
int chips_json_read(
    const json_t *object, struct cpu_chips **ret_chips, struct lf_error *error);

#endif
