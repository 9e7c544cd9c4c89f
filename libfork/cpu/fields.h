/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fields of the state table's fixed groups: one row each, used to compare
 * and to print. XSAVE image, LAPIC page and MSRs, whose content varies, have
 * functions of their own in state.c.
 */
#ifndef CPU_FIELDS_H
#define CPU_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/state.h"

enum cpu_field_kind {
	CPU_FIELD_EXACT,
	CPU_FIELD_SEGMENT, /* a whole struct cpu_segment */
	CPU_FIELD_PDPTR,   /* counts only with CPU_SREGS_PDPTRS_VALID */
	CPU_FIELD_SHADOW,  /* CPU_SHADOW_x */
	CPU_FIELD_SHOWN,   /* printed, never compared */
};

struct cpu_field {
	enum cpu_group_index group;
	enum cpu_field_kind kind;
	const char *name;
	uint16_t offset; /* in struct cpu_state */
	uint8_t size;    /* 1, 2, 4 or 8 bytes; a segment's own */
};

extern const struct cpu_field cpu_fields[];
extern const size_t cpu_field_count;

#endif
