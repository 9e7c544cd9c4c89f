/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The JSON form of a configuration, in which it goes to forkd and lies in a
 * manifest. Reading trusts nothing: unknown members, wrong types, values out
 * of range and relative paths are errors that name the member.
 */
#include <libfork/domain_config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/sys.h"
#include "qemu/domain_config_table.h"
#include "qemu/domain_config_value.h"

DEFINE_CLEANUP(json_t *, json_decref);
DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);

#define cleanup_json   cleanup(json_decref_p)
#define cleanup_config cleanup(lf_domain_config_free_p)

/* Far more than a full configuration has. */
#define JSON_LEN_MAX (1u << 20)

static json_t *type_to_json(const struct config_type *type, const void *object);

static json_t *
list_to_json(const struct config_field *field, const void *object)
{
	size_t count = *config_count(field, object);
	cleanup_json json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < count; i++) {
		json_t *element;

		if (field->kind == CONFIG_LIST)
			element = type_to_json(
			    field->type, config_element(field, object, i));
		else
			element = json_string(
			    (*(char ***)config_at(object, field->offset))[i]);
		if (json_array_append_new(array, element) < 0)
			return NULL;
	}
	return take_ptr(array);
}

static json_t *
field_to_json(const struct config_field *field, const void *object)
{
	const void *at = config_at(object, field->offset);
	char text[LF_UUID_STRING_SIZE];

	switch (field->kind) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		return json_string(*(char *const *)at);
	case CONFIG_STRINGS:
	case CONFIG_LIST:
		return list_to_json(field, object);
	case CONFIG_UUID:
		lf_uuid_format(at, text);
		return json_string(text);
	case CONFIG_MAC:
		lf_mac_format(at, text);
		return json_string(text);
	case CONFIG_SIZE:
		return json_integer((json_int_t) * (const uint64_t *)at);
	case CONFIG_UNSIGNED:
		return json_integer(*(const unsigned *)at);
	case CONFIG_PORT:
		return json_integer(*(const uint16_t *)at);
	case CONFIG_ENUM:
		return json_string(field->names[*(const unsigned *)at]);
	case CONFIG_BOOL:
		return json_boolean(*(const bool *)at);
	case CONFIG_STRUCT:
		return type_to_json(field->type, at);
	}
	return NULL;
}

static json_t *
type_to_json(const struct config_type *type, const void *object)
{
	cleanup_json json_t *json = json_object();

	for (size_t i = 0; json != NULL && i < type->count; i++) {
		const struct config_field *field = &type->fields[i];

		/* An enumerator is written also when it is the first. */
		if ((field->kind == CONFIG_ENUM ||
			!config_is_empty(field, object)) &&
		    json_object_set_new(
			json, field->name, field_to_json(field, object)) < 0)
			return NULL;
	}
	return take_ptr(json);
}

int
domain_config_to_value(const struct lf_domain_config *config,
    json_t **ret_value, struct lf_error *error)
{
	json_t *value = type_to_json(&config_type, config);

	/* The other reason that jansson knows: bytes that are not UTF-8. */
	if (value == NULL && lf_domain_config_check(config, error) < 0)
		return -EINVAL;
	if (value == NULL)
		return error_nomem(error);
	*ret_value = value;
	return 0;
}

int
lf_domain_config_to_json(const struct lf_domain_config *config, char **ret_text,
    struct lf_error *error)
{
	cleanup_json json_t *json = NULL;
	size_t len;
	int rc = domain_config_to_value(config, &json, error);

	if (rc < 0)
		return rc;
	*ret_text = json_text(json, JSON_COMPACT, &len);
	return *ret_text != NULL ? 0 : error_nomem(error);
}

static int
wrong(const struct config_place *place, const char *why, struct lf_error *error)
{
	char where[CONFIG_PLACE_MAX];

	config_place_format(place, where);
	return error_set(error, EINVAL, "%s: %s", where, why);
}

static int
string_from_json(const struct config_field *field,
    const struct config_place *place, const json_t *json, char **ret_string,
    struct lf_error *error)
{
	const char *value = json_string_value(json);

	if (value == NULL)
		return wrong(place, "not a string", error);
	if (json_string_length(json) > field->max)
		return wrong(place, "too long", error);
	if (field->kind == CONFIG_PATH && value[0] != '/')
		return wrong(place, "not an absolute path", error);
	return lf_domain_config_set(ret_string, value, error);
}

static int
number_from_json(const struct config_field *field,
    const struct config_place *place, const json_t *json, uint64_t *ret_value,
    struct lf_error *error)
{
	json_int_t value = json_integer_value(json);

	if (!json_is_integer(json) || value < 0)
		return wrong(place, "not a number of 0 or more", error);
	if ((uint64_t)value > field->max)
		return wrong(place, "too large", error);
	*ret_value = (uint64_t)value;
	return 0;
}

static int
enum_from_json(const struct config_field *field,
    const struct config_place *place, const json_t *json, unsigned *ret_value,
    struct lf_error *error)
{
	const char *value = json_string_value(json);

	if (value == NULL)
		return wrong(place, "not a string", error);
	for (unsigned i = 0; field->names[i] != NULL; i++)
		if (strcmp(field->names[i], value) == 0) {
			*ret_value = i;
			return 0;
		}
	return wrong(place, "unknown word", error);
}

