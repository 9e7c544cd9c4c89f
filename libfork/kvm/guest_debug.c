/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one place that calls KVM_SET_GUEST_DEBUG: blocked interrupts,
 * breakpoints and single-step share its control word.
 */
#include <errno.h>

#include "base/error.h"
#include "kvm/internal.h"

/* DR7: bit 10 reads as one; L0 is bit 0, L1 bit 2 and so on; all breakpoints
 * are for execution, one byte (R/W and LEN zero). */
#define DR7_FIXED 0x400

static uint32_t
compose(const struct vcpu *vcpu, struct kvm_guest_debug *guest_debug)
{
	const struct vcpu_debug *debug = &vcpu->debug;
	unsigned i;
	uint32_t control = 0;

	if (vcpu->interrupts == VCPU_INTERRUPTS_BLOCK &&
	    vcpu->device->block_irq)
		control |= KVM_GUESTDBG_BLOCKIRQ;
	if (debug->single_step)
		control |= KVM_GUESTDBG_SINGLESTEP;
	if (debug->int3)
		control |= KVM_GUESTDBG_USE_SW_BP;
	if (debug->breakpoints != 0) {
		control |= KVM_GUESTDBG_USE_HW_BP;
		guest_debug->arch.debugreg[7] = DR7_FIXED;
	}
	for (i = 0; i < VCPU_BREAKPOINTS; i++) {
		if ((debug->breakpoints & (1U << i)) == 0)
			continue;
		guest_debug->arch.debugreg[i] = debug->address[i];
		guest_debug->arch.debugreg[7] |= 1U << (2 * i);
	}
	return control != 0 ? control | KVM_GUESTDBG_ENABLE : 0;
}

int
guest_debug_apply(struct vcpu *vcpu, bool again, struct lf_error *error)
{
	struct kvm_guest_debug guest_debug = {0};
	int rc;

	guest_debug.control = compose(vcpu, &guest_debug);
	if (!again && guest_debug.control == vcpu->debug_control)
		return 0;
	rc = vcpu_try(vcpu, KVM_SET_GUEST_DEBUG, &guest_debug,
	    "set guest debugging", error);
	if (rc < 0)
		return rc;
	vcpu->debug_control = guest_debug.control;
	return 0;
}

int
vcpu_set_debug(
    struct vcpu *vcpu, const struct vcpu_debug *debug, struct lf_error *error)
{
	struct vcpu_debug old = vcpu->debug;
	int rc;

	vcpu->debug = debug != NULL ? *debug : (struct vcpu_debug){0};
	/* Single-step remembers where it was asked for. */
	rc = vcpu_flush(vcpu, error);
	if (rc == 0)
		rc = guest_debug_apply(vcpu, true, error);
	if (rc < 0)
		vcpu->debug = old;
	return rc;
}
