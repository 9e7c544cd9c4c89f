/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMs for tests of kvm/: the memory of guest/micro/layout.h, a guest's image
 * or a few bytes of code, one vCPU or several. Fails by abort(), so that tests
 * with and without Criterion can use it.
 */
#ifndef TESTS_LIB_MICROVM_H
#define TESTS_LIB_MICROVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/micro/layout.h"
#include "kvm/device.h"
#include "kvm/ring.h"
#include "kvm/vcpu.h"
#include "kvm/vcpu_state.h"
#include "kvm/vm.h"

struct microvm {
	struct vm *vm;
	uint8_t *ram;
};

/*
 * What KVM there is: "" when it runs kernel-mode code natively, else why a
 * test that needs this is skipped. Without any KVM both say why.
 */
const char *microvm_why_not(void);
const char *microvm_why_not_native(void);

/* The process's device; aborts when there is none. */
const struct kvm_device *microvm_device(void);

/* Where an XSAVE image has the upper halves of YMM registers; 0: no AVX. */
uint32_t microvm_avx_offset(void);

/* Makes a VM with its memory in memslot 0, logged when there is a ring. */
void microvm_init(struct microvm *micro, const struct vm_recipe *recipe);
/* Memory as after microvm_init(). */
void microvm_clear(struct microvm *micro);
void microvm_done(struct microvm *micro);

/* Loads guest NAME ("irq") or `len` bytes of code at MICRO_IMAGE. */
void microvm_load(struct microvm *micro, const char *name);
void microvm_code(struct microvm *micro, const void *code, size_t len);

/*
 * Puts a vCPU at MICRO_IMAGE at privilege level 0 or 3, with its number in RDI
 * and `argument` in RSI.
 */
void microvm_start(
    struct microvm *micro, unsigned index, unsigned cpl, uint64_t argument);

/* Runs until the exit; a failure to run ends the test. */
void microvm_run(struct microvm *micro, unsigned index, struct lf_exit *exit);

/* Runs all vCPUs, each in a thread, for so long, then stops them. */
void microvm_run_for(struct microvm *micro, unsigned milliseconds);

/*
 * The same until a counter in the guest's memory is above `wanted`, at most
 * two minutes (a busy machine's second is short); true when it came to that.
 */
bool microvm_run_until(
    struct microvm *micro, volatile uint64_t *counter, uint64_t wanted);

/* Another VM with the same memory (copied) and the vCPUs' states. */
void microvm_fork(struct microvm *fork, struct microvm *parent,
    const struct vm_recipe *recipe, enum vcpu_interrupts interrupts);

#endif
