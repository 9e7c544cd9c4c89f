/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be chosen for a fork (lf_domain_fork()): its backend, what reaches
 * it from outside, and what a reset brings back.
 */
#ifndef LIBFORK_FORK_OPTIONS_H
#define LIBFORK_FORK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/dm_pool.h>
#include <libfork/error.h>
#include <libfork/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_domain_config;
struct lf_launcher;

enum lf_backend {
	LF_BACKEND_KVM,
	LF_BACKEND_QEMU,
};

/* Which interrupts a fork without device model gets. */
enum lf_interrupts {
	LF_INTERRUPTS_DEFAULT, /* BLOCK with one vCPU, IPI with several */
	LF_INTERRUPTS_BLOCK,   /* SMI, NMI and IRQ held back; exceptions not */
	LF_INTERRUPTS_IPI,     /* only inter-processor interrupts */
	LF_INTERRUPTS_ALL,     /* whatever the in-kernel devices deliver */
};

/* What becomes of a device access in a fork without device model. */
enum lf_io_policy {
	LF_IO_STOP,   /* exit; the access has not happened, may be answered */
	LF_IO_IGNORE, /* reads give all ones, writes are dropped; goes on */
	LF_IO_CRASH,  /* the domain is crashed */
	LF_IO_LAUNCH, /* as LF_IO_STOP; its owner launches a device model */
};

/* How a reset finds and restores changed pages. */
enum lf_reset_method {
	/* Dirty ring; pages written often stay private and writable. */
	LF_RESET_ADAPTIVE,
	/* Dirty bitmap, fetched and cleared each time: to compare with. */
	LF_RESET_BITMAP,
	/* Dirty ring, every page dropped each time: to compare with. */
	LF_RESET_DONTNEED,
};

/* What a reset brings back. */
#define LF_RESET_MEMORY     (1U << 0)
#define LF_RESET_REGS       (1U << 1) /* registers, segments, events */
#define LF_RESET_FPU        (1U << 2) /* XSAVE area */
#define LF_RESET_MSRS       (1U << 3) /* MSRs, XCRs, nested virtualization */
#define LF_RESET_DEBUG      (1U << 4) /* debug registers */
#define LF_RESET_INTERRUPTS (1U << 5) /* run state, LAPIC, irqchips, clocks */
#define LF_RESET_TSC        (1U << 6) /* the TSC's offset */
#define LF_RESET_ALL        0x7fU

/*
 * Memory that a fork shares with the outside and that no reset touches:
 * `length` bytes (whole pages) shown at guest-physical address `gpa`, in place
 * of memory that is there or in a hole. It is either mapped from `fd` (a file
 * that has all of it, at `offset`), or, with fd -1, at `address` of this
 * process (page aligned, e.g. a SysV segment) and must stay mapped as long as
 * the domain lives.
 */
struct lf_region {
	uint64_t gpa;
	uint64_t length;
	int fd; /* borrowed; -1: `address` */
	uint64_t offset;
	void *address;
};

struct lf_fork_options {
	enum lf_backend backend;
	const char *name; /* NULL: none; copied */

	/* Backend kvm. */
	enum lf_interrupts interrupts;
	enum lf_io_policy io_policy;
	struct lf_pool *pool; /* VM shells made ahead; NULL: none */
	bool msr_exits;       /* unknown MSRs exit, else they fault */
	bool pv_clock;        /* give the guest's clock MSRs to KVM */
	enum lf_reset_method reset_method;
	unsigned reset_groups; /* LF_RESET_... */
	unsigned ring_entries; /* power of two from 256 on; 0: 1,024 */
	unsigned verify_every; /* check every N-th reset; 0: never */
	const struct lf_region *regions;
	size_t region_count;

	/* Backend qemu. */
	/*
	 * Must outlive the domain. Backend kvm needs one, for the length of
	 * the call, for the first fork of a snapshot that QEMU made.
	 */
	struct lf_launcher *launcher;
	const struct lf_domain_config *config; /* NULL: the snapshot's */
	int devstate_fd; /* stream to use instead of the snapshot's; -1 */
	struct lf_dm_pool *dm_pool; /* device models that wait; NULL: none */
};

/* The defaults: backend kvm, everything reset, nothing verified. */
LF_API void lf_fork_options_init(struct lf_fork_options *options);

#ifdef __cplusplus
}
#endif

#endif
