/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What test_two_phase does, for more kinds of machines; each boots in the lab
 * and takes a minute, which is too long for check.
 */
#include <config.h>

#include <string.h>

#include "lab/both_ways.h"

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
