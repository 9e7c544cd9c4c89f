/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CPUID table: what a guest was told about its CPU. One table serves all
 * vCPUs of a VM; the leaves that carry the APIC id are completed per vCPU.
 * Entries have the layout of the kernel's ABI.
 */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#define CPU_CPUID_MAX     256
#define CPU_CPUID_INDEXED 1 /* flags: the leaf has subleaves */

struct cpu_cpuid_entry {
	uint32_t function;
	uint32_t index;
	uint32_t flags;
	uint32_t eax, ebx, ecx, edx;
	uint32_t padding[3];
};

struct cpu_cpuid {
	uint32_t count;
	uint32_t padding;
	struct cpu_cpuid_entry entry[CPU_CPUID_MAX];
};

/* The entry of a leaf, or NULL. */
const struct cpu_cpuid_entry *cpu_cpuid_find(
    const struct cpu_cpuid *cpuid, uint32_t function, uint32_t index);

/* Puts a vCPU's APIC id into leaves 1, 0xb, 0x1f and 0x8000001e. */
void cpu_cpuid_set_apic_id(struct cpu_cpuid *cpuid, uint32_t apic_id);

/*
 * 0 when two tables describe the same CPU; bits that KVM derives at run time
 * (OSXSAVE, OSPKE, APIC enabled, APIC ids, XSAVE size in use) are not compared.
 * -EBADMSG with the first differing leaf otherwise.
 */
int cpu_cpuid_compare(const struct cpu_cpuid *wanted,
    const struct cpu_cpuid *found, struct lf_error *error);

/*
 * 0 when every feature that `wanted` tells a guest of is in `host`. Looked at
 * are the registers that are sets of features, less what a guest switches on
 * itself or a hypervisor always gives (OSXSAVE, hypervisor present, APIC,
 * x2APIC, TSC deadline). -ENOTSUP names the first register with its bits.
 */
int cpu_cpuid_check_supported(const struct cpu_cpuid *wanted,
    const struct cpu_cpuid *host, struct lf_error *error);

#endif
