/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clocks that the kernel in a fork sets: KVM's and its own TSC, by their MSRs.
 * A reset brings each back, under every policy, and verifying misses what a
 * reset left out. test_state.c does the same without a fork.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "cpu/state.h"
#include "kvm/device.h"
#include "kvm/engine.h"
#include "snapshot/snapshot.h"

#define CPUID_1_ECX_TSC_DEADLINE (1U << 24)

#define CODE_AT                  (MICRO_DATA + 0x10000)
#define CLOCK_PAGE               (MICRO_DATA + 0x20000)
/* Far from any time that this test takes. */
#define FUTURE (1ULL << 60)

static const struct clock_case {
	uint32_t index;
	uint64_t value;
	unsigned group;    /* of a reset */
	const char *title; /* what verifying finds without that group */
} clock_cases[] = {
    {MSR_KVM_SYSTEM_TIME_NEW, CLOCK_PAGE | 1, LF_RESET_MSRS, "MSRs"},
    {MSR_KVM_SYSTEM_TIME, CLOCK_PAGE | 1, LF_RESET_MSRS, "MSRs"},
    {MSR_KVM_WALL_CLOCK_NEW, CLOCK_PAGE, LF_RESET_MSRS, "MSRs"},
    {MSR_TSC, FUTURE, LF_RESET_TSC, "time stamp counter"},
    {MSR_TSC_ADJUST, FUTURE, LF_RESET_MSRS, "MSRs"},
    {MSR_TSC_DEADLINE, FUTURE, LF_RESET_MSRS, "MSRs"},
};

/* As all that the host has, and the LAPIC's timer takes deadlines. */
static struct cpu_cpuid *
cpuid_with_deadlines(void)
{
	struct cpu_cpuid *cpuid = malloc(sizeof(*cpuid));
	const struct kvm_device *device;
	unsigned i;

	OK(kvm_device_get(&device, &error));
	cr_assert_not_null(cpuid);
	*cpuid = device->cpuid;
	for (i = 0; i < cpuid->count; i++)
		if (cpuid->entry[i].function == 1)
			cpuid->entry[i].ecx |= CPUID_1_ECX_TSC_DEADLINE;
	return cpuid;
}

/* One vCPU at CPL 0, its LAPIC's timer waiting for deadlines. */
static struct lf_snapshot *
kernel_snapshot(void)
{
	struct lf_snapshot_builder *builder = micro_builder(4UL << 20);
	struct lf_snapshot *raw, *snapshot;
	struct lf_fork_options options;
	struct lf_domain *fork;
	struct lf_vcpu_regs regs;
	struct cpu_lapic *lapic;

	micro_regs(MICRO_COUNT, &regs);
	regs.cs.selector = 0x10;
	regs.cs.access = 0xa09b;
	regs.ss.selector = 0x18;
	regs.ss.access = 0xc093;
	regs.ds = regs.es = regs.ss;
	OK(lf_snapshot_builder_add_vcpu(builder, &regs, &error));
	OK(lf_snapshot_builder_set_irqchip(builder, LF_IRQCHIP_LAPIC, &error));
	OK(lf_snapshot_builder_finish(builder, &raw, &error));
	lf_snapshot_builder_free(builder);
	/* All groups are in a frozen fork's. */
	lf_fork_options_init(&options);
	OK(lf_domain_fork(raw, &options, &fork, &error));
	OK(lf_domain_freeze(fork, &snapshot, &error));
	lf_domain_free(fork);
	lf_snapshot_unref(raw);
	free(snapshot->cpuid);
	snapshot->cpuid = cpuid_with_deadlines();
	lapic = &snapshot->vcpus[0]->lapic;
	cpu_lapic_write(lapic, 0xf0, 0x1ff);
	cpu_lapic_write(lapic, CPU_LAPIC_LVT_TIMER, 0x40040);
	return snapshot;
}

