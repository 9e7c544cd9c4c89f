/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vCPU's state as a JSON object: the groups it holds, one string per field
 * of cpu/fields.h, and hexadecimal bytes for what has no fields.
 */
#ifndef SNAPSHOT_VCPU_JSON_H
#define SNAPSHOT_VCPU_JSON_H

#include <jansson.h>
#include <libfork/error.h>

struct cpu_cpuid;
struct cpu_state;

/* New objects; NULL when out of memory. */
json_t *vcpu_json_write(const struct cpu_state *state);
json_t *cpuid_json_write(const struct cpu_cpuid *cpuid);

/* The caller's: cpu_state_free(), free(). -EBADMSG names the bad field. */
int vcpu_json_read(
    const json_t *object, struct cpu_state **ret_state, struct lf_error *error);
int cpuid_json_read(
    const json_t *array, struct cpu_cpuid **ret_cpuid, struct lf_error *error);

#endif
