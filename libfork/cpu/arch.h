/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bits of registers (Intel SDM volume 3, chapter 2).
 */
#ifndef CPU_ARCH_H
#define CPU_ARCH_H

#define CR0_PE       (1ULL << 0)
#define CR0_PG       (1ULL << 31)

#define CR4_PSE      (1ULL << 4)
#define CR4_PAE      (1ULL << 5)
#define CR4_LA57     (1ULL << 12)
#define CR4_OSXSAVE  (1ULL << 18)

#define EFER_LME     (1ULL << 8)
#define EFER_LMA     (1ULL << 10)
#define EFER_NXE     (1ULL << 11)

#define RFLAGS_FIXED (1ULL << 1)
#define RFLAGS_IF    (1ULL << 9)
#define RFLAGS_DF    (1ULL << 10)
#define RFLAGS_IOPL  (3ULL << 12)
#define RFLAGS_RF    (1ULL << 16)
#define RFLAGS_VM    (1ULL << 17)

#endif
