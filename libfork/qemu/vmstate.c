/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading and saving of sections by table. Integers are big-endian on the
 * wire and in the host's order in the struct; both directions walk the same
 * fields.
 */
#include "qemu/vmstate.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "qemu/stream.h"

/* Bytes of one element on the wire. */
static size_t
element_bytes(const struct vmstate_field *field)
{
	const struct vmstate_field *inner;
	size_t bytes = field->bytes;

	for (inner = field->fields; inner != NULL && inner->name != NULL;
	     inner++)
		bytes += element_bytes(inner) * inner->count;
	return bytes;
}

static void
load_integer(const uint8_t *bytes, uint8_t size, uint8_t *to)
{
	uint64_t value = 0;
	unsigned i;

	for (i = 0; i < size; i++)
		value = value << 8 | bytes[i];
	/* The host is little-endian, as every x86 is. */
	memcpy(to, &value, size);
}

static void
save_integer(const uint8_t *from, uint8_t size, struct writer *w)
{
	uint64_t value = 0;

	memcpy(&value, from, size);
	value = htobe64(value);
	writer_bytes(w, (uint8_t *)&value + sizeof(value) - size, size);
}

static const uint8_t *
load_elements(const struct vmstate_field *field, const uint8_t *bytes, void *to)
{
	unsigned i;

	for (i = 0; i < field->count; i++) {
		uint8_t *element =
		    (uint8_t *)to + field->offset + i * field->stride;
		const struct vmstate_field *inner;

		if (field->fields == NULL) {
			load_integer(bytes, field->bytes, element);
			bytes += field->bytes;
			continue;
		}
		for (inner = field->fields; inner->name != NULL; inner++)
			bytes = load_elements(inner, bytes, element);
	}
	return bytes;
}

static void
save_elements(
    const struct vmstate_field *field, const void *from, struct writer *w)
{
	unsigned i;

	for (i = 0; i < field->count; i++) {
		const uint8_t *element =
		    (const uint8_t *)from + field->offset + i * field->stride;
		const struct vmstate_field *inner;

		if (field->fields == NULL) {
			save_integer(element, field->bytes, w);
			continue;
		}
		for (inner = field->fields; inner->name != NULL; inner++)
			save_elements(inner, element, w);
	}
}

/*
 * Some names occur twice in a section. QEMU's description tells them apart by
 * a number behind the name, or not at all.
 */
static bool
has_name(const struct vmdesc_node *node, const struct vmstate_field *field,
    unsigned seen)
{
	size_t len = strlen(field->name);
	char number[8];

	if (strncmp(node->name, field->name, len) != 0)
		return false;
	snprintf(number, sizeof(number), "[%u]", field->occurrence);
	return strcmp(node->name + len, number) == 0 ||
	       (node->name[len] == '\0' && seen == field->occurrence);
}

/*
 * The field's first node. QEMU describes an array either once, with a count,
 * or element by element, with an index; the elements follow each other on the
 * wire in both cases.
 */
static const struct vmdesc_node *
find_field(const struct vmstate_field *field, const struct vmdesc_node *nodes,
    uint32_t node_count)
{
	unsigned seen = 0;
	uint32_t i;

	for (i = 0; i < node_count; i++) {
		if (nodes[i].kind == VMDESC_SUBSECTION || nodes[i].index > 0)
			continue;
		if (has_name(&nodes[i], field, seen))
			return &nodes[i];
		if (strcmp(nodes[i].name, field->name) == 0)
			seen++;
	}
	return NULL;
}

/* Bytes that the description gives the field, all elements together. */
static size_t
described_bytes(const struct vmdesc_node *node, const struct vmdesc_node *end)
{
	const struct vmdesc_node *next = node + 1;
	size_t bytes = (size_t)node->size * node->count;

	if (node->index != 0)
		return bytes;
	for (; next < end && next->index > 0 &&
	       strcmp(next->name, node->name) == 0;
	     next++)
		bytes += (size_t)next->size * next->count;
	return bytes;
}

/* A section or a subsection of one: its bytes, and their description. */
struct part {
	const char *name;
	const struct vmdesc_node *nodes;
	uint32_t node_count;
	const uint8_t *body;
	size_t len;
};

static int
load_fields(const struct part *part, const struct vmstate_field *fields,
    void *state, struct lf_error *error)
{
	const struct vmstate_field *field;

	for (field = fields; field->name != NULL; field++) {
		const struct vmdesc_node *node =
		    find_field(field, part->nodes, part->node_count);
		size_t wanted = element_bytes(field) * field->count, found;

		if (node == NULL)
			return error_set(error, EBADMSG,
			    "section '%s': it has no field '%s'", part->name,
			    field->name);
		found = described_bytes(node, part->nodes + part->node_count);
		if (found != wanted)
			return error_set(error, EBADMSG,
			    "section '%s', field '%s': %zu bytes, %zu wanted",
			    part->name, field->name, found, wanted);
		if (node->offset > part->len ||
		    wanted > part->len - node->offset)
			return error_set(error, EBADMSG,
			    "section '%s', field '%s': %zu bytes wanted, the "
			    "section ends at 0x%zx",
			    part->name, field->name, wanted, part->len);
		load_elements(field, part->body + node->offset, state);
	}
	return 0;
}

int
vmstate_subsection_index(const struct vmstate_table *table, const char *name)
{
	int i;

	for (i = 0;
	     table->subsections != NULL && table->subsections[i].name != NULL;
	     i++)
		if (strcmp(table->subsections[i].name, name) == 0)
			return i;
	return -1;
}

