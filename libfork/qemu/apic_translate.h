/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A local APIC between the "apic" section and the register page of KVM, as
 * QEMU itself moves it (hw/i386/kvm/apic.c).
 */
#ifndef QEMU_APIC_TRANSLATE_H
#define QEMU_APIC_TRANSLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/state.h"
#include "qemu/apic_section.h"

/* Nothing is done to a state without a local APIC. */
void qemu_apic_to_state(const struct qemu_apic *apic, struct cpu_lapic *lapic);

/*
 * Over what was loaded. Under a TCG (`tcg`) a timer that was set anew begins
 * at `clock`, which is QEMU's, in nanoseconds.
 */
void qemu_apic_from_state(const struct cpu_lapic *lapic, bool tcg,
    int64_t clock, struct qemu_apic *apic);

#endif
