/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * /dev/kvm, opened: what this host's KVM can do and how it behaves at device
 * accesses. Both are asked and measured once, when the device is opened; they
 * never change afterwards, so any thread may read them.
 */
#ifndef KVM_DEVICE_H
#define KVM_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "cpu/cpuid.h"

#define KVM_DEVICE_PATH "/dev/kvm"

/* Kinds of instructions that exit because of a device. */
enum kvm_access {
	KVM_ACCESS_IN,
	KVM_ACCESS_OUT,
	KVM_ACCESS_INS,
	KVM_ACCESS_OUTS,
	KVM_ACCESS_MMIO_READ,
	KVM_ACCESS_MMIO_WRITE,
	KVM_ACCESS_COUNT
};

/*
 * Where a vCPU stands at the exit of an access, measured. KVM documents only
 * that the access is complete after the next KVM_RUN.
 */
struct kvm_manners {
	/* RIP is past the instruction already (else at it). */
	bool past[KVM_ACCESS_COUNT];
	/*
	 * When registers with another RIP are loaded at the exit, the next
	 * KVM_RUN forgets the access; else it must be completed first.
	 */
	bool forgets[KVM_ACCESS_COUNT];
	/* After an exit at CPL 3, RFLAGS read back without their IOPL. */
	bool hides_iopl;
};

/* A vCPU's state has room for all of them, and some that KVM does not list. */
#define KVM_DEVICE_MSRS_MAX 384

struct kvm_device {
	int fd;
	size_t run_bytes;          /* of the mapping of a vCPU */
	uint32_t xsave_len;        /* of an XSAVE image */
	uint32_t ring_entries_max; /* 0: no dirty ring */
	uint32_t ring_cap;         /* which of the two capabilities gives it */
	bool sync_regs;            /* registers and events in struct kvm_run */
	bool sregs2;
	bool block_irq;
	bool split_irqchip;
	bool exception_payload;
	bool triple_fault_event;
	bool x2apic_api;
	bool hyperv_synic;
	bool nested_state;
	bool smm;
	bool user_space_msr;
	bool msr_filter; /* chosen MSRs can be kept from KVM */
	bool emulation_failure_bytes;
	bool
	    quirk_out_7e; /* OUT to port 0x7e is not like others, unless told */
	bool tsc_offset;  /* can be set, and the guest's TSC follows it */
	unsigned memslots_max;
	unsigned vcpus_max;
	struct kvm_manners manners;
	struct cpu_cpuid cpuid; /* all that this KVM can give a guest */
	uint32_t msr_count;     /* MSRs that this KVM saves and restores */
	uint32_t msrs[KVM_DEVICE_MSRS_MAX];
};

/*
 * Opens KVM and asks it. Errors: -ENOENT no such device (module not loaded),
 * -EACCES not permitted, -ENOTSUP something is missing that libfork needs;
 * the message says what to do.
 */
int kvm_device_open(
    const char *path, struct kvm_device **ret, struct lf_error *error);
void kvm_device_free(struct kvm_device *device);

/*
 * For a process that will not be able to open files: opens the process's
 * device now, and asks it nothing yet. Why it could not is told by
 * kvm_device_get().
 */
void kvm_device_open_ahead(void);

/*
 * The process's device, opened at the first call and never closed: VMs of
 * many domains share it.
 */
int kvm_device_get(const struct kvm_device **ret, struct lf_error *error);

#endif