static int type_from_json(const struct config_type *type,
    const struct config_place *up, const json_t *json, void *object,
    struct lf_error *error);

static int
list_from_json(const struct config_field *field,
    const struct config_place *place, const json_t *json, void *object,
    struct lf_error *error)
{
	size_t wanted = json_array_size(json);
	size_t *count = config_count(field, object);
	size_t size = sizeof(char *);
	void **list = config_at(object, field->offset);
	int rc = 0;

	if (!json_is_array(json))
		return wrong(place, "not an array", error);
	if (wanted > field->max)
		return wrong(place, "too many elements", error);
	if (wanted == 0)
		return 0;
	if (field->kind == CONFIG_LIST)
		size = field->type->size;
	*list = sys.calloc(wanted, size);
	if (*list == NULL)
		return error_nomem(error);
	while (rc == 0 && *count < wanted) {
		struct config_place at = {place->up, place->name, *count};
		const json_t *element = json_array_get(json, *count);
		const struct config_field string = {
		    .kind = CONFIG_STRING, .max = LF_QEMU_ARG_MAX};
		void *target = (char *)*list + size * (*count)++;

		if (field->kind == CONFIG_LIST)
			rc = type_from_json(
			    field->type, &at, element, target, error);
		else
			rc = string_from_json(
			    &string, &at, element, target, error);
	}
	return rc;
}

static int
field_from_json(const struct config_field *field,
    const struct config_place *place, const json_t *json, void *object,
    struct lf_error *error)
{
	void *at = config_at(object, field->offset);
	const char *text = json_string_value(json);
	uint64_t number = 0;
	int rc;

	switch (field->kind) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		return string_from_json(field, place, json, at, error);
	case CONFIG_STRINGS:
	case CONFIG_LIST:
		return list_from_json(field, place, json, object, error);
	case CONFIG_UUID:
		if (text == NULL || lf_uuid_parse(text, at) < 0)
			return wrong(place, "not a UUID", error);
		return 0;
	case CONFIG_MAC:
		if (text == NULL || lf_mac_parse(text, at) < 0)
			return wrong(place, "not a MAC address", error);
		return 0;
	case CONFIG_SIZE:
		return number_from_json(field, place, json, at, error);
	case CONFIG_UNSIGNED:
		rc = number_from_json(field, place, json, &number, error);
		if (rc == 0)
			*(unsigned *)at = (unsigned)number;
		return rc;
	case CONFIG_PORT:
		rc = number_from_json(field, place, json, &number, error);
		if (rc == 0)
			*(uint16_t *)at = (uint16_t)number;
		return rc;
	case CONFIG_ENUM:
		return enum_from_json(field, place, json, at, error);
	case CONFIG_BOOL:
		if (!json_is_boolean(json))
			return wrong(place, "not true or false", error);
		*(bool *)at = json_is_true(json);
		return 0;
	case CONFIG_STRUCT:
		return type_from_json(field->type, place, json, at, error);
	}
	return -EINVAL;
}

/* `object` has its defaults; members that are not there keep them. */
static int
type_from_json(const struct config_type *type, const struct config_place *up,
    const json_t *json, void *object, struct lf_error *error)
{
	struct config_place place = {up, "", CONFIG_NO_INDEX};
	size_t known = 0;
	const char *name;
	json_t *value;
	int rc;

	if (!json_is_object(json)) {
		if (up != NULL)
			return wrong(up, "not an object", error);
		return error_set(error, EINVAL, "not a JSON object");
	}
	for (size_t i = 0; i < type->count; i++) {
		value = json_object_get(json, type->fields[i].name);
		if (value == NULL)
			continue;
		known++;
		place.name = type->fields[i].name;
		rc = field_from_json(
		    &type->fields[i], &place, value, object, error);
		if (rc < 0)
			return rc;
	}
	if (known == json_object_size(json))
		return 0;
	json_object_foreach((json_t *)json, name, value)
	{
		bool found = false;

		for (size_t i = 0; i < type->count && !found; i++)
			found = strcmp(type->fields[i].name, name) == 0;
		place.name = name;
		if (!found)
			return wrong(&place, "unknown member", error);
	}
	return 0;
}

int
domain_config_from_value(const json_t *value,
    struct lf_domain_config **ret_config, struct lf_error *error)
{
	cleanup_config struct lf_domain_config *config = lf_domain_config_new();
	int rc;

	if (config == NULL)
		return error_nomem(error);
	rc = type_from_json(&config_type, NULL, value, config, error);
	if (rc == 0)
		rc = lf_domain_config_check(config, error);
	if (rc < 0)
		return rc;
	*ret_config = take_ptr(config);
	return 0;
}

int
lf_domain_config_from_json(const char *text, size_t len,
    struct lf_domain_config **ret_config, struct lf_error *error)
{
	cleanup_json json_t *json = NULL;
	json_error_t json_error;

	if (len > JSON_LEN_MAX)
		return error_set(error, EINVAL,
		    "a configuration of %zu bytes, more than %u", len,
		    JSON_LEN_MAX);
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &json_error);
	if (json == NULL &&
	    json_error_code(&json_error) == json_error_out_of_memory)
		return error_nomem(error);
	if (json == NULL)
		return error_set(error, EINVAL,
		    "not a configuration in JSON: line %d: %s", json_error.line,
		    json_error.text);
	return domain_config_from_value(json, ret_config, error);
}
