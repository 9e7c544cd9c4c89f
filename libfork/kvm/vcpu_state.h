/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vCPU's state between KVM and the table of cpu/state.h, group by group in
 * the table's order. The VM's vCPUs are stopped. A device access that the vCPU
 * stands in is settled by get and forgotten by set.
 *
 * What the policy keeps from KVM stays in the table: PV clock MSRs (unless
 * vcpu_state_policy says so) and armed timers (unless all interrupts are
 * wanted) are remembered at set and reported by get.
 */
#ifndef KVM_VCPU_STATE_H
#define KVM_VCPU_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#include "cpu/state.h"

struct kvm_device;
struct vcpu;

/* An empty state that can hold any vCPU of this host. NULL: no memory. */
struct cpu_state *vcpu_state_new(const struct kvm_device *device);

int vcpu_state_get(struct vcpu *vcpu, uint32_t groups, struct cpu_state *state,
    struct lf_error *error);

/* All of it; the caller's. */
int vcpu_state_take(
    struct vcpu *vcpu, struct cpu_state **ret_state, struct lf_error *error);

/* The host's TSC now; one value serves all vCPUs of one load. */
uint64_t vcpu_state_host_tsc(void);

/*
 * Loads the groups that are in both `groups` and `state`. -ENOTSUP names what
 * this host lacks. On failure the vCPU's state is undefined until it is loaded
 * again.
 */
int vcpu_state_set(struct vcpu *vcpu, uint32_t groups,
    const struct cpu_state *state, uint64_t host_tsc, struct lf_error *error);

/*
 * Reads the vCPU's state and compares it with what was loaded: 0, or -EBADMSG
 * with the first difference in `error`. Allocates; for tests and verify mode.
 */
int vcpu_state_verify(struct vcpu *vcpu, uint32_t groups,
    const struct cpu_state *wanted, struct lf_error *error);

/* PV clock MSRs are given to KVM at set (default: no). */
void vcpu_set_pv_clock(struct vcpu *vcpu, bool pv_clock);

#endif
