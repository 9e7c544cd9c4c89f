/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one place that calls KVM_RUN. What its exit means is not known here.
 */
#include <errno.h>
#include <unistd.h>

#include "base/sys.h"
#include "kvm/internal.h"

/*
 * Some kernels fail the first KVM_RUN with ENOMEM when many VMs are made at
 * once (a worker thread of the VM could not be started); it succeeds later.
 */
#define RUN_NOMEM_RETRIES  8
#define RUN_NOMEM_DELAY_US 1000

void
vcpu_set_immediate(struct vcpu *vcpu, bool immediate)
{
	/* The kernel alone reads it, while others may write it. */
	__atomic_store_n(
	    &vcpu->run->immediate_exit, immediate, __ATOMIC_SEQ_CST);
}

int
vcpu_enter(struct vcpu *vcpu)
{
	int r, tries;

	for (tries = 0;; tries++) {
		vcpu->counters.runs++;
		r = sys.ioctl(vcpu->fd, KVM_RUN, NULL);
		if (r >= 0 || errno != ENOMEM || tries == RUN_NOMEM_RETRIES)
			break;
		usleep(RUN_NOMEM_DELAY_US << tries);
	}
	vcpu->regs_valid = (vcpu->run->kvm_valid_regs & KVM_SYNC_X86_REGS) != 0;
	return r < 0 ? -errno : 0;
}

int
vcpu_run_immediate(struct vcpu *vcpu)
{
	int rc;

	vcpu_set_immediate(vcpu, true);
	rc = vcpu_enter(vcpu);
	vcpu_set_immediate(vcpu, false);
	/* A stop that came meanwhile wrote the flag that was just cleared. */
	if (atomic_load(&vcpu->stop))
		vcpu_set_immediate(vcpu, true);
	return rc;
}
