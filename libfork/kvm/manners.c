/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measuring where a vCPU stands at the exit of an access: each kind of
 * instruction is run once, then registers that point elsewhere are loaded, as
 * a reset does, to see whether KVM forgets the access.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cpu/arch.h"
#include "kvm/internal.h"
#include "kvm/probe_guest.h"

#define PORT      0x80
#define LAST_PORT 0x81
#define MARK      0x5aa55aa5c33cc33cULL

/* Where the vCPU is sent at the exit: "out LAST_PORT, al". */
#define ELSEWHERE (PROBE_GUEST_CODE + 0x80)

static const struct {
	uint8_t len;
	uint8_t code[4];
} insns[KVM_ACCESS_COUNT] = {
    [KVM_ACCESS_IN] = {1, {0xec}},               /* in al, dx */
    [KVM_ACCESS_OUT] = {1, {0xee}},              /* out dx, al */
    [KVM_ACCESS_INS] = {1, {0x6c}},              /* insb */
    [KVM_ACCESS_OUTS] = {1, {0x6e}},             /* outsb */
    [KVM_ACCESS_MMIO_READ] = {2, {0x8b, 0x03}},  /* mov eax, [rbx] */
    [KVM_ACCESS_MMIO_WRITE] = {2, {0x89, 0x03}}, /* mov [rbx], eax */
};

static const struct cpu_regs start_regs = {
    .rax = MARK,
    .rbx = PROBE_GUEST_HOLE,
    .rdx = PORT,
    .rsi = PROBE_GUEST_DATA,
    .rdi = PROBE_GUEST_DATA,
};

static bool
is_last(const struct lf_exit *exit)
{
	return exit->reason == LF_EXIT_IO && exit->io.port == LAST_PORT &&
	       exit->io.write;
}

/*
 * Loads registers at the exit and runs on. KVM has forgotten the access if
 * nothing but the new instruction has an effect.
 */
static int
measure_forgets(struct probe_guest *guest, const uint8_t *data, bool *ret,
    struct lf_error *error)
{
	struct vcpu *vcpu = guest->vcpu;
	struct cpu_regs regs = start_regs;
	struct cpu_regs now;
	struct lf_exit exit;
	int rc;

	*ret = false;
	regs.rip = ELSEWHERE;
	regs.rflags = RFLAGS_FIXED | RFLAGS_IOPL;
	vcpu->access.pending = false;
	rc = vcpu_try(vcpu, KVM_SET_REGS, &regs, "set registers", error);
	if (rc < 0)
		return rc;
	vcpu->regs_valid = false;
	rc = vcpu_run_immediate(vcpu);
	/* The access went on instead: it is not forgotten, that is all. */
	if (rc != -EINTR)
		return 0;
	rc = vcpu_peek_regs(vcpu, &now, error);
	if (rc < 0)
		return rc;
	now.rflags |= RFLAGS_IOPL;
	if (memcmp(&now, &regs, sizeof(now)) != 0)
		return 0;
	rc = vcpu_run(vcpu, &exit, error);
	if (rc < 0)
		return rc;
	*ret = is_last(&exit) &&
	       memcmp(guest->ram + PROBE_GUEST_DATA, data, 8) == 0;
	return 0;
}

static int
measure(struct probe_guest *guest, enum kvm_access kind,
    struct kvm_manners *manners, struct lf_error *error)
{
	static const uint8_t last[] = {0xe6, LAST_PORT};
	static const uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct cpu_regs regs;
	struct lf_exit exit;
	int rc;

	memcpy(guest->ram + PROBE_GUEST_DATA, data, sizeof(data));
	memcpy(guest->ram + ELSEWHERE, last, sizeof(last));
	rc = probe_guest_load(
	    guest, insns[kind].code, insns[kind].len, 3, &start_regs, error);
	if (rc == 0)
		rc = vcpu_run(guest->vcpu, &exit, error);
	if (rc == 0)
		rc = vcpu_peek_regs(guest->vcpu, &regs, error);
	if (rc < 0)
		return rc;
	if (!guest->vcpu->access.pending)
		return error_set(error, ENOTSUP,
		    "KVM here does not exit for a device access (%s)",
		    lf_exit_name(&exit));
	if ((regs.rflags & RFLAGS_IOPL) == 0)
		manners->hides_iopl = true;
	manners->past[kind] = regs.rip != PROBE_GUEST_CODE;
	return measure_forgets(guest, data, &manners->forgets[kind], error);
}

int
manners_measure(struct kvm_device *device, struct lf_error *error)
{
	struct probe_guest guest;
	unsigned kind;
	/* A vCPU each: an access not forgotten spoils what follows. */
	int rc = probe_guest_init(&guest, device, KVM_ACCESS_COUNT, 0, error);

	for (kind = 0; rc == 0 && kind < KVM_ACCESS_COUNT; kind++) {
		guest.vcpu = vm_vcpu(guest.vm, kind);
		rc = measure(&guest, kind, &device->manners, error);
	}
	probe_guest_done(&guest);
	if (rc < 0)
		return error_prefix(
		    error, rc, "looking how KVM behaves at device accesses");
	return 0;
}
