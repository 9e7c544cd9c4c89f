/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest of a configuration sees as its CPU. That is neither in QEMU's
 * stream nor what KVM_GET_SUPPORTED_CPUID says (QEMU takes bits away and adds
 * leaves), so it is asked where it is known: in a guest, started with the same
 * machine, accelerator, CPU and vCPU arguments.
 */
#ifndef QEMU_CPUID_PROBE_H
#define QEMU_CPUID_PROBE_H

#include <stdint.h>

#include <libfork/error.h>
#include <libfork/launcher.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"

/* Bytes of the records that the probe guest writes, at most. */
#define CPUID_PROBE_BYTES_MAX (64 * 1024)

struct cpuid_probe {
	struct cpu_cpuid cpuid; /* as vCPU 0 sees it */
	/* MSRs that tell about features; those that can be read. */
	uint32_t msr_count;
	struct cpu_msr msrs[64];
};

/*
 * Starts the probe guest and waits for what it tells, up to `timeout_ms`.
 * -ETIMEDOUT, -EBADMSG, or what the launcher returned.
 */
int cpuid_probe_run(struct lf_launcher *launcher,
    const struct lf_domain_config *config, int timeout_ms,
    struct cpuid_probe *ret_probe, struct lf_error *error);

/*
 * What the guests of one QEMU process see, found out when it is needed first.
 * A process keeps its program, arguments, accelerator and host for life, so
 * all its snapshots have one of these in common; another process has another,
 * even if it was started with the same words: the program may be a new one.
 */
struct cpuid_known;

struct cpuid_known *cpuid_known_new(void); /* NULL: out of memory */
struct cpuid_known *cpuid_known_ref(struct cpuid_known *known);
void cpuid_known_unref(struct cpuid_known *known);

/* As cpuid_probe_run(), unless it is known. `known` NULL: it never is. */
int cpuid_known_get(struct cpuid_known *known, struct lf_launcher *launcher,
    const struct lf_domain_config *config, int timeout_ms,
    struct cpuid_probe *ret_probe, struct lf_error *error);

/*
 * Takes the guest's records apart: 1 when they are complete, 0 when more have
 * to come, -EBADMSG for what no probe guest writes.
 */
int cpuid_probe_parse(const void *bytes, size_t len,
    struct cpuid_probe *ret_probe, struct lf_error *error);

#endif
