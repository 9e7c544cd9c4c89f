/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chips of cpu/chips.h between KVM and the table: loaded after all vCPUs'
 * states and before pages are restored. All vCPUs are stopped.
 */
#ifndef KVM_VM_CHIPS_H
#define KVM_VM_CHIPS_H

#include <stdint.h>

#include <libfork/error.h>

#include "cpu/chips.h"

struct vm;

/* The chips that this VM has: the clock always, all with VM_IRQCHIP_FULL. */
uint32_t vm_chips(const struct vm *vm);

/* The chips of `mask` that the VM has. */
int vm_chips_get(struct vm *vm, uint32_t mask, struct cpu_chips *chips,
    struct lf_error *error);

/* Loads the chips of `mask` that the VM has and `chips` holds. */
int vm_chips_set(struct vm *vm, uint32_t mask, const struct cpu_chips *chips,
    struct lf_error *error);

/*
 * Reads the chips of `mask` and compares them with what was loaded; -EBADMSG
 * with the first difference in `error`. The clock must have gone on from the
 * value loaded last by as much as the host's has.
 */
int vm_chips_verify(struct vm *vm, uint32_t mask,
    const struct cpu_chips *wanted, struct lf_error *error);

#endif
