/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What KVM has left in the guest memory of a frozen parent, for which nobody
 * would clean up in a fork without device model.
 */
#ifndef DOMAIN_STEAL_TIME_H
#define DOMAIN_STEAL_TIME_H

#include <libfork/error.h>

#include "snapshot/snapshot.h"

struct cpu_state;

/*
 * A vCPU that is not running is marked as preempted in its steal-time area, and
 * a guest that flushes TLBs leaves such a vCPU out: KVM is to do it when it
 * runs the vCPU again (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_STEAL_TIME;
 * kvm_flush_tlb_multi() of Linux). In the memory of a parent that was stopped
 * all vCPUs are marked, and its forks' KVM is not told of the areas: a fork
 * would use stale translations, and corrupt its memory. This makes the
 * snapshot's image anew, with a delta, so that no vCPU of `states` (one for
 * each) is marked. `*ret_image` stays as it is with a single vCPU, and when
 * none is marked. To a KVM that is told of the areas this is no news, it
 * clears the mark itself.
 */
int steal_time_clear_preempted(struct lf_snapshot *snapshot,
    struct cpu_state *const *states, struct ram_image **ret_image,
    struct lf_error *error);

#endif
