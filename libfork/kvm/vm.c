/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VM shells and their memslots. The order in which a VM is made is the
 * kernel's: capabilities, interrupt controllers, then vCPUs.
 */
#include "kvm/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "kvm/held.h"
#include "kvm/internal.h"

/* Where QEMU puts them on both of its machines: below the BIOS at 4 GiB. */
#define IDENTITY_MAP_GPA 0xfeffc000ULL
#define TSS_GPA          0xfeffd000ULL

/* Pins of an IOAPIC outside of KVM; nothing is ever routed to them. */
#define SPLIT_IOAPIC_PINS 24

/* KVM_CREATE_VM fails with EINTR when a signal comes (kvm_create_vm waits for
 * the kernel's threads); kvm_ioctl() repeats it. */

DEFINE_CLEANUP(struct vm *, vm_free);

static bool
same_apic_ids(const struct vm_recipe *a, const struct vm_recipe *b)
{
	unsigned i;

	for (i = 0; i < a->vcpus; i++) {
		uint32_t x = a->apic_ids != NULL ? a->apic_ids[i] : i;
		uint32_t y = b->apic_ids != NULL ? b->apic_ids[i] : i;

		if (x != y)
			return false;
	}
	return true;
}

static bool
same_cpuid(const struct cpu_cpuid *a, const struct cpu_cpuid *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->count == b->count &&
	       memcmp(a->entry, b->entry, a->count * sizeof(a->entry[0])) == 0;
}

bool
vm_recipe_equal(const struct vm_recipe *a, const struct vm_recipe *b)
{
	return a->vcpus == b->vcpus && a->irqchip == b->irqchip &&
	       a->caps == b->caps && a->ring_entries == b->ring_entries &&
	       a->tsc_khz == b->tsc_khz && same_apic_ids(a, b) &&
	       same_cpuid(a->cpuid, b->cpuid);
}

static int
check_recipe(const struct kvm_device *device, const struct vm_recipe *recipe,
    struct lf_error *error)
{
	uint32_t entries = recipe->ring_entries;

	if (recipe->vcpus < 1 || recipe->vcpus > VM_VCPUS_MAX ||
	    recipe->vcpus > device->vcpus_max)
		return error_set(error, EINVAL,
		    "%u vCPUs: this host can have 1 to %u", recipe->vcpus,
		    device->vcpus_max < VM_VCPUS_MAX ? device->vcpus_max
						     : VM_VCPUS_MAX);
	if (entries != 0 && device->ring_entries_max == 0)
		return error_set(error, ENOTSUP,
		    "KVM here has no dirty ring: Linux 6.1 or newer is needed");
	if (entries != 0 && ((entries & (entries - 1)) != 0 || entries < 256 ||
				entries > device->ring_entries_max))
		return error_set(error, EINVAL,
		    "dirty ring of %u entries: a power of two from 256 to %u "
		    "is needed",
		    entries, device->ring_entries_max);
	if (recipe->irqchip == VM_IRQCHIP_LAPIC && !device->split_irqchip)
		return error_set(error, ENOTSUP,
		    "KVM here cannot have local APICs without a PIC");
	if ((recipe->caps & VM_CAP_X2APIC_API) && !device->x2apic_api)
		return error_set(
		    error, ENOTSUP, "KVM here lacks 32-bit APIC ids");
	if ((recipe->caps & VM_CAP_HYPERV_SYNIC) && !device->hyperv_synic)
		return error_set(error, ENOTSUP,
		    "KVM here lacks Hyper-V's synthetic interrupt controller, "
		    "which the guest uses");
	if ((recipe->caps & VM_CAP_MSR_EXITS) && !device->user_space_msr)
		return error_set(
		    error, ENOTSUP, "KVM here cannot report unknown MSRs");
	if ((recipe->caps & (VM_CAP_HOLD_CLOCKS | VM_CAP_HOLD_TIMERS)) &&
	    !device->msr_filter)
		return error_set(error, ENOTSUP,
		    "KVM here cannot leave chosen MSRs to libfork");
	return 0;
}

static int
enable(struct vm *vm, uint32_t number, uint64_t arg, const char *what,
    struct lf_error *error)
{
	struct kvm_enable_cap enable_cap = {.cap = number, .args = {arg}};
	int r = vm_ioctl(vm, KVM_ENABLE_CAP, &enable_cap);

	if (r < 0)
		return error_sys(error, -r, "KVM: cannot enable %s", what);
	return 0;
}

static int
enable_msr_exits(struct vm *vm, uint32_t caps, struct lf_error *error)
{
	const uint32_t hold = VM_CAP_HOLD_CLOCKS | VM_CAP_HOLD_TIMERS;
	uint64_t reasons = 0;
	int rc;

	if (caps & VM_CAP_MSR_EXITS)
		reasons |=
		    KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL;
	if (caps & hold)
		reasons |= KVM_MSR_EXIT_REASON_FILTER;
	if (reasons == 0)
		return 0;
	rc = enable(vm, KVM_CAP_X86_USER_SPACE_MSR, reasons,
	    "exits at accesses of MSRs", error);
	return rc == 0 && (caps & hold) ? held_filter(vm, caps, error) : rc;
}

