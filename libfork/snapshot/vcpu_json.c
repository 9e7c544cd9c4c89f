/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPU states and CPUID tables in JSON.
 */
#include "snapshot/vcpu_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "cpu/cpuid.h"
#include "cpu/fields.h"
#include "cpu/state.h"
#include "snapshot/hex_json.h"

/* No XSAVE image of any CPU is larger. */
#define XSAVE_MAX (64U << 10)

/* --- fields --- */

/* What cpu/fields.h does not list because it is neither shown nor compared. */
static const struct {
	enum cpu_group_index group;
	const char *name;
	uint16_t offset;
	uint8_t size;
} more_fields[] = {
#define ROW(index, path)                                                    \
	{                                                                   \
		CPU_INDEX_##index, #path, offsetof(struct cpu_state, path), \
		    sizeof(((struct cpu_state *)0)->path)                   \
	}
    ROW(SREGS, sregs.flags),
    ROW(DEBUGREGS, debugregs.flags),
    ROW(TSC, tsc.offset),
    ROW(TSC, tsc.has_offset),
    ROW(LAPIC, lapic.present),
#undef ROW
};

#define MORE_COUNT (sizeof(more_fields) / sizeof(more_fields[0]))

static json_t *
segment_write(const struct cpu_segment *s)
{
	return json_pack("[o,i,i,i,i,i,i,i,i,i,i,i]", hex_number_write(s->base),
	    (int)s->limit, s->selector, s->type, s->present, s->dpl, s->db,
	    s->s, s->l, s->g, s->avl, s->unusable);
}

static int
segment_read(const json_t *value, const char *name, struct cpu_segment *s,
    struct lf_error *error)
{
	static const uint32_t max[] = {
	    0, 0, 0xffff, 15, 1, 3, 1, 1, 1, 1, 1, 1};
	json_int_t part[12] = {0};
	uint64_t base;
	size_t i;
	int rc;

	if (json_array_size(value) != 12)
		return error_set(
		    error, EBADMSG, "field '%s' is no segment", name);
	rc = hex_number_read(
	    json_array_get(value, 0), name, UINT64_MAX, &base, error);
	if (rc < 0)
		return rc;
	for (i = 1; i < 12; i++) {
		const json_t *element = json_array_get(value, i);

		part[i] = json_integer_value(element);
		if (!json_is_integer(element) ||
		    (i > 1 && (part[i] < 0 || part[i] > max[i])))
			return error_set(error, EBADMSG,
			    "field '%s' is no segment: element %zu", name, i);
	}
	*s = (struct cpu_segment){
	    .base = base,
	    .limit = (uint32_t)part[1],
	    .selector = (uint16_t)part[2],
	    .type = (uint8_t)part[3],
	    .present = (uint8_t)part[4],
	    .dpl = (uint8_t)part[5],
	    .db = (uint8_t)part[6],
	    .s = (uint8_t)part[7],
	    .l = (uint8_t)part[8],
	    .g = (uint8_t)part[9],
	    .avl = (uint8_t)part[10],
	    .unusable = (uint8_t)part[11],
	};
	return 0;
}

/* "regs.rax" in a buffer. */
static void
full_name(const struct cpu_field *field, char *buf, size_t size)
{
	snprintf(buf, size, "%s.%s", cpu_group_name(field->group), field->name);
}

static int
fields_write(const struct cpu_state *state, json_t *object)
{
	const char *base = (const char *)state;
	char name[64];
	size_t i;
	int r = 0;

	for (i = 0; i < cpu_field_count && r == 0; i++) {
		const struct cpu_field *field = &cpu_fields[i];
		const char *at = base + field->offset;

		if (!(state->groups & 1U << field->group))
			continue;
		full_name(field, name, sizeof(name));
		r = json_object_set_new(object, name,
		    field->kind == CPU_FIELD_SEGMENT
			? segment_write((const void *)at)
			: hex_field_write(at, field->size));
	}
	for (i = 0; i < MORE_COUNT && r == 0; i++)
		if (state->groups & 1U << more_fields[i].group)
			r = json_object_set_new(object, more_fields[i].name,
			    hex_field_write(base + more_fields[i].offset,
				more_fields[i].size));
	return r;
}

static int
fields_read(
    struct cpu_state *state, const json_t *object, struct lf_error *error)
{
	char *base = (char *)state;
	char name[64];
	size_t i;
	int rc = 0;

