/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Birth and death of a domain on the kvm backend: out of a view, a VM shell and
 * the snapshot's states, of which the first fork completes what the snapshot
 * does not say.
 */
#include "domain/kvm.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "cpu/cpuid.h"
#include "domain/backend.h"
#include "domain/pool.h"
#include "domain/vcpu_stream.h"
#include "kvm/device.h"
#include "kvm/vcpu.h"
#include "kvm/vcpu_state.h"
#include "kvm/vm_chips.h"
#include "snapshot/snapshot.h"

/* --- memory --- */

/*
 * A memslot per range, numbered like it. Regions and read-only ranges are not
 * logged: a region is never restored, and the guest cannot write the other.
 */
static int
add_memslots(struct kvm_domain *kvm, struct lf_error *error)
{
	const struct memory_view *view = kvm->view;
	size_t i;
	int rc = 0;

	for (i = 0; i < view->range_count && rc == 0; i++) {
		const struct view_range *range = &view->ranges[i];
		struct vm_memslot slot = {
		    .id = (uint32_t)i,
		    .gpa = range->gpa,
		    .length = range->length,
		    .memory = range->memory,
		};

		if (range->flags & MEMORY_READONLY)
			slot.flags = VM_MEMSLOT_READONLY;
		else if (range->first_page != VIEW_NO_PAGE)
			slot.flags = VM_MEMSLOT_LOG;
		rc = vm_set_memslot(kvm->vm, &slot, error);
	}
	return rc;
}

/* Room for the dirty bitmap of the largest slot. */
static int
make_bitmap(struct kvm_domain *kvm, struct lf_error *error)
{
	uint64_t largest = 0;
	size_t i;

	for (i = 0; i < kvm->view->range_count; i++)
		if (kvm->view->ranges[i].length > largest)
			largest = kvm->view->ranges[i].length;
	kvm->bitmap = sys.calloc(largest / PAGE_BYTES / 64 + 1, 8);
	return kvm->bitmap != NULL ? 0 : error_nomem(error);
}

static int
make_memory(struct kvm_domain *kvm, const struct lf_fork_options *options,
    struct lf_error *error)
{
	struct lf_snapshot *snapshot = kvm->domain->origin;
	struct ram_image *image;
	int rc;

	rc = snapshot_image(snapshot, &image, error);
	if (rc < 0)
		return rc;
	rc = memory_view_new(&snapshot->map, image, options->regions,
	    options->region_count, &kvm->view, error);
	ram_image_unref(image);
	if (rc == 0)
		rc = dirty_set_init(&kvm->set, kvm->view, error);
	if (rc == 0)
		rc = add_memslots(kvm, error);
	if (rc == 0 && kvm->method == LF_RESET_BITMAP)
		rc = make_bitmap(kvm, error);
	return rc;
}

/* --- the VM and its vCPUs --- */

static enum vcpu_interrupts
interrupts_for(const struct kvm_domain *kvm, enum lf_interrupts wanted)
{
	/* Without an interrupt controller there is nothing to hold back. */
	if (kvm->domain->origin->irqchip == LF_IRQCHIP_NONE)
		return VCPU_INTERRUPTS_ALL;
	switch (wanted) {
	case LF_INTERRUPTS_BLOCK:
		return VCPU_INTERRUPTS_BLOCK;
	case LF_INTERRUPTS_IPI:
		return VCPU_INTERRUPTS_IPI;
	case LF_INTERRUPTS_ALL:
		return VCPU_INTERRUPTS_ALL;
	default:
		/* A TLB shootdown among several vCPUs must not hang. */
		return kvm->vcpu_count == 1 ? VCPU_INTERRUPTS_BLOCK
					    : VCPU_INTERRUPTS_IPI;
	}
}

/*
 * The PICs, the IOAPIC and the PIT are inside KVM only where they are to be
 * heard: else they would be one more thing to hold back.
 */
static enum vm_irqchip
irqchip_for(enum lf_irqchip irqchip, enum vcpu_interrupts interrupts)
{
	if (irqchip == LF_IRQCHIP_NONE)
		return VM_IRQCHIP_NONE;
	return irqchip == LF_IRQCHIP_FULL && interrupts == VCPU_INTERRUPTS_ALL
		   ? VM_IRQCHIP_FULL
		   : VM_IRQCHIP_LAPIC;
}

/* Hyper-V TLFS: leaf 0x40000003, EAX. */
#define HYPERV_TIME_REF_COUNT (1U << 1)
#define HYPERV_SYNIC          (1U << 2)
#define HYPERV_REFERENCE_TSC  (1U << 9)

static uint32_t
hyperv_features(const struct cpu_cpuid *cpuid)
{
	const struct cpu_cpuid_entry *name, *features;

	if (cpuid == NULL)
		return 0;
	name = cpu_cpuid_find(cpuid, 0x40000000, 0);
	features = cpu_cpuid_find(cpuid, 0x40000003, 0);
	/* "Micr(osoft Hv)" */
	return name != NULL && name->ebx == 0x7263694d && features != NULL
		   ? features->eax
		   : 0;
}

