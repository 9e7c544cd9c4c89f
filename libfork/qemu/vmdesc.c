/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdesc: JSON to a tree with offsets. The JSON comes from a process that runs
 * guest code, so depth, sizes, counts and sums are all limited. Member names
 * and their meaning: QEMU's migration/vmstate.c, vmsd_desc_field_start().
 */
#include "qemu/vmdesc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

#define DEPTH_MAX     32
#define NODES_MAX     (1024 * 1024)
#define SECTION_BYTES (256 * 1024 * 1024)

struct parser {
	const char *device;
	size_t nodes_left;
};

static int parse_nodes(struct parser *p, const json_t *object, uint32_t start,
    unsigned depth, struct vmdesc_node **ret_nodes, uint32_t *ret_count,
    uint32_t *ret_end, struct lf_error *error);

static void
free_nodes(struct vmdesc_node *nodes, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		free_nodes(nodes[i].nodes, nodes[i].node_count);
	free(nodes);
}

void
vmdesc_free(struct vmdesc *vmdesc)
{
	uint32_t i;

	if (vmdesc == NULL)
		return;
	for (i = 0; i < vmdesc->device_count; i++)
		free_nodes(
		    vmdesc->devices[i].nodes, vmdesc->devices[i].node_count);
	free(vmdesc->devices);
	json_decref(vmdesc->root);
	free(vmdesc);
}

/* Bytes before the first field of a subsection. */
static uint32_t
subsection_header(const struct vmdesc_node *subsection)
{
	return 1 + 1 + (uint32_t)strlen(subsection->name) + 4;
}

/* A string member; `missing` when it is not there. */
static const char *
text_of(const json_t *object, const char *key, const char *missing)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : missing;
}

/* A number member between 0 and `max`; `missing` when it is not there. */
static int
number_of(struct parser *p, const json_t *object, const char *key,
    int64_t missing, int64_t max, int64_t *ret, struct lf_error *error)
{
	const json_t *value = json_object_get(object, key);

	if (value == NULL && missing >= 0) {
		*ret = missing;
		return 0;
	}
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > max)
		return error_set(error, EBADMSG,
		    "vmdesc: device '%s', field '%s': no good '%s'", p->device,
		    text_of(object, "name", text_of(object, "vmsd_name", "?")),
		    key);
	*ret = json_integer_value(value);
	return 0;
}

/* Moves `*at` behind count elements of size bytes. */
static int
advance(struct parser *p, const char *name, uint32_t *at, uint64_t size,
    uint64_t count, struct lf_error *error)
{
	uint64_t bytes;

	if (__builtin_mul_overflow(size, count, &bytes) ||
	    bytes > SECTION_BYTES - *at)
		return error_set(error, EBADMSG,
		    "vmdesc: device '%s', field '%s': the section would have "
		    "more than %d bytes",
		    p->device, name, SECTION_BYTES);
	*at += (uint32_t)bytes;
	return 0;
}

/*
 * What is inside of a field: its own object for a structure, the field itself
 * for one that was put together for the stream ("tmp" and the like).
 */
static const json_t *
inside_of(const json_t *field)
{
	const json_t *inner = json_object_get(field, "struct");

	if (json_is_object(inner))
		return inner;
	return json_object_get(field, "fields") != NULL ? field : NULL;
}

static int
parse_field(struct parser *p, const json_t *field, uint32_t *at, unsigned depth,
    struct vmdesc_node *node, struct lf_error *error)
{
	const json_t *inner = inside_of(field);
	int64_t size, count, index;
	uint32_t end = 0;
	int rc;

	*node = (struct vmdesc_node){
	    .kind = VMDESC_FIELD,
	    .name = text_of(field, "name", NULL),
	    .type = text_of(field, "type", ""),
	    .offset = *at,
	    .index = -1,
	};
	if (node->name == NULL)
		return error_set(error, EBADMSG,
		    "vmdesc: device '%s': a field without a name", p->device);
	rc = number_of(p, field, "size", -1, SECTION_BYTES, &size, error);
	if (rc == 0)
		rc = number_of(
		    p, field, "array_len", 1, SECTION_BYTES, &count, error);
	if (rc == 0)
		rc = number_of(
		    p, field, "index", INT32_MAX, INT32_MAX, &index, error);
	if (rc == 0)
		rc = advance(
		    p, node->name, at, (uint64_t)size, (uint64_t)count, error);
	if (rc < 0)
		return rc;
	node->size = (uint32_t)size;
	/* Whoever walks elements of no bytes would not come to an end. */
	node->count = size > 0 ? (uint32_t)count : 1;
	if (json_object_get(field, "index") != NULL)
		node->index = (int32_t)index;
	if (inner == NULL)
		return 0;

