/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One vCPU: running it until something happens, stopping it from another
 * thread, and the device access it may stand in. Of all functions here only
 * vcpu_stop() may be called while another thread is inside vcpu_run().
 */
#ifndef KVM_VCPU_H
#define KVM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/exit.h>

#include "cpu/state.h"

struct vcpu;
struct vm;

/* Which interrupts reach the guest. */
enum vcpu_interrupts {
	VCPU_INTERRUPTS_BLOCK, /* none: IRQ, NMI and SMI are held back */
	VCPU_INTERRUPTS_IPI,   /* from other vCPUs only: timers are silent */
	VCPU_INTERRUPTS_ALL,   /* all that the devices inside KVM raise */
};

#define VCPU_BREAKPOINTS 4

/*
 * What is asked of KVM's guest debugging; BLOCKIRQ is added by libfork when
 * interrupts are blocked: the three share one ioctl.
 */
struct vcpu_debug {
	bool single_step;
	bool int3;           /* INT3 exits instead of raising #BP */
	uint8_t breakpoints; /* bit N: address[N] is in use */
	uint64_t address[VCPU_BREAKPOINTS]; /* execution breakpoints */
};

enum vcpu_run_result {
	VCPU_EXIT = 0,      /* `exit` is filled */
	VCPU_RING_FULL = 1, /* collect the dirty ring, then run again */
};

/*
 * Runs the vCPU until something happens. Returns enum vcpu_run_result or a
 * negative errno. A device access left from the exit before is completed
 * first if it was answered (vcpu_answer), else taken back (vcpu_rollback), so
 * that it is made again. Data that `exit` points to is valid until then.
 *
 * A vCPU that is halted while interrupts are blocked is not given to KVM,
 * which would spin: LF_EXIT_IDLE comes at once.
 */
int vcpu_run(struct vcpu *vcpu, struct lf_exit *exit, struct lf_error *error);

/*
 * Makes the vcpu_run() that is under way, or else the next one, return
 * LF_EXIT_INTERRUPTED soon. Any thread. Requests made before that return are
 * answered by it together.
 */
void vcpu_stop(struct vcpu *vcpu);

/* Forgets a stop that no run has answered yet. */
void vcpu_stop_clear(struct vcpu *vcpu);

/* True when the vCPU stands in a device access. */
bool vcpu_access_pending(const struct vcpu *vcpu);

/*
 * Answers the access: a read gets `len` bytes of `data`, a write has happened
 * (data NULL, len 0). -EINVAL: no access, or not its length.
 */
int vcpu_answer(
    struct vcpu *vcpu, const void *data, size_t len, struct lf_error *error);

/* Answers a read with all ones, as a bus without a device does. */
int vcpu_answer_nobody(struct vcpu *vcpu, struct lf_error *error);

/*
 * Ends the access now, so that the vCPU stands between two instructions:
 * completes an answered one, takes back another.
 */
int vcpu_settle(struct vcpu *vcpu, struct lf_error *error);

/*
 * Brings the vCPU back to exactly before the access it stands in, as if the
 * instruction had not begun: the next run makes it again. -ENOTSUP, with the
 * instruction's bytes in the message, for what cannot be taken back; the
 * vCPU's state is undefined then until it is loaded.
 */
int vcpu_rollback(struct vcpu *vcpu, struct lf_error *error);

/*
 * Registers. After a run they are at hand without a system call. Getting them
 * settles an access first; setting them forgets it.
 */
int vcpu_get_regs(
    struct vcpu *vcpu, struct cpu_regs *regs, struct lf_error *error);
int vcpu_set_regs(
    struct vcpu *vcpu, const struct cpu_regs *regs, struct lf_error *error);
int vcpu_get_sregs(
    struct vcpu *vcpu, struct cpu_sregs *sregs, struct lf_error *error);
int vcpu_set_sregs(
    struct vcpu *vcpu, const struct cpu_sregs *sregs, struct lf_error *error);

/*
 * Which interrupts the guest gets from the next state loaded and the next
 * run on. -ENOTSUP when this KVM cannot block them.
 */
int vcpu_set_interrupts(
    struct vcpu *vcpu, enum vcpu_interrupts interrupts, struct lf_error *error);

/* Composes guest debugging out of `debug` (NULL: nothing) and BLOCKIRQ. */
int vcpu_set_debug(
    struct vcpu *vcpu, const struct vcpu_debug *debug, struct lf_error *error);

/*
 * From now on the guest runs with IOPL 3, so that an OUT exits at CPL 3 too;
 * its registers still read as it had them.
 */
void vcpu_allow_ports(struct vcpu *vcpu);

unsigned vcpu_index(const struct vcpu *vcpu);
struct vm *vcpu_vm(const struct vcpu *vcpu);

struct vcpu_counters {
	uint64_t runs;      /* KVM_RUN calls */
	uint64_t ioctls;    /* all others */
	uint64_t ring_full; /* runs ended by a full ring */
	uint64_t kicks;     /* runs interrupted to look for a halt */
};
const struct vcpu_counters *vcpu_counters(const struct vcpu *vcpu);

#endif
