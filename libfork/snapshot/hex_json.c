/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hexadecimal strings in JSON, strictly as they are written.
 */
#include "snapshot/hex_json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

json_t *
hex_number_write(uint64_t value)
{
	return json_sprintf("0x%" PRIx64, value);
}

int
hex_number_read(const json_t *value, const char *name, uint64_t max,
    uint64_t *ret_value, struct lf_error *error)
{
	const char *text = json_string_value(value);
	char *end = NULL;

	if (text == NULL || strncmp(text, "0x", 2) != 0 || text[2] == '\0' ||
	    strlen(text) > 18)
		return error_set(error, EBADMSG,
		    "field '%s' is missing or no hexadecimal number", name);
	*ret_value = strtoull(text, &end, 16);
	if (*end != '\0' || *ret_value > max)
		return error_set(error, EBADMSG,
		    "field '%s' is no hexadecimal number up to 0x%" PRIx64,
		    name, max);
	return 0;
}

json_t *
hex_bytes_write(const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *text = sys.malloc(2 * len + 1);
	json_t *value;
	size_t i;

	if (text == NULL)
		return NULL;
	for (i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	value = json_stringn(text, 2 * len);
	free(text);
	return value;
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int
hex_bytes_read(const json_t *value, const char *name, uint8_t *bytes,
    size_t len, struct lf_error *error)
{
	const char *text = json_string_value(value);
	size_t i;

	if (text == NULL || json_string_length(value) != 2 * len)
		return error_set(error, EBADMSG,
		    "field '%s' is not %zu hexadecimal bytes", name, len);
	for (i = 0; i < len; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return error_set(error, EBADMSG,
			    "field '%s' is not hexadecimal at byte %zu", name,
			    i);
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

json_t *
hex_field_write(const void *from, uint8_t size)
{
	uint64_t value = 0;

	memcpy(&value, from, size);
	return hex_number_write(value);
}

int
hex_field_read(const json_t *json, const char *name, void *to, uint8_t size,
    struct lf_error *error)
{
	uint64_t max = size >= 8 ? UINT64_MAX : (1ULL << 8 * size) - 1;
	uint64_t value;
	int rc = hex_number_read(json, name, max, &value, error);

	if (rc == 0)
		memcpy(to, &value, size);
	return rc;
}
