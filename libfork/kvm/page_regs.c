/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registers of a vCPU as KVM shows them, and linear memory as it sees it.
 * Registers may wait in the run page for the next KVM_RUN (kvm_dirty_regs);
 * then the page is what counts, else KVM is. Knows nothing of device accesses:
 * in one, some registers may be those behind the instruction already (regs.c).
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "cpu/arch.h"
#include "cpu/walk.h"
#include "kvm/internal.h"

_Static_assert(
    sizeof(struct cpu_regs) == sizeof(struct kvm_regs) &&
	offsetof(struct cpu_regs, rip) == offsetof(struct kvm_regs, rip) &&
	offsetof(struct cpu_regs, r8) == offsetof(struct kvm_regs, r8),
    "registers are handed to KVM in place");
_Static_assert(sizeof(struct cpu_segment) == sizeof(struct kvm_segment) &&
		   offsetof(struct cpu_segment, unusable) ==
		       offsetof(struct kvm_segment, unusable) &&
		   offsetof(struct cpu_segment, type) ==
		       offsetof(struct kvm_segment, type),
    "segments are handed to KVM in place");
_Static_assert(
    sizeof(struct cpu_sregs) == sizeof(struct kvm_sregs2) &&
	offsetof(struct cpu_sregs, cr0) == offsetof(struct kvm_sregs2, cr0) &&
	offsetof(struct cpu_sregs, pdptrs) ==
	    offsetof(struct kvm_sregs2, pdptrs),
    "system registers are handed to KVM in place");
_Static_assert(offsetof(struct cpu_sregs, flags) ==
		   offsetof(struct kvm_sregs, interrupt_bitmap),
    "the older form has all but PDPTRs in the same place");

uint32_t
vcpu_events_flags(const struct vcpu *vcpu, const struct cpu_events *events)
{
	const struct kvm_device *device = vcpu->device;
	uint32_t flags =
	    KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;

	/* SIPI vectors and SMM are the LAPIC's. */
	if (vcpu->vm->irqchip != VM_IRQCHIP_NONE)
		flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	if (device->smm)
		flags |= KVM_VCPUEVENT_VALID_SMM;
	if (device->exception_payload)
		flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (device->triple_fault_event)
		flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	(void)events;
	return flags;
}

int
vcpu_flush(struct vcpu *vcpu, struct lf_error *error)
{
	struct kvm_sync_regs *page = &vcpu->run->s.regs;
	int rc;

	if (!vcpu_staged(vcpu))
		return 0;
	vcpu->run->kvm_dirty_regs = 0;
	rc = vcpu_try(vcpu, KVM_SET_REGS, &page->regs, "set registers", error);
	if (rc == 0)
		rc = vcpu_try(vcpu, KVM_SET_SREGS, &page->sregs,
		    "set system registers", error);
	if (rc == 0)
		rc = vcpu_try(vcpu, KVM_SET_VCPU_EVENTS, &page->events,
		    "set pending events", error);
	return rc;
}

void
vcpu_stage(struct vcpu *vcpu, const struct cpu_state *state)
{
	struct kvm_sync_regs *page = &vcpu->run->s.regs;

	memcpy(&page->regs, &state->regs, sizeof(page->regs));
	vcpu->iopl = state->regs.rflags & RFLAGS_IOPL;
	if (vcpu->all_ports)
		page->regs.rflags |= RFLAGS_IOPL;
	memcpy(&page->sregs, &state->sregs,
	    offsetof(struct kvm_sregs, interrupt_bitmap));
	memset(page->sregs.interrupt_bitmap, 0,
	    sizeof(page->sregs.interrupt_bitmap));
	memcpy(&page->events, &state->events, sizeof(page->events));
	page->events.flags = vcpu_events_flags(vcpu, &state->events);
	vcpu->run->kvm_dirty_regs = KVM_SYNC_X86_VALID_FIELDS;
}

int
vcpu_peek_regs(struct vcpu *vcpu, struct cpu_regs *regs, struct lf_error *error)
{
	int rc;

	if (!vcpu_staged(vcpu) && !vcpu->regs_valid) {
		rc = vcpu_try(vcpu, KVM_GET_REGS, &vcpu->run->s.regs.regs,
		    "get registers", error);
		if (rc < 0)
			return rc;
		vcpu->regs_valid = true;
	}
	memcpy(regs, &vcpu->run->s.regs.regs, sizeof(*regs));
	/* User mode cannot change it, so it is what was set last. */
	if (vcpu->all_ports)
		regs->rflags &= ~RFLAGS_IOPL;
	if (vcpu->device->manners.hides_iopl || vcpu->all_ports)
		regs->rflags |= vcpu->iopl;
	return 0;
}

int
vcpu_put_regs(
    struct vcpu *vcpu, const struct cpu_regs *regs, struct lf_error *error)
{
	struct cpu_regs given = *regs;

	if (vcpu->all_ports)
		given.rflags |= RFLAGS_IOPL;
	return vcpu_try(vcpu, KVM_SET_REGS, &given, "set registers", error);
}

void
vcpu_allow_ports(struct vcpu *vcpu)
{
	vcpu->all_ports = true;
}

int
vcpu_peek_sregs(
    struct vcpu *vcpu, struct cpu_sregs *sregs, struct lf_error *error)
{
	int rc = vcpu_flush(vcpu, error);

	if (rc < 0)
		return rc;
	if (vcpu->device->sregs2)
		return vcpu_try(
		    vcpu, KVM_GET_SREGS2, sregs, "get system registers", error);
	rc =
	    vcpu_try(vcpu, KVM_GET_SREGS, sregs, "get system registers", error);
	sregs->flags = 0;
	memset(sregs->pdptrs, 0, sizeof(sregs->pdptrs));
	return rc;
}

int
vcpu_put_sregs(
    struct vcpu *vcpu, const struct cpu_sregs *sregs, struct lf_error *error)
{
	struct kvm_sregs old = {0};
	int rc = vcpu_flush(vcpu, error);

	if (rc < 0)
		return rc;
	if (vcpu->device->sregs2) {
		rc = vcpu_try(vcpu, KVM_SET_SREGS2, (void *)sregs,
		    "set system registers", error);
	} else {
		memcpy(
		    &old, sregs, offsetof(struct kvm_sregs, interrupt_bitmap));
		rc = vcpu_try(
		    vcpu, KVM_SET_SREGS, &old, "set system registers", error);
	}
	/* KVM tells the base after a run only; can_stage() needs it now. */
	if (rc == 0)
		vcpu->run->apic_base = sregs->apic_base;
	return rc;
}

static int
read_memory(void *opaque, uint64_t gpa, void *buf, size_t len)
{
	return vm_read(opaque, gpa, buf, len, NULL);
}

size_t
vcpu_read_gva(struct vcpu *vcpu, const struct cpu_sregs *sregs, uint64_t gva,
    void *buf, size_t len)
{
	struct walk_mode mode;

	walk_mode_init(&mode, sregs);
	return walk_read(&mode, read_memory, vcpu->vm, gva, buf, len);
}

int
vcpu_walk(struct vcpu *vcpu, const struct cpu_sregs *sregs, uint64_t gva,
    struct walk *ret, struct lf_error *error)
{
	struct walk_mode mode;

	walk_mode_init(&mode, sregs);
	return walk_gva(&mode, read_memory, vcpu->vm, gva, ret, error);
}
