/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two rows of the state table (vcpu_state.c): MSRs, and the time stamp counter,
 * whose MSR is not in their list.
 */
#ifndef KVM_STATE_MSRS_H
#define KVM_STATE_MSRS_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#include "cpu/state.h"

struct vcpu;

/* What one call of vcpu_state_set() has in common. */
struct load {
	const struct cpu_state *state;
	uint64_t host_tsc;
	bool sets_tsc;
};

int state_get_msrs(
    struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error);
int state_set_msrs(
    struct vcpu *vcpu, const struct load *load, struct lf_error *error);
int state_get_tsc(
    struct vcpu *vcpu, struct cpu_state *state, struct lf_error *error);
int state_set_tsc(
    struct vcpu *vcpu, const struct load *load, struct lf_error *error);

#endif
