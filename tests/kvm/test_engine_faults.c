/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine when something fails: each system call and allocation in turn,
 * too little memory, too many mappings.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <libfork/libfork.h>

#include "lib/count.h"
#include "lib/fault.h"
#include "lib/micro.h"
#include "memory/view.h"

#define MIB 1048576UL

static struct lf_error error;

static void
need_kvm(void)
{
	const char *why;

	if (!micro_usable(&why))
		cr_skip_test("%s", why);
}

TestSuite(faults, .init = need_kvm);

static struct lf_snapshot *
touching(unsigned vcpus, enum lf_irqchip irqchip)
{
	struct lf_snapshot_builder *builder = micro_builder(4 * MIB);
	struct lf_snapshot *snapshot;
	struct lf_vcpu_regs regs;

	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = 20;
	regs.rax = 1;
	while (vcpus-- > 0)
		cr_assert_eq(
		    lf_snapshot_builder_add_vcpu(builder, &regs, NULL), 0);
	cr_assert_eq(
	    lf_snapshot_builder_set_irqchip(builder, irqchip, NULL), 0);
	cr_assert_eq(lf_snapshot_builder_finish(builder, &snapshot, &error), 0);
	lf_snapshot_builder_free(builder);
	return snapshot;
}

/* Fork, write, run, reset, freeze, fork the fork. Stops at what fails. */
static int
life(struct lf_snapshot *snapshot, const struct lf_fork_options *options,
    struct lf_domain **domain)
{
	struct lf_snapshot *frozen = NULL;
	struct lf_domain *child = NULL;
	struct lf_exit exit;
	int rc;

	rc = lf_domain_fork(snapshot, options, domain, &error);
	if (rc == 0)
		rc = lf_memory_write(*domain, 0x300000, "fault", 5, &error);
	if (rc == 0)
		rc = lf_domain_run(*domain, &exit, &error);
	if (rc == 0)
		rc = lf_domain_reset(*domain, &error);
	if (rc == 0)
		rc = lf_domain_run(*domain, &exit, &error);
	if (rc == 0)
		rc = lf_domain_answer(*domain, NULL, 0, &error);
	if (rc == 0)
		rc = lf_domain_freeze(*domain, &frozen, &error);
	if (rc == 0)
		rc = lf_domain_thaw(*domain, &error);
	if (rc == 0)
		rc = lf_domain_fork(frozen, NULL, &child, &error);
	if (rc == 0)
		rc = lf_domain_run(child, &exit, &error);
	if (rc == 0)
		rc = lf_domain_reset(child, &error);
	lf_domain_free(child);
	lf_snapshot_unref(frozen);
	return rc;
}

static void
every_call(unsigned vcpus, enum lf_irqchip irqchip, enum lf_reset_method method)
{
	struct lf_snapshot *snapshot = touching(vcpus, irqchip);
	struct lf_region region = {.gpa = 0x380000, .length = 0x1000, .fd = -1};
	struct lf_fork_options options;
	unsigned failed = 0;

	region.address = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	lf_fork_options_init(&options);
	options.reset_method = method;
	options.regions = &region;
	options.region_count = 1;
	FAULT_LOOP(fault)
	{
		struct lf_domain *domain = NULL;
		int rc;

		lf_error_clear(&error);
		rc = life(snapshot, &options, &domain);
		fault_end(&fault);
		if (rc < 0) {
			failed++;
			cr_assert(fault.hit, "%s", error.message);
			cr_assert_eq(error.code, rc);
			cr_assert_neq(error.message[0], '\0');
		}
		/* Whatever failed: a second reset brings all of it back. */
		if (domain != NULL &&
		    lf_domain_state(domain) != LF_DOMAIN_FROZEN) {
			cr_assert_eq(lf_domain_reset(domain, &error), 0,
			    "after %s: %s", fault.name, error.message);
			cr_assert_eq(lf_domain_verify(domain, &error), 0,
			    "after %s in round %lu: %s", fault.name,
			    fault.round, error.message);
		}
		lf_domain_free(domain);
		cr_assert_eq(lf_snapshot_refs(snapshot), 1);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors,
		    "after %s in round %lu", fault.name, fault.round);
	}
	cr_assert_gt(failed, 30);
	lf_snapshot_unref(snapshot);
}

