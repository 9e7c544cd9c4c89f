/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crashes of a guest: where they are seen (sinks), and reports of them.
 *
 * A sink is a function of the guest that is called only when something went
 * wrong: a probe there (<libfork/probe.h>) whose hit is a crash. A report says
 * where the guest stands, what it was executing and how it came there, and has
 * an id that is the same for crashes of the same cause.
 */
#ifndef LIBFORK_CRASH_H
#define LIBFORK_CRASH_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/domain.h>
#include <libfork/error.h>
#include <libfork/symbols.h>
#include <libfork/vmi.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a sink's arguments say: where the registers of what went wrong are, and
 * what else is known. x86-64 Linux, C calling convention.
 */
enum lf_sink_context {
	LF_SINK_PLAIN,   /* nothing: the vCPU's own registers */
	LF_SINK_REGS_1,  /* first argument: struct pt_regs */
	LF_SINK_REGS_2,  /* second argument: struct pt_regs */
	LF_SINK_TEXT,    /* first argument: a text that says what */
	LF_SINK_SIGNAL,  /* first: a signal's number; registers are those
			    of the process, at the kernel stack's top */
	LF_SINK_SIGINFO, /* as SIGNAL, first: kernel_siginfo_t */
};

struct lf_sink {
	uint64_t address; /* guest-virtual */
	enum lf_sink_context context;
	char name[64];
};

/* One of several names that stand for a group of sinks. */
#define LF_SINKS_LINUX "linux" /* all of the groups below */
#define LF_SINKS_OOPS  "oops"  /* panic, oops, BUG, stack and buffer checks */
#define LF_SINKS_KASAN "kasan" /* KASAN, KFENCE */
#define LF_SINKS_UBSAN "ubsan"
#define LF_SINKS_USER  "user" /* signals that kill a process */

#define LF_SINKS_MAX   128

/*
 * Adds the sinks that `text` names to `sinks`, which has `*count` of room for
 * LF_SINKS_MAX: the name of a group, or an address or symbol as
 * lf_symbols_resolve() knows it. Of a group those that the table does not have
 * are left out; their names, with a space between, are put into `missing`
 * (`size` bytes, may be NULL). -ENOENT: no such symbol, or no member of the
 * group is in the table; -E2BIG.
 */
LF_API int lf_sinks_add(const char *text, const struct lf_symbols *symbols,
    struct lf_sink *sinks, size_t *count, char *missing, size_t size,
    struct lf_error *error);

struct lf_crash_options {
	const char *what; /* in a line; "" for nothing known */
	unsigned vcpu;
	enum lf_sink_context context;     /* of the sink that was hit */
	const struct lf_symbols *symbols; /* NULL: none */
	/*
	 * For its log; NULL: none. One that lf_kernel_find_in() found in any
	 * fork of the snapshot; it looks at this domain from then on.
	 */
	struct lf_kernel *kernel;
};

#define LF_CRASH_ID_LEN 16

/* Return addresses that may be part of the way to the crash. */
#define LF_CRASH_FRAMES_MAX 32

struct lf_crash;

/*
 * Describes where a domain stands, which must not run. What cannot be read is
 * left out: only -ENOMEM and errors of lf_vcpu_read_regs() are errors.
 */
LF_API int lf_crash_new(struct lf_domain *domain,
    const struct lf_crash_options *options, struct lf_crash **ret_crash,
    struct lf_error *error);

/* Frees it and all text from it. NULL is allowed. */
LF_API void lf_crash_free(struct lf_crash *crash);

/*
 * Sixteen hexadecimal digits that two crashes share when they have the same
 * kind (`what` without its numbers) and the same place and innermost callers:
 * functions where they are known, else addresses.
 */
LF_API const char *lf_crash_id(const struct lf_crash *crash);

/* The report for readers, and as a JSON object. */
LF_API const char *lf_crash_text(const struct lf_crash *crash);
LF_API const char *lf_crash_json(const struct lf_crash *crash);

#ifdef __cplusplus
}
#endif

#endif
