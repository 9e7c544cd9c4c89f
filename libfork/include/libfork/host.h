/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Host probe: what this host's KVM is and can do. Everything is measured or
 * asked of KVM itself, nothing is concluded from CPU flags or names: whether
 * KVM runs kernel-mode code natively is found by running some and comparing
 * with the same loop outside of a guest.
 */
#ifndef LIBFORK_HOST_H
#define LIBFORK_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lf_host_kvm {
	LF_HOST_KVM_ABSENT,   /* there is no /dev/kvm */
	LF_HOST_KVM_DENIED,   /* this user may not open it */
	LF_HOST_KVM_BROKEN,   /* it is there but cannot run a VM */
	LF_HOST_KVM_SOFTWARE, /* kernel-mode guest code is emulated: slow */
	LF_HOST_KVM_HARDWARE, /* kernel-mode guest code runs natively */
};

/* What libfork looks for in a host's KVM, in the order of a report. */
enum lf_host_fact_index {
	LF_HOST_KVM,              /* present, permitted, hardware or software */
	LF_HOST_KVM_API,          /* version 12 */
	LF_HOST_IMMEDIATE_EXIT,   /* a run can be stopped without a race */
	LF_HOST_SYNC_REGS,        /* registers without a system call */
	LF_HOST_DIRTY_RING,       /* fast resets */
	LF_HOST_BLOCK_INTERRUPTS, /* forks without device model */
	LF_HOST_SREGS2,           /* guests in PAE mode */
	LF_HOST_XSAVE2,           /* guests with large vector state */
	LF_HOST_LAPIC,            /* local APICs without other devices */
	LF_HOST_TSC_OFFSET, /* a fork's clock goes on where its parent's stood
			     */
	LF_HOST_INT3,       /* breakpoints by INT3 are reported */
	LF_HOST_USER_MSR,   /* unknown MSRs can be answered */
	LF_HOST_MSR_FILTER, /* a guest's own writes of clock MSRs are kept */
	LF_HOST_INSN_BYTES, /* failed emulation shows its instruction */
	LF_HOST_FACT_COUNT
};

enum lf_host_grade {
	LF_HOST_GOOD,
	LF_HOST_LIMITED, /* works, but: see text */
	LF_HOST_MISSING,
};

struct lf_host_fact {
	const char *name; /* "dirty ring"; static storage */
	enum lf_host_grade grade;
	char text[240]; /* what was found; what to do about it */
};

struct lf_host {
	enum lf_host_kvm kvm;
	/*
	 * How fast a kernel-mode guest loop ran, in instructions per second,
	 * and the same loop outside; 0: not measured.
	 */
	double guest_rate;
	double native_rate;
	uint32_t ring_entries_max;
	uint32_t xsave_len;
	uint32_t vcpus_max;
	uint32_t memslots_max;
	struct lf_host_fact fact[LF_HOST_FACT_COUNT];
};

/*
 * Probes the host: some 50 ms, less on hardware. A host without KVM is no
 * error: `kvm` and the facts say so. Negative errno only when the probe itself
 * could not be made (no memory, no descriptors). May be called from any thread,
 * by a process whose KVM permissions are those to be judged.
 */
LF_API int lf_host_probe(struct lf_host *ret_host, struct lf_error *error);

/* The same for another device than /dev/kvm. */
LF_API int lf_host_probe_device(
    const char *path, struct lf_host *ret_host, struct lf_error *error);

/* "hardware", "software" ...; static storage. */
LF_API const char *lf_host_kvm_name(enum lf_host_kvm kvm);

/*
 * True when `accelerator=auto` should take KVM on this host. `reason` gets a
 * sentence why or why not.
 */
LF_API bool lf_host_prefers_kvm(
    const struct lf_host *host, char *reason, unsigned reason_len);

#ifdef __cplusplus
}
#endif

#endif