/* Runs code in the fork until it says done; RDX:RAX then. */
static uint64_t
run_in(struct lf_domain *fork, const uint8_t *code, size_t len)
{
	struct lf_vcpu_regs regs;
	struct lf_exit exit;

	OK(lf_memory_write(fork, CODE_AT, code, len, &error));
	OK(lf_vcpu_read_regs(fork, 0, &regs, &error));
	regs.rip = CODE_AT;
	OK(lf_vcpu_write_regs(fork, 0, &regs, &error));
	OK(lf_domain_run(fork, &exit, &error));
	cr_assert_eq(exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
	OK(lf_vcpu_read_regs(fork, 0, &regs, &error));
	return regs.rdx << 32 | (regs.rax & UINT32_MAX);
}

static uint64_t
read_msr_in(struct lf_domain *fork, uint32_t index)
{
	/* mov ecx, INDEX; rdmsr */
	uint8_t code[] = {0xb9, 0, 0, 0, 0, 0x0f, 0x32, 0xe6, MICRO_PORT};

	memcpy(&code[1], &index, sizeof(index));
	return run_in(fork, code, sizeof(code));
}

/* False when the MSR has not that value afterwards: this KVM ignores it. */
static bool
write_msr_in(struct lf_domain *fork, uint32_t index, uint64_t value)
{
	/* mov ecx, INDEX; mov eax, LOW; mov edx, HIGH; wrmsr */
	uint8_t code[] = {0xb9, 0, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xba, 0, 0, 0, 0,
	    0x0f, 0x30, 0xe6, MICRO_PORT};
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);
	uint64_t found;

	memcpy(&code[1], &index, sizeof(index));
	memcpy(&code[6], &low, sizeof(low));
	memcpy(&code[11], &high, sizeof(high));
	run_in(fork, code, sizeof(code));
	found = read_msr_in(fork, index);
	return index == MSR_TSC ? found >= value : found == value;
}

/* True when the guest could change it. */
static bool
check_clock(struct lf_snapshot *snapshot, const struct clock_case *c,
    struct lf_fork_options *options)
{
	struct lf_domain *fork;
	uint64_t before, after;
	unsigned i;
	bool taken;

	options->reset_groups = LF_RESET_ALL & ~c->group;
	OK(lf_domain_fork(snapshot, options, &fork, &error));
	before = read_msr_in(fork, c->index);
	taken = write_msr_in(fork, c->index, c->value);
	if (taken) {
		OK(lf_domain_reset(fork, &error));
		cr_assert_eq(lf_domain_verify(fork, &error), -EILSEQ,
		    "MSR 0x%x: left out and not found", c->index);
		cr_assert_not_null(strstr(error.message, c->title),
		    "MSR 0x%x: left out, found is: %s", c->index,
		    error.message);
	}
	lf_domain_free(fork);

	options->reset_groups = LF_RESET_ALL;
	options->verify_every = 1;
	OK(lf_domain_fork(snapshot, options, &fork, &error));
	for (i = 0; taken && i < 3; i++) {
		cr_assert(write_msr_in(fork, c->index, c->value));
		OK(lf_domain_reset(fork, &error));
		OK(lf_domain_verify(fork, &error));
		after = read_msr_in(fork, c->index);
		/* The TSC goes on from what the snapshot has. */
		cr_assert(
		    c->index == MSR_TSC ? after < c->value : after == before,
		    "MSR 0x%x is 0x%" PRIx64 ", was 0x%" PRIx64, c->index,
		    after, before);
	}
	lf_domain_free(fork);
	options->verify_every = 0;
	return taken;
}

Test(clocks, that_a_forks_kernel_sets_are_reset)
{
	static const enum lf_interrupts policies[] = {
	    LF_INTERRUPTS_BLOCK, LF_INTERRUPTS_ALL};
	struct lf_snapshot *snapshot;
	struct lf_fork_options options;
	const char *why;
	unsigned i, policy, pv_clock;

	if (!micro_usable(&why))
		cr_skip_test("%s", why);
	snapshot = kernel_snapshot();
	lf_fork_options_init(&options);
	for (policy = 0; policy < 2; policy++)
		for (pv_clock = 0; pv_clock < 2; pv_clock++)
			for (i = 0;
			     i < sizeof(clock_cases) / sizeof(clock_cases[0]);
			     i++) {
				const struct clock_case *c = &clock_cases[i];
				bool taken;

				options.interrupts = policies[policy];
				options.pv_clock = pv_clock;
				taken = check_clock(snapshot, c, &options);
				/* Software may leave the TSC as it is. */
				cr_assert(taken || c->value == FUTURE,
				    "MSR 0x%x cannot be set", c->index);
				if (!taken)
					cr_log_info("MSR 0x%x: a guest cannot "
						    "set it here",
					    c->index);
			}
	lf_snapshot_unref(snapshot);
}
