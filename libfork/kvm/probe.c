/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probe instructions and their exits.
 */
#include "kvm/probe.h"

#include <errno.h>
#include <pthread.h>

#include "base/error.h"
#include "cpu/arch.h"
#include "cpu/walk.h"
#include "kvm/internal.h"
#include "kvm/probe_guest.h"

#define EXCEPTION_BP 3

/*
 * No device of a PC answers here and no quirk of KVM's is about it; QEMU's
 * debug console and exit device are at 0xe9 and 0xf4.
 */
#define PROBE_PORT 0xf6

static const uint8_t int3[] = {0xcc};
static const uint8_t out[] = {0xe6, PROBE_PORT};

/* INT3 with breakpoints asked for: a debug exit, or anything else. */
static bool
reports_int3(const struct kvm_device *device)
{
	static const struct vcpu_debug debug = {.int3 = true};
	struct probe_guest guest;
	struct lf_exit exit = {0};
	int rc = probe_guest_init(&guest, device, 1, 0, NULL);

	if (rc == 0)
		rc = probe_guest_load(&guest, int3, 1, 3, NULL, NULL);
	if (rc == 0)
		rc = vcpu_set_debug(guest.vcpu, &debug, NULL);
	if (rc == 0)
		rc = vcpu_run(guest.vcpu, &exit, NULL);
	probe_guest_done(&guest);
	return rc == 0 && exit.reason == LF_EXIT_DEBUG &&
	       exit.debug.exception == EXCEPTION_BP &&
	       exit.debug.rip == PROBE_GUEST_CODE;
}

size_t
probe_insn(const struct kvm_device *device, const uint8_t **ret_bytes)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static enum { UNKNOWN, USE_INT3, USE_OUT } kind;
	bool uses_int3;

	pthread_mutex_lock(&lock);
	if (kind == UNKNOWN)
		kind = reports_int3(device) ? USE_INT3 : USE_OUT;
	uses_int3 = kind == USE_INT3;
	pthread_mutex_unlock(&lock);
	*ret_bytes = uses_int3 ? int3 : out;
	return uses_int3 ? sizeof(int3) : sizeof(out);
}

int
probe_enable(struct vcpu *vcpu, struct lf_error *error)
{
	struct vcpu_debug debug = vcpu->debug;
	struct cpu_regs regs;
	const uint8_t *bytes;
	int rc;

	if (probe_insn(vcpu->device, &bytes) == sizeof(int3)) {
		debug.int3 = true;
		return vcpu_set_debug(vcpu, &debug, error);
	}
	rc = vcpu_get_regs(vcpu, &regs, error);
	if (rc < 0)
		return rc;
	vcpu_allow_ports(vcpu);
	return vcpu_set_regs(vcpu, &regs, error);
}

static bool
is_out(const struct lf_exit *exit)
{
	return exit->reason == LF_EXIT_IO && exit->io.write &&
	       exit->io.port == PROBE_PORT && exit->io.size == 1 &&
	       exit->io.count == 1;
}

static bool
is_int3(const struct lf_exit *exit)
{
	return exit->reason == LF_EXIT_DEBUG &&
	       exit->debug.exception == EXCEPTION_BP;
}

int
probe_exit(struct vcpu *vcpu, const struct lf_exit *exit, uint64_t *ret_gva,
    uint64_t *ret_gpa, struct lf_error *error)
{
	struct cpu_regs regs;
	struct cpu_sregs sregs;
	struct walk walk;
	int rc;

	if (!is_out(exit) && !is_int3(exit))
		return 0;
	rc = vcpu_peek_regs(vcpu, &regs, error);
	if (rc == 0)
		rc = vcpu_peek_sregs(vcpu, &sregs, error);
	if (rc < 0)
		return rc;
	*ret_gva = is_int3(exit) ? exit->debug.rip : regs.rip;
	if (is_out(exit) && vcpu->device->manners.past[KVM_ACCESS_OUT])
		*ret_gva -= sizeof(out);
	if (vcpu_walk(vcpu, &sregs, sregs.cs.base + *ret_gva, &walk, NULL) < 0)
		return 0;
	*ret_gpa = walk.gpa;
	return 1;
}

/*
 * The write to the port is answered, which has no effect but to end the
 * instruction, and the instruction pointer is set back.
 */
int
probe_take_back(struct vcpu *vcpu, uint64_t gva, struct lf_error *error)
{
	struct cpu_regs regs;
	int rc;

	if (vcpu->access.pending) {
		vcpu->access.answered = true;
		rc = vcpu_settle(vcpu, error);
		if (rc < 0)
			return rc;
	}
	rc = vcpu_peek_regs(vcpu, &regs, error);
	if (rc < 0 || regs.rip == gva)
		return rc;
	regs.rip = gva;
	return vcpu_set_regs(vcpu, &regs, error);
}

/*
 * KVM_GUESTDBG_INJECT_BP raises #BP with the vCPU at the INT3, as the
 * instruction itself would (KVM api.rst, KVM_SET_GUEST_DEBUG).
 */
int
probe_deliver(
    struct vcpu *vcpu, const struct lf_exit *exit, struct lf_error *error)
{
	struct kvm_guest_debug guest_debug = {0};
	int rc;

	if (!is_int3(exit))
		return 0;
	guest_debug.control = vcpu->debug_control | KVM_GUESTDBG_INJECT_BP;
	rc = vcpu_flush(vcpu, error);
	if (rc == 0)
		rc = vcpu_try(vcpu, KVM_SET_GUEST_DEBUG, &guest_debug,
		    "deliver a breakpoint", error);
	return rc < 0 ? rc : 1;
}
