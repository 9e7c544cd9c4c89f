/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the guest irq.c does and counts. Its memory at MICRO_SHARED is a struct
 * irq_shared; its argument (RSI) an enum irq_job.
 */
#ifndef TESTS_GUEST_MICRO_IRQ_H
#define TESTS_GUEST_MICRO_IRQ_H

#include <stdint.h>

#define IRQ_CPUS 4

enum irq_job {
	IRQ_COUNT,    /* counts, for ever */
	IRQ_ARM,      /* arms the APIC timer, says done, then counts */
	IRQ_ARM_HALT, /* arms it, says done, then halts for ever */
	IRQ_SELF, /* says done, sends itself an IPI and an NMI, faults; counts
		   */
	IRQ_PING, /* says done, then sends IPIs to vCPU 1, waits for each */
	IRQ_SHOOTDOWN, /* remaps a page, tells vCPU 1 by IPI, for ever */
	IRQ_READER,    /* reads that page for ever; answers IPIs */
	IRQ_FAULTS,    /* page faults, for ever */
};

struct irq_cpu {
	volatile uint64_t loops;
	volatile uint64_t timer;
	volatile uint64_t ipi;
	volatile uint64_t nmi;
	volatile uint64_t fault;
	volatile uint64_t wakeups; /* returns from HLT */
	volatile uint64_t padding[2];
};

struct irq_shared {
	struct irq_cpu cpu[IRQ_CPUS];
	volatile uint64_t rounds; /* pings or shootdowns that were answered */
	volatile uint64_t acks;
	volatile uint64_t page; /* the number of the page that is mapped */
	volatile uint64_t
	    stale; /* reads of a page that was not mapped any more */
};

/* Counts of the APIC timer (bus cycles of 1 ns) until it fires. */
#define IRQ_TIMER_COUNT 2000000

#endif
