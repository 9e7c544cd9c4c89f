/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why a domain stopped running.
 */
#ifndef LIBFORK_EXIT_H
#define LIBFORK_EXIT_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lf_exit_reason {
	LF_EXIT_NONE,
	LF_EXIT_IO,          /* port access: `io` */
	LF_EXIT_MMIO,        /* access to no memory: `mmio` */
	LF_EXIT_MSR,         /* MSR that KVM leaves to us: `msr` */
	LF_EXIT_IDLE,        /* halted, and nothing can wake it */
	LF_EXIT_SHUTDOWN,    /* triple fault or reset */
	LF_EXIT_DEBUG,       /* breakpoint or single step: `debug` */
	LF_EXIT_INTERRUPTED, /* lf_domain_stop() */
	LF_EXIT_ERROR,       /* KVM cannot go on: `internal` */
	LF_EXIT_PROBE,       /* <libfork/probe.h>: `probe` */
};

/* Longest string access that is reported at once. */
#define LF_EXIT_DATA_MAX 4096

/*
 * How KVM tells of each is in its api.rst, section 5. `io`, `mmio` and `msr`
 * are accesses that have not happened yet: lf_domain_answer() makes them
 * happen, else they are made again.
 */
struct lf_exit {
	enum lf_exit_reason reason;
	unsigned vcpu; /* which one stopped */
	union {
		struct {
			uint16_t port;
			uint8_t size;     /* 1, 2 or 4 bytes each */
			bool write;       /* OUT */
			uint32_t count;   /* more than 1: REP INS, REP OUTS */
			const void *data; /* OUT: count * size bytes */
		} io;
		struct {
			uint64_t gpa;
			uint8_t size; /* 1 to 8 */
			bool write;
			uint8_t data[8]; /* of a write */
		} mmio;
		struct {
			uint32_t index;
			bool write;
			uint64_t data; /* of a write */
		} msr;
		struct {
			uint32_t exception; /* vector: 1 or 3 */
			uint64_t rip;       /* linear */
			uint64_t dr6, dr7;
		} debug;
		/* The vCPU stands at the probe, which has no effect. */
		struct {
			uint32_t id;  /* as lf_probes_add() gave it */
			uint64_t rip; /* as the vCPU has it */
		} probe;
		struct {
			uint32_t kvm_exit; /* KVM's exit reason */
			uint32_t suberror; /* KVM's number */
			uint64_t rip;
			uint8_t insn_len; /* 0: bytes unknown */
			uint8_t insn[15];
		} internal;
	};
};

/* "port read", "idle" and so on; never NULL. */
LF_API const char *lf_exit_name(const struct lf_exit *exit);

/*
 * The same with what is known of it, on one line: "port write: 0x3f8, 1 byte:
 * 41". As much of it as fits into `size` bytes; always ended by a NUL.
 */
LF_API void lf_exit_describe(
    const struct lf_exit *exit, char *buf, unsigned size);

#ifdef __cplusplus
}
#endif

#endif
