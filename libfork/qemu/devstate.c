/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device-state files as a tree of items. The tree is the description's; items
 * are made while walking, one element of an array of structures after the
 * other.
 */
#include <libfork/devstate.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "qemu/devfile.h"
#include "qemu/stream.h"

#define PATH_MAX_BYTES 1024

struct lf_devstate {
	struct devfile *file;
};

int
lf_devstate_open(
    int fd, struct lf_devstate **ret_devstate, struct lf_error *error)
{
	struct lf_devstate *devstate = sys.calloc(1, sizeof(*devstate));
	int rc;

	if (devstate == NULL)
		return error_nomem(error);
	rc = devfile_read(fd, NULL, &devstate->file, error);
	if (rc < 0) {
		free(devstate);
		return rc;
	}
	*ret_devstate = devstate;
	return 0;
}

void
lf_devstate_free(struct lf_devstate *devstate)
{
	if (devstate == NULL)
		return;
	devfile_free(devstate->file);
	free(devstate);
}

const char *
lf_devstate_machine(const struct lf_devstate *devstate)
{
	return devstate->file->stream->machine;
}

/* Types that are integers of their size; the rest is QEMU's business. */
static bool
is_integer(const struct vmdesc_node *node)
{
	static const char *const prefixes[] = {"uint", "int", "bool"};
	size_t i;

	if (node->size != 1 && node->size != 2 && node->size != 4 &&
	    node->size != 8)
		return false;
	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(node->type, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static int walk_nodes(const struct vmdesc_node *nodes, uint32_t count,
    const uint8_t *bytes, unsigned depth, lf_devstate_visit_fn *visit,
    void *opaque);

static int
walk_struct(const struct vmdesc_node *node, const uint8_t *bytes,
    unsigned depth, lf_devstate_visit_fn *visit, void *opaque)
{
	struct lf_devstate_item item = {
	    .kind = node->kind == VMDESC_SUBSECTION ? LF_DEVSTATE_SUBSECTION
						    : LF_DEVSTATE_STRUCT,
	    .depth = depth,
	    .name = node->name,
	    .type = node->type,
	    .index = node->index,
	    .version = node->version,
	    .len = node->size,
	    .count = 1,
	};
	uint32_t i;
	int rc;

	for (i = 0; i < node->count; i++) {
		item.bytes = bytes + (size_t)i * node->size;
		if (node->count > 1)
			item.index = (int32_t)i;
		rc = visit(opaque, &item);
		if (rc == 0)
			rc = walk_nodes(node->nodes, node->node_count,
			    item.bytes, depth + 1, visit, opaque);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
walk_nodes(const struct vmdesc_node *nodes, uint32_t count,
    const uint8_t *bytes, unsigned depth, lf_devstate_visit_fn *visit,
    void *opaque)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < count && rc == 0; i++) {
		const struct vmdesc_node *node = &nodes[i];
		const uint8_t *at = bytes + node->offset;
		struct lf_devstate_item item = {
		    .kind = is_integer(node) ? LF_DEVSTATE_INTEGERS
					     : LF_DEVSTATE_OPAQUE,
		    .depth = depth,
		    .name = node->name,
		    .type = node->type,
		    .index = node->index,
		    .bytes = at,
		    .len = (size_t)node->size * node->count,
		    .element_bytes = (uint8_t)node->size,
		    .count = node->count,
		};

		if (item.kind == LF_DEVSTATE_OPAQUE) {
			item.element_bytes = 0;
			item.count = 1;
		}
		rc = node->kind == VMDESC_FIELD
			 ? visit(opaque, &item)
			 : walk_struct(node, at, depth, visit, opaque);
	}
	return rc;
}

static int
walk_section(const struct stream *stream, const struct stream_section *section,
    lf_devstate_visit_fn *visit, void *opaque)
{
	struct lf_devstate_item item = {
	    .kind = LF_DEVSTATE_SECTION,
	    .name = section->name,
	    .type = section->device->vmsd_name,
	    .index = -1,
	    .instance_id = section->instance_id,
	    .version = section->version,
	    .bytes = stream->data + section->offset,
	    .len = section->length,
	    .count = 1,
	};
	int rc = visit(opaque, &item);

	if (rc != 0)
		return rc;
	return walk_nodes(section->device->nodes, section->device->node_count,
	    item.bytes, 1, visit, opaque);
}

int
lf_devstate_walk(const struct lf_devstate *devstate,
    lf_devstate_visit_fn *visit, void *opaque)
{
	const struct stream *stream = devstate->file->stream;
	size_t i;
	int rc = 0;

	for (i = 0; i < stream->section_count && rc == 0; i++)
		rc = walk_section(stream, &stream->sections[i], visit, opaque);
	return rc;
}

uint64_t
lf_devstate_integer(const struct lf_devstate_item *item, uint32_t n)
{
	const uint8_t *bytes = item->bytes + (size_t)n * item->element_bytes;
	uint64_t value = 0;
	unsigned i;

	if (item->kind != LF_DEVSTATE_INTEGERS || n >= item->count)
		return 0;
	if (item->type[0] == 'i' && (bytes[0] & 0x80))
		value = UINT64_MAX;
	for (i = 0; i < item->element_bytes; i++)
		value = value << 8 | bytes[i];
	return value;
}

/*
 * Comparing: the leaves of each file as a list of paths. Both lists are in the
 * streams' order; a leaf of one is looked for in the other from where the last
 * one was found on, and anywhere if it is not there.
 */

struct leaf {
	char *path;
	struct lf_devstate_item item;
	bool met;
};

struct leaves {
	struct leaf *leaf;
	size_t count, size;
	char path[PATH_MAX_BYTES];
	size_t path_end[64]; /* by depth */
};

static int
collect(void *opaque, const struct lf_devstate_item *item)
{
	struct leaves *leaves = opaque;
	size_t at = item->depth > 0 ? leaves->path_end[item->depth - 1] : 0;
	struct leaf *leaf;

	if (item->depth >= sizeof(leaves->path_end) / sizeof(size_t))
		return 0;
	at += (size_t)snprintf(leaves->path + at, PATH_MAX_BYTES - at, "%s%s",
	    item->depth > 0 ? "." : "", item->name);
	if (at < PATH_MAX_BYTES && item->kind == LF_DEVSTATE_SECTION)
		at += (size_t)snprintf(leaves->path + at, PATH_MAX_BYTES - at,
		    "[%u]", item->instance_id);
	else if (at < PATH_MAX_BYTES && item->index >= 0)
		at += (size_t)snprintf(leaves->path + at, PATH_MAX_BYTES - at,
		    "[%d]", item->index);
	if (at >= PATH_MAX_BYTES)
		at = PATH_MAX_BYTES - 1;
	leaves->path_end[item->depth] = at;
	/* A section is in the list for its version, without its bytes. */
	if (item->kind == LF_DEVSTATE_STRUCT ||
	    item->kind == LF_DEVSTATE_SUBSECTION)
		return 0;

	if (leaves->count == leaves->size) {
		size_t size = leaves->size > 0 ? 2 * leaves->size : 1024;

		leaf = sys.realloc(leaves->leaf, size * sizeof(*leaf));
		if (leaf == NULL)
			return -ENOMEM;
		leaves->leaf = leaf;
		leaves->size = size;
	}
	leaf = &leaves->leaf[leaves->count];
	*leaf = (struct leaf){.item = *item, .path = sys.strdup(leaves->path)};
	if (leaf->path == NULL)
		return -ENOMEM;
	if (item->kind == LF_DEVSTATE_SECTION)
		leaf->item.len = 0;
	leaves->count++;
	return 0;
}

static void
leaves_done(struct leaves *leaves)
{
	size_t i;

	for (i = 0; i < leaves->count; i++)
		free(leaves->leaf[i].path);
	free(leaves->leaf);
}

static struct leaf *
find_leaf(struct leaves *leaves, const char *path, size_t *from)
{
	size_t i;

	for (i = 0; i < leaves->count; i++) {
		size_t at = (*from + i) % leaves->count;
		struct leaf *leaf = &leaves->leaf[at];

		if (!leaf->met && strcmp(leaf->path, path) == 0) {
			*from = at + 1;
			return leaf;
		}
	}
	return NULL;
}

/* The last of the leaves that belong to the section at `at`. */
static size_t
section_end(const struct leaves *leaves, size_t at)
{
	while (at + 1 < leaves->count &&
	       leaves->leaf[at + 1].item.kind != LF_DEVSTATE_SECTION)
		at++;
	return at;
}

/* A section that only one file has is one difference, not one for each leaf. */
static int
compare_leaves(struct leaves *a, struct leaves *b,
    lf_devstate_differ_fn *differ, void *opaque)
{
	int differences = 0, rc = 0;
	size_t i, from = 0;

	for (i = 0; i < a->count && rc >= 0; i++) {
		struct leaf *mine = &a->leaf[i];
		struct leaf *other = find_leaf(b, mine->path, &from);

		if (other != NULL)
			other->met = true;
		if (other != NULL && other->item.len == mine->item.len &&
		    other->item.version == mine->item.version &&
		    memcmp(other->item.bytes, mine->item.bytes,
			mine->item.len) == 0)
			continue;
		differences++;
		rc = differ(opaque, mine->path, &mine->item,
		    other != NULL ? &other->item : NULL);
		if (other == NULL && mine->item.kind == LF_DEVSTATE_SECTION)
			i = section_end(a, i);
	}
	for (i = 0; i < b->count && rc >= 0; i++) {
		if (b->leaf[i].met)
			continue;
		differences++;
		rc = differ(opaque, b->leaf[i].path, NULL, &b->leaf[i].item);
		if (b->leaf[i].item.kind == LF_DEVSTATE_SECTION)
			i = section_end(b, i);
	}
	return rc < 0 ? rc : differences;
}

int
lf_devstate_compare(const struct lf_devstate *a, const struct lf_devstate *b,
    lf_devstate_differ_fn *differ, void *opaque, struct lf_error *error)
{
	struct leaves left = {0}, right = {0};
	int rc = lf_devstate_walk(a, collect, &left);

	if (rc == 0)
		rc = lf_devstate_walk(b, collect, &right);
	rc = rc < 0 ? error_nomem(error)
		    : compare_leaves(&left, &right, differ, opaque);
	leaves_done(&left);
	leaves_done(&right);
	return rc;
}
