/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/cpuid_probe: what a guest of a configuration sees as its CPU, told by a
 * guest under the real QEMU.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include <libfork/domain_config.h>
#include <libfork/launcher.h>

#include "lib/fault.h"
#include "qemu/cpuid_probe.h"

static struct lf_domain_config *
configuration(const char *cpu, unsigned vcpus, enum lf_machine machine)
{
	struct lf_domain_config *config = lf_domain_config_new();

	config->name = strdup("probed");
	config->accelerator = LF_ACCELERATOR_TCG;
	config->machine = machine;
	config->vcpus = vcpus;
	config->cpu = strdup(cpu);
	return config;
}

static int
probe(const char *cpu, unsigned vcpus, struct cpuid_probe *ret,
    struct lf_error *error)
{
	struct lf_domain_config *config =
	    configuration(cpu, vcpus, LF_MACHINE_Q35);
	struct lf_launcher *launcher;
	int rc;

	cr_assert_eq(lf_launcher_spawn_new(NULL, &launcher, error), 0);
	rc = cpuid_probe_run(launcher, config, 120000, ret, error);
	lf_launcher_spawn_free(launcher);
	lf_domain_config_free(config);
	return rc;
}

Test(cpuid_probe, tells_the_model_and_its_features, .timeout = 240)
{
	const struct cpu_cpuid_entry *entry;
	struct cpuid_probe found;
	struct lf_error error;

	cr_assert_eq(probe("EPYC,-rdrand,+avx2", 2, &found, &error), 0, "%s",
	    error.message);
	entry = cpu_cpuid_find(&found.cpuid, 0, 0);
	cr_assert_not_null(entry);
	/* "AuthenticAMD" in EBX, EDX, ECX */
	cr_assert_eq(entry->ebx, 0x68747541);
	cr_assert_eq(entry->edx, 0x69746e65);
	cr_assert_eq(entry->ecx, 0x444d4163);
	entry = cpu_cpuid_find(&found.cpuid, 1, 0);
	cr_assert_eq(entry->eax, 0x00800f12); /* the model's signature */
	cr_assert_eq(entry->ecx >> 30 & 1, 0, "RDRAND was taken away");
	cr_assert_eq(entry->ebx >> 16 & 0xff, 2, "two logical processors");
	/* The extended state has its size in leaf 0xd, AVX at 576. */
	entry = cpu_cpuid_find(&found.cpuid, 0xd, 2);
	cr_assert_not_null(entry);
	cr_assert_eq(entry->eax, 256);
	cr_assert_eq(entry->ebx, 576);
	/* The hypervisor's name is there. */
	cr_assert_not_null(cpu_cpuid_find(&found.cpuid, 0x40000000, 0));
	/* "AMD EPYC Processor" begins in leaf 0x80000002. */
	entry = cpu_cpuid_find(&found.cpuid, 0x80000002, 0);
	cr_assert_eq(memcmp(&entry->eax, "AMD ", 4), 0);
}

Test(cpuid_probe, two_models_differ_and_one_is_like_itself, .timeout = 240)
{
	struct cpuid_probe epyc, again, qemu64;
	struct lf_error error;

	cr_assert_eq(probe("EPYC", 1, &epyc, &error), 0, "%s", error.message);
	cr_assert_eq(probe("EPYC", 1, &again, &error), 0, "%s", error.message);
	cr_assert_eq(
	    probe("qemu64", 1, &qemu64, &error), 0, "%s", error.message);
	cr_assert_eq(cpu_cpuid_compare(&epyc.cpuid, &again.cpuid, &error), 0,
	    "%s", error.message);
	cr_assert_lt(cpu_cpuid_compare(&epyc.cpuid, &qemu64.cpuid, &error), 0);
}

Test(cpuid_probe, a_model_that_qemu_does_not_know_is_qemus_own_words,
    .timeout = 240)
{
	struct cpuid_probe found;
	struct lf_error error;

	cr_assert_lt(probe("Z80", 1, &found, &error), 0);
	cr_assert_not_null(
	    strstr(error.message, "unable to find CPU model 'Z80'"), "%s",
	    error.message);
}

