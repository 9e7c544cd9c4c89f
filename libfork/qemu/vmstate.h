/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sections of the stream that libfork itself reads and writes ("cpu", "apic",
 * "kvmclock" ...), each described once by a table that drives loading and
 * saving. Loading goes by the stream's own description, so that fields may
 * move between QEMU versions; saving writes QEMU 7.2's order, which is the
 * table's (migration/vmstate.c).
 *
 * It knows bytes and C structs, not what they mean.
 */
#ifndef QEMU_VMSTATE_H
#define QEMU_VMSTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "base/writer.h"
#include "qemu/vmdesc.h"

/* One field, or an array of them; a table ends with a name of NULL. */
struct vmstate_field {
	const char *name;   /* as QEMU calls it */
	size_t offset;      /* in the C struct */
	uint8_t bytes;      /* of an integer: 1, 2, 4, 8; 0: a struct */
	uint8_t occurrence; /* of the name: QEMU uses some twice */
	uint16_t count;     /* of elements */
	size_t stride;      /* C bytes from element to element */
	const struct vmstate_field *fields; /* of a struct */
};

#define VMSTATE_MAX_SUBSECTIONS 64

struct vmstate_subsection {
	const char *name;
	uint32_t version;
	/* NULL: opaque, kept as it came and written back unchanged. */
	const struct vmstate_field *fields;
	/* Whether to write it; NULL: when it was there at loading. */
	bool (*needed)(const void *state);
};

struct vmstate_table {
	const char *name; /* of the section */
	uint32_t version;
	const struct vmstate_field *fields;
	const struct vmstate_subsection *subsections; /* may be NULL */
};

/* What loading found, beside the values. Bytes are borrowed. */
struct vmstate_found {
	uint64_t present; /* bit N: subsection N of the table */
	struct {
		const uint8_t *bytes; /* with its header */
		size_t len;
	} opaque[VMSTATE_MAX_SUBSECTIONS];
};

/*
 * Reads a section's body into `state`; fields of subsections that are not
 * there keep the value they have. `body` are device->size bytes. -ENOTSUP
 * names a subsection that the table does not know, -EBADMSG a field that is
 * missing or has another size.
 */
int vmstate_load(const struct vmstate_table *table,
    const struct vmdesc_device *device, const uint8_t *body, void *state,
    struct vmstate_found *ret_found, struct lf_error *error);

/* Writes a section's body. `found` says what its origin had. */
void vmstate_save(const struct vmstate_table *table,
    const struct vmstate_found *found, const void *state, struct writer *w);

/*
 * The description of the subsections that vmstate_save() writes, as QEMU puts
 * it behind a stream: a JSON array, the caller's. What `old` (an array or
 * NULL) says of a subsection is taken over. NULL: out of memory.
 */
json_t *vmstate_describe(const struct vmstate_table *table,
    const struct vmstate_found *found, const void *state, const json_t *old);

/* The table's number of a subsection, for vmstate_found; -1: none. */
int vmstate_subsection_index(
    const struct vmstate_table *table, const char *name);

/* Entries of the tables. */
#define VMSTATE_INT(qemu_name, type, member)                           \
	{                                                              \
		.name = (qemu_name), .offset = offsetof(type, member), \
		.bytes = sizeof(((type *)0)->member), .count = 1       \
	}
#define VMSTATE_INTS(qemu_name, type, member)                          \
	{                                                              \
		.name = (qemu_name), .offset = offsetof(type, member), \
		.bytes = sizeof(((type *)0)->member[0]),               \
		.stride = sizeof(((type *)0)->member[0]),              \
		.count = sizeof(((type *)0)->member) /                 \
			 sizeof(((type *)0)->member[0])                \
	}
#define VMSTATE_SUB(qemu_name, type, member, table)                    \
	{                                                              \
		.name = (qemu_name), .offset = offsetof(type, member), \
		.count = 1, .fields = (table)                          \
	}
#define VMSTATE_SUBS(qemu_name, type, member, table, nth)              \
	{                                                              \
		.name = (qemu_name), .offset = offsetof(type, member), \
		.stride = sizeof(((type *)0)->member[0]),              \
		.count = sizeof(((type *)0)->member) /                 \
			 sizeof(((type *)0)->member[0]),               \
		.fields = (table), .occurrence = (nth)                 \
	}

#endif