	for (i = 0; i < cpu_field_count && rc == 0; i++) {
		const struct cpu_field *field = &cpu_fields[i];

		if (!(state->groups & 1U << field->group))
			continue;
		full_name(field, name, sizeof(name));
		if (field->kind == CPU_FIELD_SEGMENT) {
			rc = segment_read(json_object_get(object, name), name,
			    (void *)(base + field->offset), error);
			continue;
		}
		rc = hex_field_read(json_object_get(object, name), name,
		    base + field->offset, field->size, error);
	}
	for (i = 0; i < MORE_COUNT && rc == 0; i++) {
		if (!(state->groups & 1U << more_fields[i].group))
			continue;
		rc =
		    hex_field_read(json_object_get(object, more_fields[i].name),
			more_fields[i].name, base + more_fields[i].offset,
			more_fields[i].size, error);
	}
	return rc;
}

/* --- MSRs --- */

static json_t *
msrs_write(const struct cpu_msrs *msrs)
{
	json_t *array = json_array();
	uint32_t i;

	for (i = 0; i < msrs->count; i++)
		if (json_array_append_new(array,
			json_pack("[I,o]", (json_int_t)msrs->entry[i].index,
			    hex_number_write(msrs->entry[i].value))) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static int
msrs_read(struct cpu_msrs *msrs, const json_t *array, struct lf_error *error)
{
	size_t count = json_array_size(array), i;

	if (!json_is_array(array) || count > CPU_MSRS_MAX)
		return error_set(error, EBADMSG,
		    "field 'msrs' is no array of up to %d", CPU_MSRS_MAX);
	for (i = 0; i < count; i++) {
		const json_t *pair = json_array_get(array, i);
		const json_t *index = json_array_get(pair, 0);
		uint64_t value;
		int rc;

		if (!json_is_integer(index) || json_integer_value(index) < 0 ||
		    json_integer_value(index) > UINT32_MAX)
			return error_set(error, EBADMSG,
			    "field 'msrs': element %zu has no index", i);
		rc = hex_number_read(
		    json_array_get(pair, 1), "msrs", UINT64_MAX, &value, error);
		if (rc < 0)
			return rc;
		msrs->entry[i] = (struct cpu_msr){
		    .index = (uint32_t)json_integer_value(index),
		    .value = value,
		};
	}
	msrs->count = (uint32_t)count;
	return 0;
}

/* --- a state --- */

static int
blobs_write(const struct cpu_state *state, json_t *object)
{
	int r = 0;

	if (state->groups & CPU_GROUP_XSAVE)
		r |= json_object_set_new(object, "xsave",
		    hex_bytes_write(state->xsave.bytes, state->xsave.len));
	if (state->groups & CPU_GROUP_LAPIC)
		r |= json_object_set_new(object, "lapic",
		    hex_bytes_write(
			state->lapic.regs, sizeof(state->lapic.regs)));
	if (state->groups & CPU_GROUP_NESTED)
		r |= json_object_set_new(object, "nested",
		    hex_bytes_write(
			state->nested.header, sizeof(state->nested.header)));
	if (state->groups & CPU_GROUP_MSRS)
		r |= json_object_set_new(
		    object, "msrs", msrs_write(&state->msrs));
	return r;
}

/*
 * No more than the header, which is all the room there is, and of a vCPU that
 * is not inside of a nested guest: that guest's state would lie behind it.
 */
static int
check_nested(const struct cpu_nested *nested, struct lf_error *error)
{
	if ((nested->size == 0 || nested->size == sizeof(*nested)) &&
	    (nested->flags & CPU_NESTED_GUEST_MODE) == 0)
		return 0;
	return error_set(error, EBADMSG,
	    "field 'nested' is not the state of a vCPU outside of nested "
	    "guests");
}

static int
blobs_read(
    struct cpu_state *state, const json_t *object, struct lf_error *error)
{
	int rc = 0;

	if (state->groups & CPU_GROUP_XSAVE)
		rc = hex_bytes_read(json_object_get(object, "xsave"), "xsave",
		    state->xsave.bytes, state->xsave.len, error);
	if (rc == 0 && (state->groups & CPU_GROUP_LAPIC))
		rc = hex_bytes_read(json_object_get(object, "lapic"), "lapic",
		    state->lapic.regs, sizeof(state->lapic.regs), error);
	if (rc == 0 && (state->groups & CPU_GROUP_NESTED))
		rc = hex_bytes_read(json_object_get(object, "nested"), "nested",
		    state->nested.header, sizeof(state->nested.header), error);
	if (rc == 0 && (state->groups & CPU_GROUP_NESTED))
		rc = check_nested(&state->nested, error);
	if (rc == 0 && (state->groups & CPU_GROUP_MSRS))
		rc = msrs_read(
		    &state->msrs, json_object_get(object, "msrs"), error);
	return rc;
}

json_t *
vcpu_json_write(const struct cpu_state *state)
{
	json_t *object = json_object(), *groups = json_array();
	unsigned i;
	int r = 0;

	for (i = 0; i < CPU_GROUP_COUNT; i++)
		if (state->groups & 1U << i)
			r |= json_array_append_new(groups,
			    json_string(
				cpu_group_name((enum cpu_group_index)i)));
	r |= json_object_set_new(object, "groups", groups);
	r |= fields_write(state, object);
	r |= blobs_write(state, object);
	if (r != 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int
groups_read(const json_t *array, uint32_t *ret_groups, struct lf_error *error)
{
	size_t i;

	*ret_groups = 0;
	for (i = 0; i < json_array_size(array); i++) {
		const char *name = json_string_value(json_array_get(array, i));
		unsigned group = 0;

		while (group < CPU_GROUP_COUNT &&
		       (name == NULL ||
			   strcmp(name, cpu_group_name(
					    (enum cpu_group_index)group)) != 0))
			group++;
		if (group == CPU_GROUP_COUNT)
			return error_set(error, EBADMSG,
			    "unknown group of state '%s'",
			    name != NULL ? name : "?");
		*ret_groups |= 1U << group;
	}
	return 0;
}

int
vcpu_json_read(
    const json_t *object, struct cpu_state **ret_state, struct lf_error *error)
{
	size_t xsave = json_string_length(json_object_get(object, "xsave")) / 2;
	struct cpu_state *state;
	int rc;

	if (xsave > XSAVE_MAX)
		return error_set(error, EBADMSG,
		    "field 'xsave' has %zu bytes, at most %u are possible",
		    xsave, XSAVE_MAX);
	state = cpu_state_new((uint32_t)xsave);
	if (state == NULL)
		return error_nomem(error);
	rc = groups_read(
	    json_object_get(object, "groups"), &state->groups, error);
	if (rc == 0)
		rc = fields_read(state, object, error);
	if (rc == 0)
		rc = blobs_read(state, object, error);
	if (rc < 0) {
		cpu_state_free(state);
		return rc;
	}
	*ret_state = state;
	return 0;
}

/* --- CPUID --- */

json_t *
cpuid_json_write(const struct cpu_cpuid *cpuid)
{
	json_t *array = json_array();
	uint32_t i;

	for (i = 0; i < cpuid->count; i++) {
		const struct cpu_cpuid_entry *entry = &cpuid->entry[i];

		if (json_array_append_new(array,
			json_pack("[I,I,I,I,I,I,I]",
			    (json_int_t)entry->function,
			    (json_int_t)entry->index, (json_int_t)entry->flags,
			    (json_int_t)entry->eax, (json_int_t)entry->ebx,
			    (json_int_t)entry->ecx, (json_int_t)entry->edx)) <
		    0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

int
cpuid_json_read(
    const json_t *array, struct cpu_cpuid **ret_cpuid, struct lf_error *error)
{
	size_t count = json_array_size(array), i, j;
	struct cpu_cpuid *cpuid;

	if (!json_is_array(array) || count > CPU_CPUID_MAX)
		return error_set(error, EBADMSG,
		    "'cpuid' is no array of up to %d", CPU_CPUID_MAX);
	cpuid = sys.calloc(1, sizeof(*cpuid));
	if (cpuid == NULL)
		return error_nomem(error);
	cpuid->count = (uint32_t)count;
	for (i = 0; i < count; i++) {
		const json_t *leaf = json_array_get(array, i);
		uint32_t word[7];

		for (j = 0; j < 7; j++) {
			const json_t *value = json_array_get(leaf, j);
			json_int_t number = json_integer_value(value);

			if (!json_is_integer(value) || number < 0 ||
			    number > UINT32_MAX) {
				free(cpuid);
				return error_set(error, EBADMSG,
				    "'cpuid': leaf %zu has a bad word %zu", i,
				    j);
			}
			word[j] = (uint32_t)number;
		}
		cpuid->entry[i] = (struct cpu_cpuid_entry){
		    .function = word[0],
		    .index = word[1],
		    .flags = word[2],
		    .eax = word[3],
		    .ebx = word[4],
		    .ecx = word[5],
		    .edx = word[6],
		};
	}
	*ret_cpuid = cpuid;
	return 0;
}
