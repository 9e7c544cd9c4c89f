/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers of 64 bits and bytes in JSON, as hexadecimal strings: JSON's
 * integers are signed, and its strings are text.
 */
#ifndef SNAPSHOT_HEX_JSON_H
#define SNAPSHOT_HEX_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

/* "0x1f" and "001f"; NULL when out of memory. */
json_t *hex_number_write(uint64_t value);
json_t *hex_bytes_write(const uint8_t *bytes, size_t len);

/* -EBADMSG, naming field `name`, for anything else. */
int hex_number_read(const json_t *value, const char *name, uint64_t max,
    uint64_t *ret_value, struct lf_error *error);
int hex_bytes_read(const json_t *value, const char *name, uint8_t *bytes,
    size_t len, struct lf_error *error);

/* A field of `size` bytes (1, 2, 4, 8) in the host's order. */
json_t *hex_field_write(const void *from, uint8_t size);
int hex_field_read(const json_t *value, const char *name, void *to,
    uint8_t size, struct lf_error *error);

#endif
