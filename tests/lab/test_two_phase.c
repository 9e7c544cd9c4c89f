/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two-phase forks of a Linux guest: forked onto bare KVM without a device
 * model, run there, given one late. Needs a KVM that runs kernel code as
 * hardware does: here, or in the lab (test-two-phase.sh).
 */
#include <config.h>

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libfork/host.h>

#include "base/cleanup.h"
#include "lib/guest_vm.h"

DEFINE_CLEANUP(struct lf_domain_config *, lf_domain_config_free);
DEFINE_CLEANUP(struct lf_domain *, lf_domain_free);
DEFINE_CLEANUP(struct lf_snapshot *, lf_snapshot_unref);
#define cleanup_config   cleanup(lf_domain_config_free_p)
#define cleanup_domain   cleanup(lf_domain_free_p)
#define cleanup_snapshot cleanup(lf_snapshot_unref_p)

#define BOOT_MS          120000

static struct lf_error error;
#define OK(call) cr_assert_eq((call), 0, "%s: %s", #call, error.message)

static void
setup(void)
{
	struct lf_host host;
	char reason[256];

	OK(lf_host_probe(&host, &error));
	if (!lf_host_prefers_kvm(&host, reason, sizeof(reason)))
		cr_skip_test("%s", reason);
	guest_setup();
}

TestSuite(two_phase, .init = setup, .fini = guest_teardown, .timeout = 600);

static struct lf_domain_config *
parent_config(const char *words, unsigned vcpus, enum lf_machine machine)
{
	struct lf_domain_config *config = guest_linux("parent", words);

	config->accelerator = LF_ACCELERATOR_KVM;
	config->machine = machine;
	config->vcpus = vcpus;
	OK(lf_domain_config_set(&config->cpu, "host", &error));
	return config;
}

static struct lf_domain *
fork_of(struct lf_snapshot *snapshot, const char *name)
{
	struct lf_fork_options options;
	struct lf_domain *fork = NULL;

	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_KVM;
	options.launcher = guest_launcher();
	options.name = name;
	options.verify_every = 1;
	OK(lf_domain_fork(snapshot, &options, &fork, &error));
	return fork;
}

/* A progress page of the guest's `counter` (tests/guest/README.md). */
struct progress {
	uint64_t gpa;
	uint64_t count, errors;
};

static struct progress
read_progress(struct lf_domain *domain, uint64_t gpa)
{
	struct progress progress = {.gpa = gpa};
	uint64_t words[6];

	OK(lf_memory_read(domain, gpa, words, sizeof(words), &error));
	cr_assert_eq(memcmp(words, "XFPROGR", 8), 0, "no progress page");
	progress.count = words[2];
	progress.errors = words[4];
	return progress;
}

static void
run_for(struct lf_domain *domain, unsigned ms)
{
	struct timespec pause = {ms / 1000, (ms % 1000) * 1000000L};

	OK(lf_domain_unpause(domain, &error));
	nanosleep(&pause, NULL);
	OK(lf_domain_pause(domain, &error));
}

/* The guest-physical addresses that "counter cpu=N gpa=0x..." told. */
static unsigned
find_counters(const char *text, uint64_t *gpas, unsigned max)
{
	unsigned count = 0;

	while (count < max && (text = strstr(text, "counter cpu=")) != NULL) {
		const char *gpa = strstr(text, "gpa=0x");

		if (gpa != NULL && gpa - text < 40)
			gpas[count++] = strtoull(gpa + 4, NULL, 16);
		text++;
	}
	return count;
}

static void
goes_on_both_ways(unsigned vcpus, enum lf_machine machine)
{
	/* Nothing prints by itself: a fork would stop at the serial port. */
	cleanup_config struct lf_domain_config *config =
	    parent_config("xf.run=counter,agent", vcpus, machine);
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = NULL, *fork = NULL,
					*other = NULL;
	struct lf_launch_options launch = {
	    .launcher = guest_launcher(), .devstate_fd = -1};
	cleanup_free char *path = NULL;
	struct console console, late;
	uint64_t gpas[4];
	struct progress frozen[4], before[4], now;
	unsigned i;

	OK(lf_domain_create(config, guest_launcher(), &parent, &error));
	console_open(&console, config->serial.path);
	OK(lf_domain_unpause(parent, &error));
	console_wait(&console, 0, "agent> ready", BOOT_MS);
	console_run(&console, "true");
	console_drain(&console, 500);
	cr_assert_eq(find_counters(console.text, gpas, 4), vcpus);

	OK(lf_domain_freeze(parent, &snapshot, &error));
	fork = fork_of(snapshot, "fork");
	other = fork_of(snapshot, "other");
	for (i = 0; i < vcpus; i++)
		frozen[i] = read_progress(fork, gpas[i]);

	/* Without device model every vCPU's counter passes the parent's. */
	run_for(fork, 2000);
	run_for(other, 1000);
	cr_assert_eq(lf_domain_state(fork), LF_DOMAIN_PAUSED, "%s",
	    lf_domain_reason(fork));
	for (i = 0; i < vcpus; i++) {
		before[i] = read_progress(fork, gpas[i]);
		cr_assert_gt(before[i].count, frozen[i].count,
		    "vCPU %u stands still: %s", i, lf_domain_reason(fork));
		cr_assert_eq(before[i].errors, 0);
	}
	OK(lf_domain_reset(other, &error));
	for (i = 0; i < vcpus; i++)
		cr_assert_eq(read_progress(other, gpas[i]).count,
		    frozen[i].count, "vCPU %u after reset", i);

	/* Launched late, it goes on from where it stands. */
	cr_assert_gt(asprintf(&path, "%s.%s", config->serial.path, "fork"), 0);
	OK(lf_domain_launch(fork, &launch, &error));
	cr_assert_eq(lf_domain_backend(fork), LF_BACKEND_QEMU);
	console_open(&late, path);
	OK(lf_domain_unpause(fork, &error));
	console_run(&late, "tick 0.1 >/dev/console 2>&1 &");
	console_wait(&late, 0, "tick 3\n", 60000);
	for (i = 0; i < vcpus; i++) {
		const char *line = console_run(&late,
		    "cat /run/progress/counter.%u | head -c 40 | "
		    "od -An -tu8 -v | tr -s ' \\n' ' '",
		    i);
		unsigned long long cpu, count;

		cr_assert_eq(
		    sscanf(line, "%*u %llu %llu", &cpu, &count), 2, "%s", line);
		now.count = count;
		cr_assert_geq(now.count, before[i].count, "vCPU %u", i);
	}
	console_close(&late);
	console_close(&console);
}

/* The matrix is for the soak; a boot takes a while in the lab. */
Test(two_phase, a_linux_guest_goes_on_both_ways)
{
	goes_on_both_ways(1, LF_MACHINE_PC);
	if (getenv("LF_SOAK") != NULL) {
		goes_on_both_ways(2, LF_MACHINE_Q35);
		goes_on_both_ways(4, LF_MACHINE_PC);
	}
}