Test(faults, every_call_may_fail_without_a_leak_or_a_wrong_page)
{
	every_call(1, LF_IRQCHIP_NONE, LF_RESET_ADAPTIVE);
}

Test(faults, every_call_may_fail_with_the_bitmap)
{
	every_call(1, LF_IRQCHIP_NONE, LF_RESET_BITMAP);
}

Test(faults, every_call_may_fail_dropping_pages)
{
	every_call(1, LF_IRQCHIP_NONE, LF_RESET_DONTNEED);
}

#if !defined(__SANITIZE_ADDRESS__)
static unsigned long
address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	cr_assert_not_null(file);
	cr_assert_eq(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	return pages * (unsigned long)sysconf(_SC_PAGESIZE);
}
#endif

Test(faults, a_memory_limit_reached_while_forking_is_an_error_like_others)
{
#if defined(__SANITIZE_ADDRESS__)
	cr_skip_test("the sanitizer needs the address space");
#else
	struct lf_snapshot *snapshot = touching(1, LF_IRQCHIP_NONE);
	struct lf_domain *domain = NULL;
	struct rlimit old, limit;
	unsigned long extra;
	unsigned refused = 0;
	int descriptors, rc = -1;

	/* Once, so that what is made only once is there. */
	cr_assert_eq(lf_domain_fork(snapshot, NULL, &domain, &error), 0);
	lf_domain_free(domain);
	getrlimit(RLIMIT_AS, &old);
	descriptors = fault_open_descriptors();
	for (extra = 0; rc < 0 && extra < 64 * MIB; extra += 64 * 1024) {
		limit = (struct rlimit){address_space() + extra, old.rlim_max};
		setrlimit(RLIMIT_AS, &limit);
		rc = lf_domain_fork(snapshot, NULL, &domain, &error);
		setrlimit(RLIMIT_AS, &old);
		if (rc < 0) {
			refused++;
			cr_assert_eq(rc, -ENOMEM, "%s", error.message);
			cr_assert_eq(fault_open_descriptors(), descriptors);
		}
	}
	cr_assert_eq(rc, 0);
	cr_assert_gt(refused, 3);
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
#endif
}

Test(faults, a_riddled_snapshot_is_flattened_before_the_mappings_run_out)
{
	enum { RUNS = 1500, FORKS = 40 };
	struct lf_vcpu_regs regs;
	struct lf_snapshot *snapshot, *frozen;
	struct lf_domain *parent, *forks[FORKS];
	unsigned i, before;
	uint64_t value;

	if (memory_view_mappings_max() > 100000)
		cr_skip_test("vm.max_map_count is too large to be reached");
	micro_regs(MICRO_TOUCH, &regs);
	regs.rcx = 1;
	snapshot = micro_snapshot(256 * MIB, &regs, 1);
	cr_assert_eq(lf_domain_fork(snapshot, NULL, &parent, &error), 0);
	for (i = 0; i < RUNS; i++) {
		value = i;
		cr_assert_eq(lf_memory_write(parent, MICRO_DATA + i * 0x20000UL,
				 &value, 8, &error),
		    0);
	}
	cr_assert_eq(lf_domain_freeze(parent, &frozen, &error), 0);
	cr_assert_gt(lf_snapshot_delta_bytes(frozen), 0);
	before = count_mappings();
	for (i = 0; i < FORKS; i++)
		cr_assert_eq(lf_domain_fork(frozen, NULL, &forks[i], &error), 0,
		    "%s", error.message);
	cr_assert_eq(lf_snapshot_delta_bytes(frozen), 0, "flattened");
	cr_assert_lt(
	    count_mappings() - before, memory_view_mappings_max() * 3 / 4);
	for (i = 0; i < FORKS; i++) {
		cr_assert_eq(
		    lf_memory_read(forks[i],
			MICRO_DATA + (RUNS - 1) * 0x20000UL, &value, 8, &error),
		    0);
		cr_assert_eq(value, RUNS - 1);
		lf_domain_free(forks[i]);
	}
	lf_domain_free(parent);
	lf_snapshot_unref(frozen);
	lf_snapshot_unref(snapshot);
}
