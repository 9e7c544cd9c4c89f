/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VM shell: a KVM virtual machine made from a recipe, with its vCPUs but
 * without memory or state, so that shells can be kept in a pool and given to
 * any fork with the same recipe. It keeps the list of memslots, and turns
 * guest-physical addresses into pointers by it. It knows nothing of RAM images
 * or snapshots: whoever adds a memslot owns the memory behind it and keeps it
 * mapped until the slot or the VM is gone.
 *
 * A shell belongs to the process that made it (KVM: EIO from another address
 * space): no fork(2) with it.
 */
#ifndef KVM_VM_H
#define KVM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#include "cpu/cpuid.h"
#include "kvm/device.h"

struct vcpu;
struct vm;

enum vm_irqchip {
	VM_IRQCHIP_NONE,  /* no LAPIC; HLT exits */
	VM_IRQCHIP_LAPIC, /* LAPICs inside KVM, no PIC, IOAPIC or PIT */
	VM_IRQCHIP_FULL,  /* LAPICs, PIC, IOAPIC and PIT inside KVM */
};

enum vm_cap {
	VM_CAP_X2APIC_API = 1 << 0,   /* 32-bit APIC ids */
	VM_CAP_HYPERV_SYNIC = 1 << 1, /* Hyper-V synthetic interrupts */
	VM_CAP_MSR_EXITS = 1 << 2,    /* unknown MSRs exit (else #GP) */
	/*
	 * MSRs of PV clocks, of PV timers: what the guest writes there itself
	 * is kept, as what is loaded (held.h), and KVM does not get it.
	 */
	VM_CAP_HOLD_CLOCKS = 1 << 3,
	VM_CAP_HOLD_TIMERS = 1 << 4,
};

#define VM_VCPUS_MAX 255

struct vm_recipe {
	const struct cpu_cpuid *cpuid; /* NULL: all that this KVM can give */
	unsigned vcpus;                /* 1 to VM_VCPUS_MAX */
	const uint32_t *apic_ids;      /* one per vCPU; NULL: 0, 1, 2 ... */
	enum vm_irqchip irqchip;
	uint32_t caps;         /* enum vm_cap */
	uint32_t ring_entries; /* a power of two; 0: no dirty ring */
	uint32_t tsc_khz;      /* 0: the host's */
};

/* True when a shell made from one recipe can be used for the other. */
bool vm_recipe_equal(const struct vm_recipe *a, const struct vm_recipe *b);

/* Makes a shell. `device` must outlive it. */
int vm_new(const struct kvm_device *device, const struct vm_recipe *recipe,
    struct vm **ret, struct lf_error *error);
void vm_free(struct vm *vm);

unsigned vm_vcpu_count(const struct vm *vm);
struct vcpu *vm_vcpu(const struct vm *vm, unsigned index);
const struct kvm_device *vm_device(const struct vm *vm);
enum vm_irqchip vm_irqchip(const struct vm *vm);

enum vm_memslot_flags {
	VM_MEMSLOT_LOG = 1,      /* first writes are reported (dirty ring) */
	VM_MEMSLOT_READONLY = 2, /* guest writes exit as MMIO */
};

struct vm_memslot {
	uint32_t id; /* below kvm_device.memslots_max */
	uint32_t flags;
	uint64_t gpa;    /* page-aligned */
	uint64_t length; /* page-aligned, bytes; 0 removes the slot */
	void *memory;    /* page-aligned */
};

/*
 * Adds, changes (flags) or removes a memslot. A memslot's address and memory
 * cannot be changed in place: remove it first. All vCPUs stopped.
 */
int vm_set_memslot(
    struct vm *vm, const struct vm_memslot *slot, struct lf_error *error);

/*
 * The memory behind a guest-physical address, with the bytes that follow it
 * in the same slot in `*ret_len`; NULL when there is none.
 */
void *vm_memory(
    const struct vm *vm, uint64_t gpa, uint64_t *ret_len, uint32_t *ret_flags);

/*
 * Copies guest-physical memory; may cross slots. -EFAULT when a part has no
 * memory. Writes are not known to the dirty ring.
 */
int vm_read(const struct vm *vm, uint64_t gpa, void *buf, size_t len,
    struct lf_error *error);
int vm_write(struct vm *vm, uint64_t gpa, const void *buf, size_t len,
    struct lf_error *error);

/* ioctls made for this VM and its vCPUs, KVM_RUN included. */
uint64_t vm_ioctls(const struct vm *vm);

#endif
