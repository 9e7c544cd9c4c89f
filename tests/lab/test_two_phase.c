/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two-phase forks of guests: forked onto bare KVM without a device model, run
 * there, reset, given one late. Needs a KVM that runs kernel code as hardware
 * does: here, or in the lab (test-two-phase.sh). More kinds of machines, and of
 * forks, are in test_two_phase_kinds.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/both_ways.h"
#include "lab/frozen.h"

#define error two_phase_error

TestSuite(two_phase, .init = two_phase_setup, .fini = guest_teardown,
    .timeout = 7200);

Test(two_phase, one_vcpu_on_pc)
{
	goes_on_both_ways(&(struct kind){LF_MACHINE_PC, .vcpus = 1});
}

Test(two_phase, two_vcpus_on_q35)
{
	goes_on_both_ways(&(struct kind){LF_MACHINE_Q35, .vcpus = 2});
}

/* --- a parent without KVM --- */

static unsigned
ticks_of(const char *path)
{
	cleanup_free char *text = file_text(path);
	const char *first = strstr(text, "tick");

	return first != NULL ? ticks_check(first) : 0;
}

static void
wait_for_ticks(const char *path, unsigned wanted)
{
	for (unsigned ms = 0; ticks_of(path) < wanted; ms += 50) {
		cr_assert_lt(ms, 120000U, "%s: tick %u", path, ticks_of(path));
		usleep(50000);
	}
}

/*
 * A TCG's parent with a CPU that every KVM can go on with. Its fork runs on KVM
 * until its timer has woken it four times and it writes to the serial port;
 * from there on it runs under TCG again, and its timer goes on.
 */
Test(two_phase, a_tcg_parent)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = NULL, *fork = NULL;
	struct lf_launch_options launch = {
	    .launcher = guest_launcher(), .devstate_fd = -1};
	cleanup_free char *path = NULL;
	unsigned frozen;

	OK(lf_domain_config_set(&config->cpu, "pentium", &error));
	OK(lf_domain_create(config, guest_launcher(), &parent, &error));
	OK(lf_domain_unpause(parent, &error));
	wait_for_ticks(config->serial.path, 3);
	OK(lf_domain_freeze(parent, &snapshot, &error));
	frozen = ticks_of(config->serial.path);

	fork = fork_with_all_interrupts(snapshot, "fork");
	for (int round = 0; round < 2; round++) {
		if (round > 0)
			OK(lf_domain_reset(fork, &error));
		OK(lf_domain_unpause(fork, &error));
		wait_until_stopped(fork);
		cr_assert_eq(lf_domain_state(fork), LF_DOMAIN_PAUSED, "%s",
		    lf_domain_reason(fork));
	}
	OK(lf_domain_launch(fork, &launch, &error));
	OK(lf_domain_unpause(fork, &error));
	cr_assert_gt(asprintf(&path, "%s.fork", config->serial.path), 0);
	wait_for_ticks(path, frozen + 3);
}
