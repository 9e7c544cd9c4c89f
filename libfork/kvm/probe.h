/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probe instructions: what is put over guest code so that the vCPU stops
 * there. INT3 where this KVM reports it, else `out imm8, al`, which exits on
 * every KVM (at CPL 3 with IOPL 3, vcpu_allow_ports()). Whether an exit came
 * from one is told here by where the vCPU stands; who put it there is not
 * known.
 */
#ifndef KVM_PROBE_H
#define KVM_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/exit.h>

struct kvm_device;
struct vcpu;

/*
 * The instruction for this KVM, found out at the first call. Returns its
 * length.
 */
size_t probe_insn(const struct kvm_device *device, const uint8_t **ret_bytes);

/* Makes probes of this vCPU exit: asks KVM to report INT3, or allows ports. */
int probe_enable(struct vcpu *vcpu, struct lf_error *error);

/*
 * Whether the exit may be a probe's: 1, and where the instruction is as the
 * vCPU sees it and in guest-physical memory; 0 when it is not.
 */
int probe_exit(struct vcpu *vcpu, const struct lf_exit *exit, uint64_t *ret_gva,
    uint64_t *ret_gpa, struct lf_error *error);

/* It is one: puts the vCPU at the instruction, as if it had not begun. */
int probe_take_back(struct vcpu *vcpu, uint64_t gva, struct lf_error *error);

/*
 * It is the guest's own: an INT3 that was reported is delivered to the guest
 * with the next run. Returns 1 when that is to be made, 0 when the exit is for
 * others.
 */
int probe_deliver(
    struct vcpu *vcpu, const struct lf_exit *exit, struct lf_error *error);

#endif
