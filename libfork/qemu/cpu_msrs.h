/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vCPU's MSRs between the "cpu" section and the table of cpu/state.h; what
 * each is called there, is in cpu_msrs.def. `phys_bits` are the guest's
 * physical address bits, 0 when they are not known: above them the section has
 * masks of MTRRs filled with ones, and KVM wants zeros.
 */
#ifndef QEMU_CPU_MSRS_H
#define QEMU_CPU_MSRS_H

#include <stdint.h>

#include <libfork/error.h>

#include "cpu/state.h"
#include "qemu/cpu_section.h"

/* -ENOSPC: the state has no room for so many. */
int qemu_msrs_to_state(const struct qemu_cpu *cpu, uint8_t phys_bits,
    struct cpu_state *state, struct lf_error *error);

void qemu_msrs_from_state(
    const struct cpu_state *state, uint8_t phys_bits, struct qemu_cpu *cpu);

#endif
