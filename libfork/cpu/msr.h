/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The MSRs that have a part of their own in the state table: numbers are the
 * architecture's (Intel SDM volume 4, AMD APM volume 2 appendix A) and KVM's
 * (Documentation/virt/kvm/x86/msr.rst).
 */
#ifndef CPU_MSR_H
#define CPU_MSR_H

#define MSR_TSC          0x10
#define MSR_APIC_BASE    0x1b
#define MSR_TSC_ADJUST   0x3b
#define MSR_UCODE_REV    0x8b
#define MSR_SMBASE       0x9e
#define MSR_MPERF        0xe7
#define MSR_APERF        0xe8
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_EFER         0xc0000080
#define MSR_STAR         0xc0000081
#define MSR_LSTAR        0xc0000082

/*
 * Hyper-V (TLFS appendix): the vCPU's run time and the reference clock, both
 * running, the clock's page, the interrupt controller, four timers.
 */
#define MSR_HV_VP_RUNTIME     0x40000010
#define MSR_HV_TIME_REF_COUNT 0x40000020
#define MSR_HV_REFERENCE_TSC  0x40000021
#define MSR_HV_SCONTROL       0x40000080
#define MSR_HV_SIMP           0x40000083
#define MSR_HV_SINT0          0x40000090
#define MSR_HV_SINT15         0x4000009f
#define MSR_HV_STIMER0_CONFIG 0x400000b0
#define MSR_HV_STIMER3_COUNT  0x400000b7

/* KVM's paravirtual clock, and what else makes KVM write guest memory. */
#define MSR_KVM_WALL_CLOCK      0x11
#define MSR_KVM_SYSTEM_TIME     0x12
#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_KVM_ASYNC_PF_EN     0x4b564d02
#define MSR_KVM_STEAL_TIME      0x4b564d03
#define MSR_KVM_PV_EOI_EN       0x4b564d04

#endif
