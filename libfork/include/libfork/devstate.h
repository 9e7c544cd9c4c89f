/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device-state files: QEMU migration streams as lf_snapshot_write_devstate()
 * writes them and `fork-vm -Q` reads them. Looked at here as a tree of
 * sections, structures and fields, named by the description that QEMU puts
 * behind the stream (migration/vmstate.c): any QEMU's file can be read, field
 * types that have no meaning outside of QEMU are bytes.
 */
#ifndef LIBFORK_DEVSTATE_H
#define LIBFORK_DEVSTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A file of more bytes is refused (its RAM records included). */
#define LF_DEVSTATE_BYTES_MAX (512U << 20)

struct lf_devstate;

enum lf_devstate_kind {
	LF_DEVSTATE_SECTION,    /* of one device instance */
	LF_DEVSTATE_STRUCT,     /* one structure, or element of an array */
	LF_DEVSTATE_SUBSECTION, /* state that is only there when needed */
	LF_DEVSTATE_INTEGERS,   /* `count` big-endian ones of element_bytes */
	LF_DEVSTATE_OPAQUE,     /* bytes that only QEMU understands */
};

/* One node; what it points to is valid as long as the devstate. */
struct lf_devstate_item {
	enum lf_devstate_kind kind;
	unsigned depth; /* 0: a section */
	const char *name;
	const char *type;     /* as QEMU names it; "" for none */
	int32_t index;        /* in an array of structures; -1: no array */
	uint32_t instance_id; /* of a section */
	uint32_t version;     /* of a section or subsection */
	const uint8_t *bytes;
	size_t len;
	uint8_t element_bytes;
	uint32_t count;
};

/*
 * Reads a file (`fd` borrowed, regular, read from 0). -EBADMSG says where it
 * is broken. So is a file that xen-save-devices-state made: it has no
 * description, and cannot be told from one that is cut.
 */
LF_API int lf_devstate_open(
    int fd, struct lf_devstate **ret_devstate, struct lf_error *error);

/* NULL is allowed. */
LF_API void lf_devstate_free(struct lf_devstate *devstate);

/* The machine type that the file is of, "" when it does not say. */
LF_API const char *lf_devstate_machine(const struct lf_devstate *devstate);

/* Called once per item, parents before children; other than 0 ends the walk. */
typedef int lf_devstate_visit_fn(
    void *opaque, const struct lf_devstate_item *item);

/* Walks the tree in the stream's order. Returns what the function returned. */
LF_API int lf_devstate_walk(const struct lf_devstate *devstate,
    lf_devstate_visit_fn *visit, void *opaque);

/*
 * Element `n` of LF_DEVSTATE_INTEGERS; 0 when there is no such element. Of a
 * signed type it is sign-extended.
 */
LF_API uint64_t lf_devstate_integer(
    const struct lf_devstate_item *item, uint32_t n);

/*
 * Called once per difference with the path of the item ("cpu[0].env.regs"),
 * `a` or `b` NULL where one file lacks it. Other than 0 ends the comparison.
 * A section whose version differs, or that one file lacks as a whole, is one
 * difference of an item of kind LF_DEVSTATE_SECTION and length 0.
 */
typedef int lf_devstate_differ_fn(void *opaque, const char *path,
    const struct lf_devstate_item *a, const struct lf_devstate_item *b);

/*
 * Compares two files item by item. Returns the count of differences, or what
 * the function returned if negative, or -ENOMEM.
 */
LF_API int lf_devstate_compare(const struct lf_devstate *a,
    const struct lf_devstate *b, lf_devstate_differ_fn *differ, void *opaque,
    struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
