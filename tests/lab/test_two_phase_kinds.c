/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What test_two_phase does, for more kinds of machines, and forks with all
 * interrupts; each boots in the lab and takes a minute, which is too long for
 * check.
 */
#include <config.h>

#include <string.h>

#include "lab/both_ways.h"
#include "lab/frozen.h"

#define error two_phase_error

TestSuite(two_phase_kinds, .init = two_phase_setup, .fini = guest_teardown,
    .timeout = 7200);

Test(two_phase_kinds, four_vcpus_on_pc)
{
	goes_on_both_ways(&(struct kind){LF_MACHINE_PC, .vcpus = 4});
}

Test(two_phase_kinds, memory_above_4_gib_on_q35)
{
	goes_on_both_ways(
	    &(struct kind){LF_MACHINE_Q35, .vcpus = 2, .large = true});
}

/*
 * In the lab OVMF writes CR8 while an interrupt waits, and QEMU 7.2's TCG fails
 * an assertion then: it sets an interrupt of a nested guest without its lock.
 */
static bool
is_in_lab(void)
{
	cleanup_free char *words = file_text("/proc/cmdline");

	return strstr(words, "lab.dir=") != NULL;
}

Test(two_phase_kinds, ovmf_on_q35)
{
	if (is_in_lab())
		cr_skip_test("the lab's QEMU does not survive OVMF under KVM");
	goes_on_both_ways(
	    &(struct kind){LF_MACHINE_Q35, .vcpus = 1, .ovmf = true});
}

/* A Linux guest uses some of what Windows does. */
Test(two_phase_kinds, hyperv_enlightenments_on_pc)
{
	goes_on_both_ways(
	    &(struct kind){LF_MACHINE_PC, .vcpus = 2, .hyperv = true});
}

/*
 * With all interrupts a timer wakes a sleeper, who writes to the console: there
 * the fork stops, if not at another device before, and with its device model
 * the text comes out.
 */
static void
wakes_a_sleeper(const struct kind *kind)
{
	static const char sleeper[] = "(sleep 10; echo woken >/dev/console) &";
	struct frozen frozen = {0};
	struct parent *parent = &frozen.parent;
	struct lf_domain *fork;
	struct console console;

	parent_boot(parent, kind);
	for (;;) {
		size_t from = parent->console.len;

		console_run(&parent->console, sleeper);
		freeze(&frozen);
		if (strstr(parent->console.text + from, "woken") == NULL)
			break;
		thaw(&frozen); /* too late, on a busy machine */
	}
	fork = fork_with_all_interrupts(frozen.snapshot, "awake");
	for (int round = 0; round < 2; round++) {
		OK(lf_domain_unpause(fork, &error));
		wait_until_stopped(fork);
		cr_assert_eq(lf_domain_state(fork), LF_DOMAIN_PAUSED, "%s",
		    lf_domain_reason(fork));
		if (round == 0)
			OK(lf_domain_reset(fork, &error));
	}
	launch_late(parent, fork, "awake", &console);
	console_wait(&console, 0, "woken", 120000);
	console_run(&console, "show");
	console_close(&console);
	lf_domain_free(fork);
	lf_snapshot_unref(frozen.snapshot);
	parent_end(parent);
}

Test(two_phase_kinds, all_interrupts_on_pc)
{
	wakes_a_sleeper(&(struct kind){LF_MACHINE_PC, .vcpus = 1});
}
