/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probes in forks of a micro-guest: hit once for all forks, kept by resets,
 * seen by nobody but the guest.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include <libfork/probe.h>

#include "lib/parser_image.h"

TestSuite(probes, .init = open_image, .fini = close_image);

static struct lf_domain *
fork_image(void)
{
	struct lf_fork_options options;
	struct lf_domain *domain;

	lf_fork_options_init(&options);
	options.verify_every = 1;
	OK(lf_domain_fork(image.snapshot, &options, &domain, &error));
	return domain;
}

static void
put_input(struct lf_domain *domain, const char *text)
{
	uint64_t len = strlen(text);

	OK(lf_memory_write(
	    domain, SHARED(bytes), text, len > 0 ? len : 1, &error));
	OK(lf_memory_write(domain, SHARED(len), &len, sizeof(len), &error));
}

static struct lf_exit
run(struct lf_domain *domain)
{
	struct lf_exit exit;

	OK(lf_domain_run(domain, &exit, &error));
	return exit;
}

static void
expect_done(struct lf_domain *domain)
{
	struct lf_exit exit = run(domain);

	cr_assert_eq(exit.reason, LF_EXIT_IO, "%s", lf_exit_name(&exit));
	cr_assert_eq(exit.io.port, MICRO_DONE_PORT);
}

static void
expect_probe(struct lf_domain *domain, unsigned id, uint64_t address)
{
	struct lf_exit exit = run(domain);
	struct lf_vcpu_regs regs;

	cr_assert_eq(exit.reason, LF_EXIT_PROBE, "%s", lf_exit_name(&exit));
	cr_assert_eq(exit.probe.id, id);
	cr_assert_eq(exit.probe.rip, address);
	OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
	cr_assert_eq(regs.rip, address);
}

Test(probes, one_that_is_lifted_when_hit_costs_once_for_all_forks)
{
	uint64_t address = micro_image_symbol(&image, "json_check");
	struct lf_domain *first = fork_image(), *second = fork_image();
	struct lf_probes *probes;
	uint64_t result;
	unsigned id, i;

	OK(lf_probes_new(first, &probes, &error));
	id = (unsigned)OK(lf_probes_add(probes, first, address, &error));
	cr_assert_eq(
	    (unsigned)OK(lf_probes_add(probes, second, address, &error)), id);
	OK(lf_probes_show(probes, first, &error));
	OK(lf_probes_show(probes, second, &error));
	cr_assert_eq(OK(lf_probes_arm(probes, id, true, NULL, &error)), 1);
	cr_assert_eq(OK(lf_probes_arm(probes, id, true, NULL, &error)), 0);

	put_input(first, "[1, {\"a\": true}]");
	expect_probe(first, id, address);
	cr_assert_eq(OK(lf_probes_arm(probes, id, false, first, &error)), 1);
	expect_done(first);
	OK(lf_memory_read(first, SHARED(result), &result, 8, &error));
	cr_assert_eq(result, 0, "the guest went on as without a probe");

	put_input(second, "[1, 2");
	expect_done(second);
	OK(lf_memory_read(second, SHARED(result), &result, 8, &error));
	cr_assert_neq(result, 0);
	for (i = 0; i < 3; i++) {
		OK(lf_domain_reset(first, &error));
		expect_done(first);
	}
	lf_probes_free(probes);
	lf_domain_free(first);
	lf_domain_free(second);
}

Test(probes, stay_through_resets_until_they_are_lifted)
{
	uint64_t address = micro_image_symbol(&image, "json_check");
	struct lf_domain *domain = fork_image();
	struct lf_probes *probes;
	unsigned id, i;

	OK(lf_probes_new(domain, &probes, &error));
	id = (unsigned)OK(lf_probes_add(probes, domain, address, &error));
	OK(lf_probes_show(probes, domain, &error));
	OK(lf_probes_arm(probes, id, true, domain, &error));
	for (i = 0; i < 5; i++) {
		expect_probe(domain, id, address);
		OK(lf_domain_reset(domain, &error));
	}
	/* Lifted here only: this run passes, the next does not. */
	expect_probe(domain, id, address);
	OK(lf_probes_arm_here(probes, id, false, domain, &error));
	expect_done(domain);
	OK(lf_domain_reset(domain, &error));
	expect_probe(domain, id, address);
	OK(lf_probes_arm(probes, id, false, domain, &error));
	expect_done(domain);
	/* Armed here only. */
	OK(lf_domain_reset(domain, &error));
	OK(lf_probes_arm_here(probes, id, true, domain, &error));
	expect_probe(domain, id, address);
	OK(lf_domain_reset(domain, &error));
	expect_done(domain);
	lf_probes_free(probes);
	lf_domain_free(domain);
}

Test(probes, a_fork_that_wrote_the_page_follows_too)
{
	uint64_t address = micro_image_symbol(&image, "json_check");
	struct lf_domain *domain = fork_image(), *other = fork_image();
	struct lf_probes *probes;
	uint8_t byte;
	unsigned id;

	OK(lf_probes_new(domain, &probes, &error));
	id = (unsigned)OK(lf_probes_add(probes, domain, address, &error));
	OK(lf_probes_show(probes, domain, &error));
	OK(lf_probes_show(probes, other, &error));
	OK(lf_probes_arm(probes, id, true, NULL, &error));
	/* The page becomes private, with the probe in it. */
	OK(lf_memory_read(domain, address + 8, &byte, 1, &error));
	OK(lf_memory_write(domain, address + 8, &byte, 1, &error));
	OK(lf_memory_write(other, address + 8, &byte, 1, &error));
	expect_probe(domain, id, address);
	OK(lf_probes_arm(probes, id, false, domain, &error));
	expect_done(domain);
	/* Nobody told the other: it meets the old probe, which is told. */
	expect_probe(other, id, address);
	cr_assert_eq(OK(lf_probes_arm(probes, id, false, other, &error)), 0);
	expect_done(other);
	OK(lf_domain_reset(other, &error));
	expect_done(other);
	lf_probes_free(probes);
	lf_domain_free(domain);
	lf_domain_free(other);
}

