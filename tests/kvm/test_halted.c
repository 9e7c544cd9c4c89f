/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forks that were halted when their parent was frozen, with an expired timer
 * waiting in the LAPIC and interrupts blocked. Given to KVM they would spin:
 * running in the background they cost nothing and make no KVM_RUN call.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <libfork/domain.h>
#include <libfork/snapshot.h>

#include "cpu/state.h"
#include "lib/micro.h"
#include "lib/microvm.h"
#include "snapshot/snapshot.h"

#define FORKS   100
#define SECONDS 2

/* Of one core, for all forks together. */
#define SHARE_MAX 0.025

/* The first seconds may have the forks' beginnings in them. What spins does. */
#define LOOKS         5

#define LAPIC_SVR     0x0f0
#define LAPIC_IRR_2   0x220 /* vectors 0x40 to 0x5f */
#define LAPIC_ENABLED 0x1ff

/* The state of a vCPU behind STI; HLT, vector 0x40 having expired. */
static void
halt(struct lf_snapshot *snapshot)
{
	struct cpu_state *state = snapshot->vcpus[0];
	const struct vm_recipe recipe = {
	    .vcpus = 1, .irqchip = VM_IRQCHIP_LAPIC};
	struct lf_error error;
	struct vm *vm;

	cr_assert_eq(vm_new(microvm_device(), &recipe, &vm, &error), 0, "%s",
	    error.message);
	cr_assert_eq(
	    vcpu_state_get(vm_vcpu(vm, 0), CPU_GROUP_LAPIC, state, &error), 0,
	    "%s", error.message);
	vm_free(vm);
	cpu_lapic_write(&state->lapic, LAPIC_SVR, LAPIC_ENABLED);
	cpu_lapic_write(&state->lapic, CPU_LAPIC_LVT_TIMER, 0x40);
	cpu_lapic_write(&state->lapic, LAPIC_IRR_2, 1);
	state->mp_state = CPU_MP_HALTED;
	state->groups |= CPU_GROUP_MP_STATE;
	snapshot->irqchip = LF_IRQCHIP_LAPIC;
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

Test(halted, forks_with_blocked_interrupts_cost_nothing)
{
	static struct lf_domain *forks[FORKS];
	const struct timespec wait = {.tv_sec = SECONDS};
	struct lf_fork_options options;
	struct lf_snapshot *snapshot;
	struct lf_counters counters;
	struct lf_vcpu_regs regs;
	struct lf_error error;
	double before, used;
	unsigned i;

	if (microvm_why_not()[0] != '\0')
		cr_skip_test("%s", microvm_why_not());
	micro_regs(MICRO_COUNT, &regs);
	regs.rflags |= 0x200; /* IF */
	snapshot = micro_snapshot(4UL << 20, &regs, 1);
	halt(snapshot);
	lf_fork_options_init(&options);
	options.interrupts = LF_INTERRUPTS_BLOCK;
	for (i = 0; i < FORKS; i++) {
		cr_assert_eq(
		    lf_domain_fork(snapshot, &options, &forks[i], &error), 0,
		    "%s", error.message);
		cr_assert_eq(lf_domain_unpause(forks[i], &error), 0, "%s",
		    error.message);
	}
	for (i = 0, used = SECONDS; i < LOOKS && used > SHARE_MAX * SECONDS;
	     i++) {
		before = cpu_seconds();
		nanosleep(&wait, NULL);
		used = cpu_seconds() - before;
	}
	for (i = 0; i < FORKS; i++) {
		lf_domain_counters(forks[i], &counters);
		cr_assert_eq(
		    counters.runs, 0, "fork %u: %lu runs", i, counters.runs);
	}
	cr_assert_leq(used, SHARE_MAX * SECONDS,
	    "%d halted forks used %.3f s of CPU in %d s", FORKS, used, SECONDS);
	for (i = 0; i < FORKS; i++)
		lf_domain_free(forks[i]);
	lf_snapshot_unref(snapshot);
}

/* The same fork with all interrupts is woken: what was parked can go on. */
Test(halted, one_with_all_interrupts_is_woken)
{
	struct lf_fork_options options;
	struct lf_snapshot *snapshot;
	struct lf_domain *fork;
	struct lf_counters counters;
	struct lf_vcpu_regs regs;
	struct lf_error error;
	struct lf_exit exit;

	if (microvm_why_not_native()[0] != '\0')
		cr_skip_test("%s", microvm_why_not_native());
	micro_regs(MICRO_COUNT, &regs);
	regs.rflags |= 0x200;
	snapshot = micro_snapshot(4UL << 20, &regs, 1);
	halt(snapshot);
	lf_fork_options_init(&options);
	options.interrupts = LF_INTERRUPTS_ALL;
	cr_assert_eq(lf_domain_fork(snapshot, &options, &fork, &error), 0, "%s",
	    error.message);
	/* It has no IDT: being interrupted is the end of it. */
	cr_assert_eq(
	    lf_domain_run(fork, &exit, &error), 0, "%s", error.message);
	cr_assert_eq(exit.reason, LF_EXIT_SHUTDOWN);
	lf_domain_counters(fork, &counters);
	cr_assert_gt(counters.runs, 0);
	lf_domain_free(fork);
	lf_snapshot_unref(snapshot);
}
