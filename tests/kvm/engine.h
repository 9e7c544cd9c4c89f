/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of the engine share. A call that fails ends the test with its
 * message.
 */
#ifndef TESTS_KVM_ENGINE_H
#define TESTS_KVM_ENGINE_H

#include <criterion/criterion.h>
#include <stdint.h>

#include <libfork/libfork.h>

#include "lib/micro.h"

#define MIB 1048576UL

/* Of the last call that failed. */
extern struct lf_error error;

#define OK(call)                                                         \
	do {                                                             \
		int ok_rc = (call);                                      \
		cr_assert_geq(ok_rc, 0, "%s: %s", #call, error.message); \
	} while (0)

/* Skips the test where there is no KVM; random numbers are always the same. */
void engine_need_kvm(void);

/* One vCPU that adds to a word in each of `pages` pages, and says done. */
struct lf_snapshot *engine_touching(uint64_t pages, uint64_t ram_bytes);

/* One vCPU that writes what the list says (engine_random_writes()). */
struct lf_snapshot *engine_writing(uint64_t ram_bytes);

struct lf_domain *engine_fork(struct lf_snapshot *snapshot);
struct lf_domain *engine_fork_with(
    struct lf_snapshot *snapshot, const struct lf_fork_options *options);

/* Every reset of it is verified. */
struct lf_domain *engine_fork_verified(
    struct lf_snapshot *snapshot, enum lf_reset_method method);

/* Where code of a test's own is. */
#define ENGINE_CODE 0x800000UL

/*
 * Another code than the micro-guest's, with `regs` but for RIP; at CPL 0 after
 * engine_privileged(). The fork alone has the snapshot.
 */
struct lf_domain *engine_fork_of_code(const void *code, size_t len,
    const struct lf_vcpu_regs *regs, enum lf_irqchip irqchip,
    const struct lf_fork_options *options);
void engine_privileged(struct lf_vcpu_regs *regs);

struct lf_exit engine_run(struct lf_domain *domain);

/* Runs until the guest says that it is done. */
void engine_run_done(struct lf_domain *domain);

uint64_t engine_word(struct lf_domain *domain, uint64_t gpa);
void engine_set_word(struct lf_domain *domain, uint64_t gpa, uint64_t value);

/*
 * A list of writes for the guest: to page tables, behind code that has run, to
 * low memory, and to everything above.
 */
void engine_random_writes(struct lf_domain *domain, uint64_t ram_bytes);

#endif
