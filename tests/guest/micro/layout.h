/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of a micro-guest, for the guests themselves (assembler and C) and for
 * the tests that load them (lib/microvm.c). Linear addresses up to 4 GiB are
 * the guest-physical ones.
 */
#ifndef TESTS_GUEST_MICRO_LAYOUT_H
#define TESTS_GUEST_MICRO_LAYOUT_H

#define MICRO_RAM       0x200000 /* bytes; what follows is no memory */
#define MICRO_PML4      0x1000
#define MICRO_PDPT      0x2000
#define MICRO_PD        0x3000 /* four pages, 2 MiB pages */
#define MICRO_GDT       0x7000
#define MICRO_IDT       0x8000   /* filled by the guest */
#define MICRO_TSS       0x9000   /* with a port bitmap that allows all */
#define MICRO_STACKS    0x10000  /* 4 KiB per vCPU, growing down from its end */
#define MICRO_IMAGE     0x20000  /* the guest's file; entered at its start */
#define MICRO_SHARED    0x80000  /* what guest and test share */
#define MICRO_FREE      0x100000 /* for the test's own use */
#define MICRO_HOLE      0x200000 /* no memory: MMIO */
#define MICRO_LAPIC     0xfee00000

#define MICRO_KERNEL_CS 0x08
#define MICRO_KERNEL_DS 0x10
#define MICRO_USER_DS   0x2b
#define MICRO_USER_CS   0x33
#define MICRO_TR        0x40

/* A guest is entered with its vCPU's number in RDI and an argument in RSI; it
 * writes this port when it has done what it was asked for. */
#define MICRO_DONE_PORT 0x80

#endif
