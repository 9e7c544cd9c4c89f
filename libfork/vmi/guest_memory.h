/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Helpers over struct lf_guest_memory: bounded reads with a message, and
 * little-endian numbers out of a buffer.
 */
#ifndef VMI_GUEST_MEMORY_H
#define VMI_GUEST_MEMORY_H

#include <endian.h>
#include <errno.h>
#include <string.h>

#include <libfork/vmi.h>

#include "base/error.h"

/* Reads guest-physical memory or says what was wanted. */
static inline int
guest_memory_read(const struct lf_guest_memory *memory, const char *what,
    uint64_t gpa, void *buf, size_t len, struct lf_error *error)
{
	if (memory->read(memory->opaque, gpa, buf, len) < 0)
		return error_set(error, EFAULT,
		    "%s: no %zu bytes of RAM at guest-physical 0x%llx", what,
		    len, (unsigned long long)gpa);
	return 0;
}

/* Numbers at any alignment; the caller has checked the bounds. */
static inline uint16_t
get_le16(const void *bytes)
{
	uint16_t raw;

	memcpy(&raw, bytes, sizeof(raw));
	return le16toh(raw);
}

static inline uint32_t
get_le32(const void *bytes)
{
	uint32_t raw;

	memcpy(&raw, bytes, sizeof(raw));
	return le32toh(raw);
}

static inline uint64_t
get_le64(const void *bytes)
{
	uint64_t raw;

	memcpy(&raw, bytes, sizeof(raw));
	return le64toh(raw);
}

#endif
