/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registers of a stopped vCPU, for everybody: a device access that it stands
 * in is ended first, by way of registers as they are (page_regs.c).
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "cpu/arch.h"
#include "kvm/internal.h"

int
vcpu_get_regs(struct vcpu *vcpu, struct cpu_regs *regs, struct lf_error *error)
{
	int rc;

	if (vcpu->access.pending) {
		rc = vcpu_settle(vcpu, error);
		if (rc < 0)
			return rc;
	}
	return vcpu_peek_regs(vcpu, regs, error);
}

/*
 * Setting registers makes KVM drop a pending exception, so events are kept
 * around it. Where registers wait in the page, events wait there too.
 */
int
vcpu_set_regs(
    struct vcpu *vcpu, const struct cpu_regs *regs, struct lf_error *error)
{
	struct kvm_vcpu_events events;
	int rc;

	if (vcpu->access.pending) {
		rc = vcpu_rollback(vcpu, error);
		if (rc < 0)
			return rc;
	}
	vcpu->parked = false;
	vcpu->iopl = regs->rflags & RFLAGS_IOPL;
	if (vcpu_staged(vcpu)) {
		memcpy(&vcpu->run->s.regs.regs, regs, sizeof(*regs));
		if (vcpu->all_ports)
			vcpu->run->s.regs.regs.rflags |= RFLAGS_IOPL;
		return 0;
	}
	rc = vcpu_try(
	    vcpu, KVM_GET_VCPU_EVENTS, &events, "get pending events", error);
	if (rc == 0)
		rc = vcpu_put_regs(vcpu, regs, error);
	if (rc == 0)
		rc = vcpu_try(vcpu, KVM_SET_VCPU_EVENTS, &events,
		    "set pending events", error);
	if (rc < 0)
		return rc;
	memcpy(&vcpu->run->s.regs.regs, regs, sizeof(*regs));
	vcpu->regs_valid = true;
	if (vcpu->debug.single_step)
		return guest_debug_apply(vcpu, true, error);
	return 0;
}

int
vcpu_get_sregs(
    struct vcpu *vcpu, struct cpu_sregs *sregs, struct lf_error *error)
{
	int rc = 0;

	if (vcpu->access.pending)
		rc = vcpu_settle(vcpu, error);
	return rc < 0 ? rc : vcpu_peek_sregs(vcpu, sregs, error);
}

int
vcpu_set_sregs(
    struct vcpu *vcpu, const struct cpu_sregs *sregs, struct lf_error *error)
{
	int rc = 0;

	if (vcpu->access.pending)
		rc = vcpu_rollback(vcpu, error);
	return rc < 0 ? rc : vcpu_put_sregs(vcpu, sregs, error);
}
