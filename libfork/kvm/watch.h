/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking for halts. A vCPU that halts while interrupts are blocked does not
 * exit: with an interrupt pending it spins inside the kernel. One thread per
 * process, asleep while nobody is watched, interrupts each KVM_RUN that lasts
 * longer than a few milliseconds, so that vcpu_run() can look where it stands.
 */
#ifndef KVM_WATCH_H
#define KVM_WATCH_H

#include <libfork/error.h>

struct vcpu;

/* The signal that interrupts KVM_RUN; handler installed at the first call. */
int watch_signal(int *ret_signal, struct lf_error *error);

/* This thread's number, by which it is interrupted. */
int watch_self(void);

/* Interrupts the thread that is inside vcpu_run() of this vCPU, if any. */
void watch_kick(struct vcpu *vcpu);

/* From now on this vCPU's long runs are interrupted. */
int watch_add(struct vcpu *vcpu, struct lf_error *error);
void watch_remove(struct vcpu *vcpu);

/* Around KVM_RUN of a watched vCPU. */
void watch_enter(struct vcpu *vcpu);
void watch_leave(struct vcpu *vcpu);

#endif