/*
 * What this fork has inside KVM. The clock is the guest's only if it is told
 * of it; else setting it would cost each reset something for nothing.
 */
static uint32_t
chips_for(const struct vm *vm, const struct cpu_cpuid *cpuid, bool pv_clock)
{
	uint32_t clocks = HYPERV_TIME_REF_COUNT | HYPERV_REFERENCE_TSC;

	if (vm_irqchip(vm) == VM_IRQCHIP_FULL)
		return CPU_CHIP_ALL;
	return pv_clock || (hyperv_features(cpuid) & clocks) != 0
		   ? CPU_CHIP_CLOCK
		   : 0;
}

/* True when the first fork has to get the vCPU states out of a stream. */
static bool
needs_import(struct lf_snapshot *snapshot)
{
	return __atomic_load_n(&snapshot->vcpus, __ATOMIC_ACQUIRE) == NULL;
}

static int
make_vm(struct kvm_domain *kvm, const struct lf_fork_options *options,
    const struct kvm_device *device, struct lf_error *error)
{
	const struct lf_snapshot *snapshot = kvm->domain->origin;
	enum vcpu_interrupts interrupts =
	    interrupts_for(kvm, options->interrupts);
	struct vm_recipe recipe = {
	    .cpuid = snapshot->cpuid,
	    .vcpus = kvm->vcpu_count,
	    .irqchip = irqchip_for(snapshot->irqchip, interrupts),
	    .ring_entries = options->ring_entries,
	};
	unsigned i;
	int rc;

	if (recipe.ring_entries == 0)
		recipe.ring_entries = KVM_RING_ENTRIES_DEFAULT;
	if (kvm->method == LF_RESET_BITMAP)
		recipe.ring_entries = 0;
	if (snapshot->irqchip != LF_IRQCHIP_NONE)
		recipe.caps |= VM_CAP_X2APIC_API;
	if (options->msr_exits)
		recipe.caps |= VM_CAP_MSR_EXITS;
	if (device->msr_filter && !options->pv_clock)
		recipe.caps |= VM_CAP_HOLD_CLOCKS;
	if (device->msr_filter && interrupts != VCPU_INTERRUPTS_ALL)
		recipe.caps |= VM_CAP_HOLD_TIMERS;
	/* It is switched on for a VM before its vCPUs get their MSRs. */
	if (hyperv_features(recipe.cpuid) & HYPERV_SYNIC)
		recipe.caps |= VM_CAP_HYPERV_SYNIC;
	rc = pool_take(options->pool, device, &recipe, &kvm->vm, error);
	for (i = 0; i < kvm->vcpu_count && rc == 0; i++) {
		struct vcpu *vcpu = vm_vcpu(kvm->vm, i);

		vcpu_set_pv_clock(vcpu, options->pv_clock);
		rc = vcpu_set_interrupts(vcpu, interrupts, error);
	}
	if (rc == 0)
		kvm->chip_mask =
		    chips_for(kvm->vm, recipe.cpuid, options->pv_clock);
	return rc;
}

static int
load_states(struct kvm_domain *kvm, struct lf_error *error)
{
	const struct lf_snapshot *snapshot = kvm->domain->origin;
	uint64_t tsc = vcpu_state_host_tsc();
	unsigned i;
	int rc = 0;

	for (i = 0; i < kvm->vcpu_count && rc == 0; i++)
		rc = vcpu_state_set(vm_vcpu(kvm->vm, i), CPU_GROUP_ALL,
		    snapshot->vcpus[i], tsc, error);
	if (rc == 0)
		rc = vm_chips_set(kvm->vm, kvm->chip_mask, &kvm->chips, error);
	return rc;
}

/*
 * A snapshot from raw parts says nothing about most groups: they are a vCPU's
 * after power-on. The first fork writes down what that is, so that resets and
 * all other forks have it.
 */
static int
complete_states(struct kvm_domain *kvm, struct lf_error *error)
{
	struct lf_snapshot *snapshot = kvm->domain->origin;
	unsigned i;

	for (i = 0; i < kvm->vcpu_count; i++) {
		struct cpu_state *state;
		int rc = vcpu_state_take(vm_vcpu(kvm->vm, i), &state, error);

		if (rc < 0)
			return rc;
		/* The TSC went on since it was loaded. */
		if (snapshot->vcpus[i]->groups & CPU_GROUP_TSC)
			state->tsc.tsc = snapshot->vcpus[i]->tsc.tsc;
		cpu_state_free(snapshot->vcpus[i]);
		snapshot->vcpus[i] = state;
	}
	__atomic_store_n(&snapshot->complete, true, __ATOMIC_RELEASE);
	return 0;
}

/*
 * The same for the chips of this fork, which the first one need not have had.
 * Another thread may just be adding some, so this fork has a copy.
 */