Test(probes, are_shown_to_nobody_and_are_in_no_snapshot)
{
	uint64_t address = micro_image_symbol(&image, "json_check");
	struct lf_domain *domain = fork_image(), *child;
	struct lf_vcpu_regs before, after;
	struct lf_snapshot *snapshot;
	struct lf_probes *probes;
	uint8_t plain[64], seen[64];
	unsigned id;

	OK(lf_memory_read(domain, address - 8, plain, sizeof(plain), &error));
	OK(lf_vcpu_read_regs(domain, 0, &before, &error));
	OK(lf_probes_new(domain, &probes, &error));
	id = (unsigned)OK(lf_probes_add(probes, domain, address, &error));
	OK(lf_probes_show(probes, domain, &error));
	OK(lf_probes_arm(probes, id, true, domain, &error));
	OK(lf_memory_read(domain, address - 8, seen, sizeof(seen), &error));
	cr_assert_arr_eq(seen, plain, sizeof(plain));
	OK(lf_memory_read(domain, address + 1, seen, 1, &error));
	cr_assert_eq(seen[0], plain[9]);
	OK(lf_vcpu_read_regs(domain, 0, &after, &error));
	cr_assert_eq(after.rflags, before.rflags);

	/* A write next to it: the page goes into the delta. */
	OK(lf_memory_write(domain, address + 32, plain + 40, 8, &error));
	OK(lf_memory_write(domain, SHARED(len), "\0", 1, &error));
	OK(lf_memory_write(domain, (address & ~4095UL) + 8, "x", 1, &error));
	OK(lf_domain_freeze(domain, &snapshot, &error));
	OK(lf_domain_fork(snapshot, NULL, &child, &error));
	OK(lf_memory_read(child, address - 8, seen, sizeof(seen), &error));
	cr_assert_arr_eq(seen, plain, sizeof(plain));
	lf_domain_free(child);
	lf_snapshot_unref(snapshot);
	lf_probes_free(probes);
	lf_domain_free(domain);
}

Test(probes, the_guests_own_output_to_the_port_is_its_own)
{
	struct lf_domain *domain = fork_image();
	struct lf_probes *probes;
	const uint64_t yes = 1;
	struct lf_exit exit;
	unsigned id;

	OK(lf_probes_new(domain, &probes, &error));
	if (lf_probes_length(probes) == 1)
		cr_skip_test("probes are INT3 here");
	id = (unsigned)OK(lf_probes_add(
	    probes, domain, micro_image_symbol(&image, "json_check"), &error));
	OK(lf_probes_show(probes, domain, &error));
	OK(lf_probes_arm(probes, id, true, domain, &error));
	OK(lf_memory_write(domain, SHARED(own_out), &yes, 8, &error));
	cr_assert_eq(run(domain).reason, LF_EXIT_PROBE);
	OK(lf_probes_arm(probes, id, false, domain, &error));
	exit = run(domain);
	cr_assert_eq(exit.reason, LF_EXIT_IO);
	cr_assert_eq(exit.io.port, 0xf6);
	cr_assert_eq(*(const uint8_t *)exit.io.data, 7);
	lf_probes_free(probes);
	lf_domain_free(domain);
}

Test(probes, what_cannot_be_is_refused_with_the_address)
{
	uint64_t address = micro_image_symbol(&image, "json_check");
	struct lf_domain *domain = fork_image();
	struct lf_probes *probes, *others;
	size_t length;

	OK(lf_probes_new(domain, &probes, &error));
	OK(lf_probes_new(domain, &others, &error));
	length = lf_probes_length(probes);
	cr_assert_eq(
	    lf_probes_add(probes, domain, 0x5000000000, &error), -EFAULT);
	cr_assert(strstr(error.message, "no probe at 0x5000000000: ") != NULL,
	    "%s", error.message);
	if (length == 2) {
		cr_assert_eq(
		    lf_probes_add(probes, domain, 0x30fff, &error), -EXDEV);
		OK(lf_probes_add(probes, domain, address, &error));
		cr_assert_eq(lf_probes_add(probes, domain, address + 1, &error),
		    -EEXIST);
	}
	OK(lf_probes_show(probes, domain, &error));
	cr_assert_eq(lf_probes_show(others, domain, &error), -EBUSY);
	cr_assert_eq(
	    lf_probes_arm(probes, 1000, true, domain, &error), -EINVAL);
	cr_assert_str_eq(error.message, "there is no probe 1000");
	/* A page that this fork has written cannot be shown from elsewhere. */
	OK(lf_memory_write(domain, 0x40000, "x", 1, &error));
	OK(lf_probes_add(probes, domain, 0x40010, &error));
	cr_assert_eq(lf_probes_show(probes, domain, &error), -EBUSY);
	OK(lf_domain_reset(domain, &error));
	OK(lf_probes_show(probes, domain, &error));
	lf_probes_free(others);
	lf_probes_free(probes);
	lf_domain_free(domain);
}