static int
load_subsection(const struct vmstate_table *table,
    const struct vmdesc_node *node, const uint8_t *bytes, void *state,
    struct vmstate_found *found, struct lf_error *error)
{
	int index = vmstate_subsection_index(table, node->name);
	const struct vmstate_subsection *subsection;
	const struct part part = {.name = node->name,
	    .nodes = node->nodes,
	    .node_count = node->node_count,
	    .body = bytes,
	    .len = node->size};

	if (index < 0)
		return error_set(error, ENOTSUP,
		    "section '%s': subsection '%s' is state that libfork does "
		    "not know",
		    table->name, node->name);
	subsection = &table->subsections[index];
	if (node->version != subsection->version)
		return error_set(error, ENOTSUP,
		    "section '%s': subsection '%s' has version %u, libfork "
		    "knows %u",
		    table->name, node->name, node->version,
		    subsection->version);
	found->present |= UINT64_C(1) << index;
	found->opaque[index].bytes = bytes;
	found->opaque[index].len = node->size;
	if (subsection->fields == NULL)
		return 0;
	return load_fields(&part, subsection->fields, state, error);
}

int
vmstate_load(const struct vmstate_table *table,
    const struct vmdesc_device *device, const uint8_t *body, void *state,
    struct vmstate_found *ret_found, struct lf_error *error)
{
	const struct part part = {.name = table->name,
	    .nodes = device->nodes,
	    .node_count = device->node_count,
	    .body = body,
	    .len = device->size};
	uint32_t i;
	int rc;

	*ret_found = (struct vmstate_found){0};
	if (device->version != table->version)
		return error_set(error, ENOTSUP,
		    "section '%s' has version %u, libfork knows %u",
		    table->name, device->version, table->version);
	rc = load_fields(&part, table->fields, state, error);
	for (i = 0; rc == 0 && i < device->node_count; i++) {
		const struct vmdesc_node *node = &device->nodes[i];

		if (node->kind != VMDESC_SUBSECTION)
			continue;
		if (node->offset > device->size ||
		    node->size > device->size - node->offset)
			return error_set(error, EBADMSG,
			    "section '%s': subsection '%s' ends behind the "
			    "section",
			    table->name, node->name);
		rc = load_subsection(
		    table, node, body + node->offset, state, ret_found, error);
	}
	return rc;
}

static void
save_fields(
    const struct vmstate_field *fields, const void *state, struct writer *w)
{
	const struct vmstate_field *field;

	for (field = fields; field->name != NULL; field++)
		save_elements(field, state, w);
}

static bool
is_written(const struct vmstate_subsection *subsection, unsigned index,
    const struct vmstate_found *found, const void *state)
{
	if (subsection->needed != NULL)
		return subsection->needed(state);
	return (found->present >> index & 1) != 0;
}

void
vmstate_save(const struct vmstate_table *table,
    const struct vmstate_found *found, const void *state, struct writer *w)
{
	const struct vmstate_subsection *subsection = table->subsections;
	unsigned i;

	save_fields(table->fields, state, w);
	for (i = 0; subsection != NULL && subsection->name != NULL;
	     subsection++, i++) {
		if (!is_written(subsection, i, found, state))
			continue;
		if (subsection->fields == NULL) {
			writer_bytes(
			    w, found->opaque[i].bytes, found->opaque[i].len);
			continue;
		}
		writer_u8(w, STREAM_SUBSECTION);
		writer_counted_string(w, subsection->name);
		writer_be32(w, subsection->version);
		save_fields(subsection->fields, state, w);
	}
}

/* --- description --- */

static json_t *describe_fields(const struct vmstate_field *fields);

static json_t *
describe_field(const struct vmstate_field *field)
{
	char type[16];
	json_t *object;

	snprintf(type, sizeof(type), "uint%u", 8U * field->bytes);
	object = json_pack("{s:s, s:s, s:i}", "name", field->name, "type",
	    field->fields == NULL ? type : "struct", "size",
	    (int)element_bytes(field));
	if (object != NULL && field->count > 1)
		json_object_set_new(
		    object, "array_len", json_integer(field->count));
	if (object != NULL && field->fields != NULL)
		json_object_set_new(object, "struct",
		    json_pack("{s:s, s:i, s:o}", "vmsd_name", field->name,
			"version", 1, "fields",
			describe_fields(field->fields)));
	return object;
}

static json_t *
describe_fields(const struct vmstate_field *fields)
{
	json_t *array = json_array();
	const struct vmstate_field *field;

	for (field = fields; field->name != NULL; field++)
		json_array_append_new(array, describe_field(field));
	return array;
}

static json_t *
find_described(const json_t *old, const char *name)
{
	size_t i;
	json_t *one;

	json_array_foreach(old, i, one)
	{
		const char *its =
		    json_string_value(json_object_get(one, "vmsd_name"));

		if (its != NULL && strcmp(its, name) == 0)
			return json_incref(one);
	}
	return NULL;
}

json_t *
vmstate_describe(const struct vmstate_table *table,
    const struct vmstate_found *found, const void *state, const json_t *old)
{
	const struct vmstate_subsection *subsection = table->subsections;
	json_t *array = json_array();
	unsigned i;

	for (i = 0; subsection != NULL && subsection->name != NULL;
	     subsection++, i++) {
		json_t *one;

		if (!is_written(subsection, i, found, state))
			continue;
		one = find_described(old, subsection->name);
		if (one == NULL)
			one = json_pack("{s:s, s:i, s:o}", "vmsd_name",
			    subsection->name, "version",
			    (int)subsection->version, "fields",
			    describe_fields(subsection->fields));
		if (json_array_append_new(array, one) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}