static int
enable_caps(
    struct vm *vm, const struct vm_recipe *recipe, struct lf_error *error)
{
	const struct kvm_device *device = vm->device;
	int rc = 0;

	if (recipe->ring_entries != 0)
		rc = enable(vm, device->ring_cap,
		    recipe->ring_entries * sizeof(struct kvm_dirty_gfn),
		    "the dirty ring", error);
	if (rc == 0 && device->exception_payload)
		rc = enable(vm, KVM_CAP_EXCEPTION_PAYLOAD, 1,
		    "exception payloads", error);
	if (rc == 0 && device->triple_fault_event)
		rc = enable(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1,
		    "triple fault events", error);
	if (rc == 0 && device->emulation_failure_bytes)
		rc = enable(vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1,
		    "instruction bytes of failures", error);
	if (rc == 0 && device->quirk_out_7e)
		rc = enable(vm, KVM_CAP_DISABLE_QUIRKS2,
		    KVM_X86_QUIRK_OUT_7E_INC_RIP, "port 0x7e as any other",
		    error);
	if (rc == 0 && (recipe->caps & VM_CAP_X2APIC_API))
		rc = enable(vm, KVM_CAP_X2APIC_API,
		    KVM_X2APIC_API_USE_32BIT_IDS |
			KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
		    "32-bit APIC ids", error);
	if (rc == 0)
		rc = enable_msr_exits(vm, recipe->caps, error);
	return rc;
}

static int
make_irqchip(struct vm *vm, struct lf_error *error)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	uint64_t identity = IDENTITY_MAP_GPA;
	int r;

	r = vm_ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (r < 0)
		return error_sys(error, -r,
		    "KVM: cannot place the page table "
		    "for real mode");
	r = vm_ioctl(vm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)TSS_GPA);
	if (r < 0)
		return error_sys(
		    error, -r, "KVM: cannot place the TSS for real mode");
	switch (vm->irqchip) {
	case VM_IRQCHIP_NONE:
		return 0;
	case VM_IRQCHIP_LAPIC:
		return enable(vm, KVM_CAP_SPLIT_IRQCHIP, SPLIT_IOAPIC_PINS,
		    "local APICs", error);
	case VM_IRQCHIP_FULL:
		r = vm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL);
		if (r < 0)
			return error_sys(error, -r,
			    "KVM: cannot create interrupt controllers");
		r = vm_ioctl(vm, KVM_CREATE_PIT2, &pit);
		if (r < 0)
			return error_sys(
			    error, -r, "KVM: cannot create the timer (PIT)");
		return 0;
	}
	return error_set(error, EINVAL, "irqchip %d: unknown", vm->irqchip);
}

int
vm_new(const struct kvm_device *device, const struct vm_recipe *recipe,
    struct vm **ret, struct lf_error *error)
{
	cleanup(vm_free_p) struct vm *vm = NULL;
	unsigned i;
	int rc;

	rc = check_recipe(device, recipe, error);
	if (rc < 0)
		return rc;
	vm = sys.calloc(1, sizeof(*vm) + recipe->vcpus * sizeof(vm->vcpu[0]));
	if (vm == NULL)
		return error_nomem(error);
	vm->device = device;
	vm->irqchip = recipe->irqchip;
	vm->caps = recipe->caps;
	vm->ioctls = 1;
	vm->fd = rc = kvm_ioctl(device->fd, KVM_CREATE_VM, NULL);
	if (rc < 0)
		return error_sys(error, -rc, "KVM: cannot create a VM");
	rc = enable_caps(vm, recipe, error);
	if (rc == 0)
		rc = make_irqchip(vm, error);
	for (i = 0; rc == 0 && i < recipe->vcpus; i++)
		rc = vcpu_new(vm, i,
		    recipe->apic_ids != NULL ? recipe->apic_ids[i] : i, recipe,
		    error);
	if (rc < 0)
		return rc;
	*ret = take_ptr(vm);
	return 0;
}

void
vm_free(struct vm *vm)
{
	unsigned i;

	if (vm == NULL)
		return;
	for (i = 0; i < vm->vcpu_count; i++)
		vcpu_free(vm->vcpu[i]);
	close_fd(vm->fd);
	free(vm->slots);
	free(vm);
}

unsigned
vm_vcpu_count(const struct vm *vm)
{
	return vm->vcpu_count;
}

struct vcpu *
vm_vcpu(const struct vm *vm, unsigned index)
{
	return index < vm->vcpu_count ? vm->vcpu[index] : NULL;
}

const struct kvm_device *
vm_device(const struct vm *vm)
{
	return vm->device;
}

enum vm_irqchip
vm_irqchip(const struct vm *vm)
{
	return vm->irqchip;
}

uint64_t
vm_ioctls(const struct vm *vm)
{
	uint64_t sum = vm->ioctls;
	unsigned i;

	for (i = 0; i < vm->vcpu_count; i++)
		sum +=
		    vm->vcpu[i]->counters.ioctls + vm->vcpu[i]->counters.runs;
	return sum;
}