static int
complete_chips(struct kvm_domain *kvm, struct lf_error *error)
{
	struct lf_snapshot *snapshot = kvm->domain->origin;
	struct cpu_chips *chips;
	int rc = 0;

	if (kvm->chip_mask == 0)
		return 0;
	pthread_mutex_lock(&snapshot->lock);
	if (snapshot->chips == NULL)
		snapshot->chips = sys.calloc(1, sizeof(*snapshot->chips));
	chips = snapshot->chips;
	if (chips != NULL)
		rc = vm_chips_get(
		    kvm->vm, kvm->chip_mask & ~chips->chips, chips, error);
	else
		rc = error_nomem(error);
	if (rc == 0)
		kvm->chips = *chips;
	pthread_mutex_unlock(&snapshot->lock);
	return rc;
}

static int
make_states(struct kvm_domain *kvm, struct lf_error *error)
{
	struct lf_snapshot *snapshot = kvm->domain->origin;
	int rc = complete_chips(kvm, error);

	if (rc < 0)
		return rc;
	if (!__atomic_load_n(&snapshot->complete, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&snapshot->lock);
		if (!__atomic_load_n(&snapshot->complete, __ATOMIC_RELAXED)) {
			rc = load_states(kvm, error);
			if (rc == 0)
				rc = complete_states(kvm, error);
		}
		pthread_mutex_unlock(&snapshot->lock);
	}
	if (rc == 0)
		rc = load_states(kvm, error);
	kvm->wanted = snapshot->vcpus;
	return rc;
}

/* --- birth and death --- */

void
kvm_domain_free(struct kvm_domain *kvm)
{
	if (kvm == NULL)
		return;
	kvm_run_done(kvm);
	vm_free(kvm->vm);
	dirty_set_done(&kvm->set);
	memory_view_free(kvm->view);
	free(kvm->bitmap);
	free(kvm);
}

int
kvm_check_launchable(const struct lf_domain *domain, struct lf_error *error)
{
	return domain->origin->devstate_fd >= 0
		   ? 0
		   : error_set(error, ENOTSUP,
			 "the snapshot has no device state that a device model "
			 "could be launched from");
}

static int
check_choice(
    const char *option, unsigned value, unsigned last, struct lf_error *error)
{
	return value <= last ? 0
			     : error_set(error, EINVAL,
				   "fork option %s has the unknown value %u",
				   option, value);
}

static int
check_options(const struct lf_domain *domain,
    const struct lf_fork_options *options, struct lf_error *error)
{
	int rc = 0;

	if (options->io_policy == LF_IO_LAUNCH)
		rc = kvm_check_launchable(domain, error);
	if (rc == 0)
		rc = check_choice("interrupts", options->interrupts,
		    LF_INTERRUPTS_ALL, error);
	if (rc == 0)
		rc = check_choice(
		    "io_policy", options->io_policy, LF_IO_LAUNCH, error);
	if (rc == 0)
		rc = check_choice("reset_method", options->reset_method,
		    LF_RESET_DONTNEED, error);
	if (rc == 0 && (options->reset_groups & ~LF_RESET_ALL) != 0)
		rc = error_set(error, EINVAL,
		    "fork option reset_groups: 0x%x are no groups",
		    options->reset_groups & ~LF_RESET_ALL);
	return rc;
}

int
kvm_backend_fork(struct lf_domain *domain,
    const struct lf_fork_options *options, struct lf_error *error)
{
	cleanup(vcpu_import_free_p) struct vcpu_import *import = NULL;
	struct lf_snapshot *snapshot = domain->origin;
	const struct kvm_device *device;
	struct kvm_domain *kvm;
	int rc;

	rc = check_options(domain, options, error);
	if (rc == 0)
		rc = kvm_device_get(&device, error);
	if (rc == 0 && needs_import(snapshot))
		rc = vcpu_import_begin(
		    snapshot, device, options->launcher, &import, error);
	if (rc < 0)
		return rc;
	kvm = sys.calloc(1, sizeof(*kvm));
	if (kvm == NULL)
		return error_nomem(error);
	kvm->domain = domain;
	kvm->event_fd = -1;
	kvm->vcpu_count = domain->origin->vcpu_count;
	kvm->method = options->reset_method;
	kvm->io_policy = options->io_policy;
	kvm->verify_every = options->verify_every;
	kvm->groups = kvm_reset_groups(options->reset_groups);
	kvm->reset_chips = (options->reset_groups & LF_RESET_INTERRUPTS) != 0;
	kvm->reset_memory = (options->reset_groups & LF_RESET_MEMORY) != 0;

	rc = make_vm(kvm, options, device, error);
	if (rc == 0 && import != NULL)
		rc = vcpu_import_finish(import, kvm->vm, error);
	if (rc == 0)
		rc = make_memory(kvm, options, error);
	if (rc == 0)
		rc = make_states(kvm, error);
	if (rc == 0)
		rc = kvm_run_start(kvm, error);
	if (rc < 0) {
		kvm_domain_free(kvm);
		return rc;
	}
	domain->impl = kvm;
	return 0;
}
