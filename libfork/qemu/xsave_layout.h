/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FPU and vector registers: QEMU's stream has them as fields, KVM as an
 * uncompacted XSAVE image whose layout is CPUID leaf 0xd (SDM volume 1,
 * chapter 13; AMD's offsets differ from Intel's from component 9 on).
 */
#ifndef QEMU_XSAVE_LAYOUT_H
#define QEMU_XSAVE_LAYOUT_H

#include <stdbool.h>

#include <libfork/error.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "qemu/cpu_section.h"

/*
 * Both fail with -ENOTSUP, naming the component, when one that is in use has
 * no place on the other side. `tcg`: the FPU registers are numbered
 * physically in the stream, by the stack top in an image.
 */
int xsave_to_state(const struct qemu_cpu *cpu, bool tcg,
    const struct cpu_cpuid *cpuid, struct cpu_xsave *xsave,
    struct lf_error *error);
int xsave_from_state(const struct cpu_xsave *xsave, bool tcg,
    const struct cpu_cpuid *cpuid, struct qemu_cpu *cpu,
    struct lf_error *error);

#endif
