/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The description that QEMU puts behind a migration stream: JSON that names
 * every field of every device section with its size. Sections have no length
 * of their own; this is how a reader finds their ends.
 *
 * The tree keeps the stream's order. Offsets are relative to the parent, so
 * that the tree of one array element serves for all of them. Where the JSON
 * does not add up (QEMU describes only the last element of some lists), the
 * field is opaque: its size is right, its inside unknown.
 */
#ifndef QEMU_VMDESC_H
#define QEMU_VMDESC_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <libfork/error.h>

#include "base/cleanup.h"

/* A description is some 250 KB for a large guest. */
#define VMDESC_BYTES_MAX (16 * 1024 * 1024)

enum vmdesc_kind {
	VMDESC_FIELD, /* bytes of a type that QEMU named */
	VMDESC_STRUCT,
	VMDESC_SUBSECTION, /* 0x05, counted name, be32 version, fields */
};

struct vmdesc_node {
	enum vmdesc_kind kind;
	const char *name;
	const char *type;    /* "uint32", "buffer"; "struct"; "" */
	uint32_t version;    /* of a subsection */
	uint32_t offset;     /* of the first element, from the parent's start */
	uint32_t size;       /* of one element */
	uint32_t count;      /* elements, 1 unless an array */
	int32_t index;       /* of one element of an array; -1: none */
	uint32_t node_count; /* fields first, then subsections */
	struct vmdesc_node *nodes;
};

struct vmdesc_device {
	const char *name;      /* of the section */
	const char *vmsd_name; /* of its type; "" for the oldest kind */
	uint32_t instance_id;
	uint32_t version;
	uint32_t size; /* of the section's body */
	uint32_t node_count;
	struct vmdesc_node *nodes;
};

struct vmdesc {
	json_t *root; /* holds all names */
	uint32_t device_count;
	struct vmdesc_device *devices; /* in the stream's order */
};

/* Parses the JSON text. -EBADMSG says which device and field is wrong. */
int vmdesc_parse(const void *text, size_t len, struct vmdesc **ret_vmdesc,
    struct lf_error *error);
void vmdesc_free(struct vmdesc *vmdesc);
DEFINE_CLEANUP(struct vmdesc *, vmdesc_free);

/* The child of that name; index -1: the first one. NULL when there is none. */
const struct vmdesc_node *vmdesc_find(const struct vmdesc_node *nodes,
    uint32_t node_count, const char *name, int32_t index);

/*
 * Which field a byte of the section's body belongs to, as text:
 * "env.regs[3]", "cpu/fpop_ip_dp.env.fpop". Always terminates `buf`.
 */
void vmdesc_name_offset(const struct vmdesc_device *device, uint32_t offset,
    char *buf, size_t size);

#endif