static int (*start_really)(struct lf_launcher *launcher,
    const struct lf_qemu_request *request, struct lf_qemu_process *ret_process,
    struct lf_error *error);
static unsigned started;

static int
start_counted(struct lf_launcher *launcher,
    const struct lf_qemu_request *request, struct lf_qemu_process *ret_process,
    struct lf_error *error)
{
	started++;
	return start_really(launcher, request, ret_process, error);
}

Test(cpuid_probe, what_is_known_of_a_process_is_not_asked_again, .timeout = 240)
{
	struct lf_domain_config *config =
	    configuration("qemu64", 1, LF_MACHINE_PC);
	struct cpuid_known *known = cpuid_known_new(), *other;
	static struct cpuid_probe first, second;
	struct lf_launcher *launcher;
	struct lf_error error;

	cr_assert_eq(lf_launcher_spawn_new(NULL, &launcher, &error), 0);
	start_really = launcher->start_qemu;
	launcher->start_qemu = start_counted;
	/* A failure is not what it knows. */
	cr_assert_eq(lf_domain_config_set(&config->cpu, "nonesuch", &error), 0);
	cr_assert_lt(
	    cpuid_known_get(known, launcher, config, 120000, &first, &error),
	    0);
	cr_assert_eq(lf_domain_config_set(&config->cpu, "qemu64", &error), 0);
	started = 0;
	cr_assert_eq(
	    cpuid_known_get(known, launcher, config, 120000, &first, &error), 0,
	    "%s", error.message);
	cr_assert_eq(started, 1);
	other = cpuid_known_ref(known);
	cpuid_known_unref(known);
	cr_assert_eq(
	    cpuid_known_get(other, launcher, config, 120000, &second, &error),
	    0);
	cr_assert_eq(started, 1);
	cr_assert_eq(memcmp(&first, &second, sizeof(first)), 0);
	cpuid_known_unref(other);
	/* Another process, and who knows of none: asked each time. */
	known = cpuid_known_new();
	cr_assert_eq(
	    cpuid_known_get(known, launcher, config, 120000, &second, &error),
	    0);
	cr_assert_eq(
	    cpuid_known_get(NULL, launcher, config, 120000, &second, &error),
	    0);
	cr_assert_eq(started, 3);
	cpuid_known_unref(known);
	lf_launcher_spawn_free(launcher);
	lf_domain_config_free(config);
}

Test(cpuid_probe, a_launcher_that_fails_leaves_nothing_open)
{
	struct cpuid_probe found;
	struct lf_error error;
	struct lf_launcher_spawn_options options = {
	    .qemu = "/nonexistent/qemu"};
	struct lf_domain_config *config =
	    configuration("max", 1, LF_MACHINE_PC);
	struct lf_launcher *launcher;
	int before = fault_open_descriptors();

	cr_assert_eq(lf_launcher_spawn_new(&options, &launcher, &error), 0);
	cr_assert_lt(
	    cpuid_probe_run(launcher, config, 1000, &found, &error), 0);
	cr_assert_not_null(strstr(error.message, "/nonexistent/qemu"));
	lf_launcher_spawn_free(launcher);
	lf_domain_config_free(config);
	cr_assert_eq(fault_open_descriptors(), before);
}

Test(cpuid_probe, what_no_probe_guest_writes_is_refused)
{
	static const uint8_t end_only[] = {'E'};
	static const uint8_t text[] = "hello";
	static const uint8_t half[25] = {'C'};
	static uint8_t many[(CPU_CPUID_MAX + 1) * 25];
	struct cpuid_probe found;
	struct lf_error error;
	unsigned i;

	cr_assert_eq(cpuid_probe_parse(end_only, 1, &found, &error), -EBADMSG);
	cr_assert_eq(cpuid_probe_parse(text, 5, &found, &error), -EBADMSG);
	for (i = 0; i < sizeof(half); i++)
		cr_assert_eq(cpuid_probe_parse(half, i, &found, &error), 0);
	for (i = 0; i <= CPU_CPUID_MAX; i++)
		many[i * 25] = 'C';
	cr_assert_eq(
	    cpuid_probe_parse(many, sizeof(many), &found, &error), -EBADMSG);
}
