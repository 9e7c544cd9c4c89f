/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON values as text, whole or not at all.
 */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include <stddef.h>

#include <jansson.h>

/*
 * A value as text with a NUL at its end, before which there is room for a line
 * feed; `flags` are jansson's. The caller frees it. NULL when out of memory:
 * jansson 2.14's json_dumps() leaves out an object's key then, and goes on.
 */
char *json_text(const json_t *value, size_t flags, size_t *ret_len);

#endif
