/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device accesses between exit and completion: answering, completing, taking
 * back. KVM promises only that an access is complete after the next KVM_RUN;
 * where the vCPU stands before that differs by kind of instruction and of KVM
 * (struct kvm_manners, measured). To take an access back it is completed
 * without entering the guest, and everything that the instruction may have
 * changed is put back as it was before.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "kvm/internal.h"
#include "kvm/undo.h"

/* Exits that one instruction can make: elements of a split MMIO access. */
#define COMPLETE_ROUNDS 16

bool
vcpu_access_pending(const struct vcpu *vcpu)
{
	return vcpu->access.pending;
}

int
vcpu_answer(
    struct vcpu *vcpu, const void *data, size_t len, struct lf_error *error)
{
	struct access *access = &vcpu->access;
	size_t wanted = (size_t)access->size * access->count;

	if (!access->pending || access->answered)
		return error_set(error, EINVAL,
		    "vCPU %u waits for no answer: it stands in no access",
		    vcpu->index);
	if (access->write && len != 0)
		return error_set(error, EINVAL,
		    "vCPU %u: a write is answered without data", vcpu->index);
	if (!access->write && len != wanted)
		return error_set(error, EINVAL,
		    "vCPU %u: an answer of %zu bytes is wanted, %zu given",
		    vcpu->index, wanted, len);
	if (access->msr)
		vcpu->run->msr.error = 0;
	if (!access->write && access->msr)
		memcpy(&vcpu->run->msr.data, data, len);
	else if (!access->write)
		memcpy(access->data, data, len);
	access->answered = true;
	return 0;
}

/* A bus without a device reads as ones; an unknown MSR is a #GP. */
int
vcpu_answer_nobody(struct vcpu *vcpu, struct lf_error *error)
{
	struct access *access = &vcpu->access;

	if (!access->pending || access->answered)
		return error_set(error, EINVAL,
		    "vCPU %u waits for no answer: it stands in no access",
		    vcpu->index);
	if (access->msr)
		vcpu->run->msr.error = 1;
	else if (!access->write)
		memset(
		    access->data, 0xff, (size_t)access->size * access->count);
	access->answered = true;
	return 0;
}

/*
 * A repeated string instruction that reads a device would go on, one exit per
 * element. KVM reads registers anew when they were set in between: this makes
 * the element it stands at the last.
 */
static int
end_repetition(struct vcpu *vcpu, struct lf_error *error)
{
	struct cpu_regs regs;
	int rc = vcpu_peek_regs(vcpu, &regs, error);

	if (rc < 0)
		return rc;
	regs.rcx = 1;
	vcpu->regs_valid = false;
	return vcpu_put_regs(vcpu, &regs, error);
}

/*
 * Lets KVM end the access. What follows out of the same instruction (further
 * elements, the write of a read-modify-write) is dropped: reads as zeros.
 */
static int
complete(struct vcpu *vcpu, struct lf_error *error)
{
	struct lf_exit exit;
	unsigned round;
	int rc;

	if (vcpu->access.mmio && !vcpu->access.write) {
		rc = end_repetition(vcpu, error);
		if (rc < 0)
			return rc;
	}
	for (round = 0; round < COMPLETE_ROUNDS; round++) {
		rc = vcpu_run_immediate(vcpu);
		if (rc == -EINTR) {
			vcpu->access.pending = false;
			return 0;
		}
		if (rc < 0)
			return error_sys(error, -rc,
			    "vCPU %u: cannot complete a device access",
			    vcpu->index);
		if (vcpu->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL)
			continue;
		if (!exit_decode(vcpu, &exit) || !vcpu->access.pending)
			continue;
		if (!vcpu->access.write && vcpu->access.data != NULL)
			memset(vcpu->access.data, 0,
			    (size_t)vcpu->access.size * vcpu->access.count);
	}
	return error_set(error, ENOTSUP,
	    "vCPU %u: its device access does not end", vcpu->index);
}

int
vcpu_settle(struct vcpu *vcpu, struct lf_error *error)
{
	struct lf_exit exit;
	int rc;

	if (!vcpu->access.pending)
		return 0;
	if (!vcpu->access.answered)
		return vcpu_rollback(vcpu, error);
	rc = vcpu_run_immediate(vcpu);
	vcpu->access.pending = false;
	if (rc == -EINTR)
		return 0;
	if (rc < 0)
		return error_sys(error, -rc,
		    "vCPU %u: cannot complete a device access", vcpu->index);
	/* The instruction's next access: nobody has seen it, take it back. */
	if (exit_decode(vcpu, &exit) && vcpu->access.pending)
		return vcpu_rollback(vcpu, error);
	return 0;
}

int
vcpu_forget(struct vcpu *vcpu, uint32_t groups, const struct cpu_regs *regs,
    struct lf_error *error)
{
	const struct kvm_manners *manners = &vcpu->device->manners;
	const struct access *access = &vcpu->access;
	struct cpu_regs now;
	bool forgets;
	int rc;

	if ((groups & CPU_GROUP_REGS) == 0)
		return vcpu_settle(vcpu, error);
	rc = vcpu_peek_regs(vcpu, &now, error);
	if (rc < 0)
		return rc;
	/* A port exit does not say whether a string instruction made it. */
	if (access->msr)
		forgets = false;
	else if (access->mmio)
		forgets = access->write &&
			  manners->forgets[KVM_ACCESS_MMIO_WRITE] &&
			  access->size < 8;
	else if (access->write)
		forgets = manners->forgets[KVM_ACCESS_OUT] &&
			  manners->forgets[KVM_ACCESS_OUTS];
	else
		forgets = manners->forgets[KVM_ACCESS_IN] &&
			  manners->forgets[KVM_ACCESS_INS];
	if (forgets && now.rip != regs->rip) {
		vcpu->access.pending = false;
		return 0;
	}
	return complete(vcpu, error);
}

int
vcpu_rollback(struct vcpu *vcpu, struct lf_error *error)
{
	cleanup(undo_done) struct undo undo;
	int rc;

	if (!vcpu->access.pending)
		return 0;
	rc = undo_init(&undo, vcpu, error);
	if (rc == 0)
		rc = complete(vcpu, error);
	if (rc == 0)
		rc = undo_apply(&undo, vcpu, error);
	vcpu->access.pending = false;
	vcpu->before_valid = false;
	return rc;
}