	rc = parse_nodes(p, inner, 0, depth + 1, &node->nodes,
	    &node->node_count, &end, error);
	if (rc < 0)
		return rc;
	if (end != node->size) {
		free_nodes(node->nodes, node->node_count);
		node->nodes = NULL;
		node->node_count = 0;
	} else {
		node->kind = VMDESC_STRUCT;
	}
	return 0;
}

static int
parse_subsection(struct parser *p, const json_t *object, uint32_t *at,
    unsigned depth, struct vmdesc_node *node, struct lf_error *error)
{
	int64_t version;
	uint32_t end;
	int rc;

	*node = (struct vmdesc_node){
	    .kind = VMDESC_SUBSECTION,
	    .name = text_of(object, "vmsd_name", ""),
	    .type = "",
	    .offset = *at,
	    .count = 1,
	    .index = -1,
	};
	if (node->name[0] == '\0' || strlen(node->name) > 255)
		return error_set(error, EBADMSG,
		    "vmdesc: device '%s': a subsection without a name",
		    p->device);
	rc = number_of(p, object, "version", -1, UINT32_MAX, &version, error);
	if (rc < 0)
		return rc;
	node->version = (uint32_t)version;
	rc = parse_nodes(p, object, subsection_header(node), depth + 1,
	    &node->nodes, &node->node_count, &end, error);
	if (rc < 0)
		return rc;
	node->size = end;
	return advance(p, node->name, at, node->size, 1, error);
}

/*
 * The fields of an object, then its subsections, from offset `start` on.
 * Nodes are the caller's also after an error of a later one.
 */
static int
parse_nodes(struct parser *p, const json_t *object, uint32_t start,
    unsigned depth, struct vmdesc_node **ret_nodes, uint32_t *ret_count,
    uint32_t *ret_end, struct lf_error *error)
{
	const json_t *fields = json_object_get(object, "fields");
	const json_t *subsections = json_object_get(object, "subsections");
	size_t field_count = json_array_size(fields);
	size_t count = field_count + json_array_size(subsections);
	struct vmdesc_node *nodes;
	uint32_t at = start;
	size_t i;
	int rc = 0;

	if (depth > DEPTH_MAX || count > p->nodes_left)
		return error_set(error, EBADMSG,
		    "vmdesc: device '%s': more than %d levels or %d fields",
		    p->device, DEPTH_MAX, NODES_MAX);
	p->nodes_left -= count;
	*ret_end = at;
	if (count == 0)
		return 0;
	nodes = sys.calloc(count, sizeof(*nodes));
	if (nodes == NULL)
		return error_nomem(error);

	for (i = 0; i < count && rc == 0; i++)
		rc = i < field_count
			 ? parse_field(p, json_array_get(fields, i), &at, depth,
			       &nodes[i], error)
			 : parse_subsection(p,
			       json_array_get(subsections, i - field_count),
			       &at, depth, &nodes[i], error);
	if (rc < 0) {
		free_nodes(nodes, (uint32_t)count);
		return rc;
	}
	*ret_nodes = nodes;
	*ret_count = (uint32_t)count;
	*ret_end = at;
	return 0;
}

static int
parse_device(struct parser *p, const json_t *object,
    struct vmdesc_device *device, struct lf_error *error)
{
	int64_t instance_id, version;
	int rc;

	device->name = text_of(object, "name", NULL);
	device->vmsd_name = text_of(object, "vmsd_name", "");
	if (device->name == NULL || strlen(device->name) > 255)
		return error_set(
		    error, EBADMSG, "vmdesc: a device without a name");
	p->device = device->name;
	rc = number_of(
	    p, object, "instance_id", -1, UINT32_MAX, &instance_id, error);
	/* Sections that are not tables have their version in the stream only.
	 */
	if (rc == 0)
		rc = number_of(
		    p, object, "version", 0, UINT32_MAX, &version, error);
	if (rc < 0)
		return rc;
	device->instance_id = (uint32_t)instance_id;
	device->version = (uint32_t)version;
	return parse_nodes(p, object, 0, 0, &device->nodes, &device->node_count,
	    &device->size, error);
}

