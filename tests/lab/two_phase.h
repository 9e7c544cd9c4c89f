/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parents for two-phase forks, and looks at them from outside: the counters'
 * progress, pages in every kind of memory, screen, clock and network. All of
 * it fails the test when it fails, and nothing here waits for a time: what
 * has to happen is waited for, as long as it takes.
 */
#ifndef TESTS_LAB_TWO_PHASE_H
#define TESTS_LAB_TWO_PHASE_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/guest_vm.h"

extern struct lf_error two_phase_error;
#define OK(call) \
	cr_assert_eq((call), 0, "%s: %s", #call, two_phase_error.message)

#define MAX_VCPUS  4
#define MAX_PLACES 3

struct kind {
	enum lf_machine machine;
	unsigned vcpus;
	bool large;  /* 5 GiB: RAM above 4 GiB */
	bool ovmf;   /* else SeaBIOS, with writable memory at 0xe8000 */
	bool hyperv; /* with Hyper-V's enlightenments instead of KVM's */
};

/* Skips the test where KVM does not run kernel code as hardware does. */
void two_phase_setup(void);

/* A booted parent: on each vCPU a counter, a disk, a network, a screen. */
struct parent {
	const struct kind *kind;
	struct lf_domain_config *config;
	struct lf_domain *domain;
	struct console console;
	uint64_t video;               /* guest-physical */
	uint64_t counters[MAX_VCPUS]; /* their progress pages */
	/*
	 * Two pages each: the first has the count of vCPU 0's counter, the
	 * second nobody uses.
	 */
	uint64_t places[MAX_PLACES];
	unsigned place_count;
};

void parent_boot(struct parent *parent, const struct kind *kind);
void parent_end(struct parent *parent);

/* A fork without device model; its resets are verified. */
struct lf_domain *fork_without(struct lf_snapshot *snapshot, const char *name);
struct lf_domain *fork_with_all_interrupts(
    struct lf_snapshot *snapshot, const char *name);

/* Changes what a fork may have changed without its device model. */
void change_state(struct lf_domain *fork);

/* Whether that is what the QEMU says that it was launched with. */
void check_changed_state(struct lf_domain *launched);

/* Gives it its device model; its console is open, it is paused. */
void launch_paused(const struct parent *parent, struct lf_domain *fork,
    const char *name, struct console *console);

/* The same, and it runs. */
void launch_late(const struct parent *parent, struct lf_domain *fork,
    const char *name, struct console *console);

uint64_t word_at(struct lf_domain *domain, uint64_t gpa);

/* What a counter or remap shows (tests/guest/README.md). */
struct progress {
	uint64_t count, errors;
};
struct progress progress_of(struct lf_domain *domain, uint64_t gpa);

/* "NAME cpu=N gpa=0x..." in what a console told. */
uint64_t progress_page(const char *text, const char *name, unsigned cpu);

/*
 * Runs all the forks together until each of the pages of each of them is ahead
 * of `from`, and pauses them.
 */
void run_until_ahead(struct lf_domain *const forks[], unsigned count,
    const uint64_t *gpas, const struct progress *from, unsigned gpa_count);

/* Waits until a running fork stands by itself. */
void wait_until_stopped(struct lf_domain *fork);

/* Pixels of the screen that change when the guest writes to it. */
unsigned screen_changes(
    const struct parent *parent, struct lf_domain *domain, struct console *c);

/* The guest's clock goes as fast as ours. */
void check_clock(struct console *console);

/* Bytes go to the guest's echo server and come back. */
void check_network(struct lf_domain *domain);

/* FNV-1a of what is in a sparse file. */
uint64_t sparse_hash(int fd);

#endif