static int
parse_devices(struct vmdesc *vmdesc, struct lf_error *error)
{
	const json_t *devices = json_object_get(vmdesc->root, "devices");
	const json_t *page_size = json_object_get(vmdesc->root, "page_size");
	struct parser p = {.device = "", .nodes_left = NODES_MAX};
	size_t count = json_array_size(devices);
	size_t i;

	if (!json_is_array(devices) || count == 0)
		return error_set(error, EBADMSG, "vmdesc: no devices in it");
	if (json_integer_value(page_size) != 4096)
		return error_set(error, EBADMSG,
		    "vmdesc: pages of %lld bytes, 4096 are wanted",
		    (long long)json_integer_value(page_size));
	vmdesc->devices = sys.calloc(count, sizeof(*vmdesc->devices));
	if (vmdesc->devices == NULL)
		return error_nomem(error);
	vmdesc->device_count = (uint32_t)count;
	for (i = 0; i < count; i++) {
		int rc = parse_device(
		    &p, json_array_get(devices, i), &vmdesc->devices[i], error);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int
vmdesc_parse(const void *text, size_t len, struct vmdesc **ret_vmdesc,
    struct lf_error *error)
{
	cleanup(vmdesc_free_p) struct vmdesc *vmdesc = NULL;
	json_error_t why;
	int rc;

	if (len > VMDESC_BYTES_MAX)
		return error_set(error, EMSGSIZE,
		    "vmdesc: %zu bytes, at most %d are read", len,
		    VMDESC_BYTES_MAX);
	vmdesc = sys.calloc(1, sizeof(*vmdesc));
	if (vmdesc == NULL)
		return error_nomem(error);
	/* QEMU repeats members for list elements: duplicates are no error. */
	vmdesc->root = json_loadb(text, len, 0, &why);
	if (vmdesc->root == NULL)
		return error_set(error, EBADMSG, "vmdesc: not JSON: %s (at %d)",
		    why.text, why.position);
	rc = parse_devices(vmdesc, error);
	if (rc < 0)
		return rc;
	*ret_vmdesc = take_ptr(vmdesc);
	return 0;
}

const struct vmdesc_node *
vmdesc_find(const struct vmdesc_node *nodes, uint32_t node_count,
    const char *name, int32_t index)
{
	uint32_t i;

	for (i = 0; i < node_count; i++)
		if (strcmp(nodes[i].name, name) == 0 &&
		    (index < 0 || nodes[i].index == index))
			return &nodes[i];
	return NULL;
}

/* The node that holds the byte; NULL for bytes of a subsection's header. */
static const struct vmdesc_node *
node_at(const struct vmdesc_node *nodes, uint32_t node_count, uint32_t offset)
{
	uint32_t i;

	for (i = 0; i < node_count; i++)
		if (offset >= nodes[i].offset &&
		    offset - nodes[i].offset <
			(uint64_t)nodes[i].size * nodes[i].count)
			return &nodes[i];
	return NULL;
}

void
vmdesc_name_offset(
    const struct vmdesc_device *device, uint32_t offset, char *buf, size_t size)
{
	const struct vmdesc_node *nodes = device->nodes;
	uint32_t node_count = device->node_count;
	size_t used = 0;

	snprintf(buf, size, "byte %u", offset);
	while (used < size) {
		const struct vmdesc_node *node =
		    node_at(nodes, node_count, offset);
		uint32_t element;
		int n;

		if (node == NULL)
			return;
		element = (offset - node->offset) / node->size;
		offset -= node->offset + element * node->size;
		n = snprintf(buf + used, size - used, "%s%s",
		    used > 0 ? "." : "", node->name);
		used += n > 0 ? (size_t)n : 0;
		if (node->index >= 0)
			element = (uint32_t)node->index;
		if (used < size && (node->count > 1 || node->index >= 0)) {
			n = snprintf(buf + used, size - used, "[%u]", element);
			used += n > 0 ? (size_t)n : 0;
		}
		nodes = node->nodes;
		node_count = node->node_count;
	}
}
