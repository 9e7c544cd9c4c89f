/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzing: a fork that is given an input, run until something ends the run,
 * judged and reset, thousands of times a second. A session owns one fork of a
 * snapshot; sessions in several threads or processes share the snapshot.
 *
 * The start point is the instant of the snapshot, or where a harness
 * (xlfork-harness.h, compiled into the target) calls xlfork_start().
 *
 * A session belongs to one thread at a time; only lf_fuzz_interrupt() may be
 * called from any thread.
 */
#ifndef LIBFORK_FUZZ_H
#define LIBFORK_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/crash.h>
#include <libfork/domain.h>
#include <libfork/error.h>
#include <libfork/snapshot.h>
#include <libfork/symbols.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_fuzz;
struct lf_fuzz_outcome;

/* General registers by their numbers in instructions; NONE: no register. */
enum lf_fuzz_register {
	LF_FUZZ_REG_NONE = -1,
	LF_FUZZ_RAX,
	LF_FUZZ_RCX,
	LF_FUZZ_RDX,
	LF_FUZZ_RBX,
	LF_FUZZ_RSP,
	LF_FUZZ_RBP,
	LF_FUZZ_RSI,
	LF_FUZZ_RDI,
	LF_FUZZ_R8,
	LF_FUZZ_R9,
	LF_FUZZ_R10,
	LF_FUZZ_R11,
	LF_FUZZ_R12,
	LF_FUZZ_R13,
	LF_FUZZ_R14,
	LF_FUZZ_R15,
};

enum lf_fuzz_coverage {
	LF_FUZZ_COVERAGE_DEFAULT, /* SHARED where a harness has a map */
	LF_FUZZ_COVERAGE_NONE,
	LF_FUZZ_COVERAGE_SHARED, /* the target counts in `map` by itself */
	/*
	 * Probes at basic blocks: each costs one exit, once for all sessions of
	 * a snapshot's start point. A run that executes new blocks is made
	 * twice, so that its map has all of its blocks; of other inputs those
	 * that did so lately have theirs, the rest an almost empty map.
	 */
	LF_FUZZ_COVERAGE_BLOCK,
	/* Every branch is followed by probes: an exit each. One vCPU. */
	LF_FUZZ_COVERAGE_EDGE,
};

/* What becomes of an access to a device that is not the harness's port. */
enum lf_fuzz_io {
	LF_FUZZ_IO_CRASH,  /* it ends the run as a crash */
	LF_FUZZ_IO_STOP,   /* it ends the run in order */
	LF_FUZZ_IO_IGNORE, /* reads give all ones, writes are dropped */
};

struct lf_fuzz_options {
	/* --- the start point --- */
	/*
	 * Run the fork to the harness's xlfork_start() and begin there; the
	 * harness also says where input, size and map are, so that
	 * `input_address` to `map_address` need not be given.
	 */
	bool harness;
	unsigned start_timeout_ms; /* for getting there; 0: 10,000 */

	/*
	 * Else it is the snapshot's instant, and this vCPU stands there: the
	 * one whose page tables and registers are meant below.
	 */
	unsigned vcpu;

	/* --- the input --- */
	/*
	 * Where it goes: a guest-virtual address as that vCPU translates it at
	 * the start point, or the address that a register holds there. The
	 * pages must be present.
	 */
	uint64_t input_address;
	enum lf_fuzz_register input_register;
	size_t input_max; /* bytes that fit there */
	/*
	 * Where its size is written: `size_bytes` (4 or 8) at an address, or a
	 * register; 0 and NONE: nowhere.
	 */
	uint64_t size_address;
	unsigned size_bytes;
	enum lf_fuzz_register size_register;

	/* --- what ends a run --- */
	const uint64_t *stops; /* guest-virtual addresses; borrowed */
	size_t stop_count;
	/*
	 * Where the function at the start returns to, whoever comes there
	 * first: in a recursion it may be an inner call.
	 */
	bool stop_at_return;
	uint64_t exits_max; /* VM exits; more is a hang; 0: any number */
	/*
	 * Instructions of the guest, as perf counts them; more is a hang, seen
	 * a few thousand instructions later. 0: any number. Where perf does not
	 * count a guest's instructions lf_fuzz_open() refuses; one vCPU.
	 */
	uint64_t instructions_max;
	unsigned timeout_ms; /* longer is a hang; 0: only an interrupt */
	enum lf_fuzz_io io;

	/*
	 * What else is a crash (<libfork/crash.h>); borrowed for the call.
	 * Those that an exit or the harness tells need no sink.
	 */
	const struct lf_sink *sinks;
	size_t sink_count;
	/*
	 * Called after a run that was a crash, when the fork stands where it
	 * crashed: lf_fuzz_crash() describes it. NULL: nobody.
	 */
	void (*on_crash)(void *opaque, struct lf_fuzz *fuzz,
	    const struct lf_fuzz_outcome *outcome, const void *input,
	    size_t len);
	void *on_crash_opaque;

	/* --- coverage --- */
	enum lf_fuzz_coverage coverage;
	/*
	 * BLOCK and EDGE: which code, as "START-END", "START+LENGTH" or the
	 * name of a function; or, for BLOCK, a file with the address or symbol
	 * of a block a line. All are borrowed as long as the session is open.
	 */
	const char *const *code;
	size_t code_count;
	const char *blocks_path;          /* NULL: none */
	const struct lf_symbols *symbols; /* for these names; NULL: none */
	/*
	 * SHARED: `map_bytes` (whole pages) at guest-virtual `map_address` are
	 * `map` of this process (page-aligned, shared memory or private), not
	 * a copy, and no reset touches them. It must stay as long as the
	 * session. NULL: the session makes one of the guest's size.
	 */
	uint64_t map_address;
	uint8_t *map;
	size_t map_bytes;
	bool keep_map; /* somebody else clears it before each run */

	/* --- the fork --- */
	enum lf_interrupts interrupts;
	unsigned verify_every;        /* as in lf_fork_options */
	unsigned ring_entries;        /* as in lf_fork_options */
	struct lf_launcher *launcher; /* as in lf_fork_options */
	struct lf_pool *pool;         /* as in lf_fork_options */
	/*
	 * What a reset brings back (LF_RESET_...); 0: everything. A program
	 * that only has user mode cannot change the rest.
	 */
	unsigned reset_groups;
	bool timed; /* keep lf_fuzz_times */
};

/* The defaults: no input, no stop, no coverage, everything else a crash. */
LF_API void lf_fuzz_options_init(struct lf_fuzz_options *options);

/*
 * Makes a session: forks the snapshot, goes to the start point and checks that
 * everything the options name is there. `options` is borrowed for the call.
 * -EFAULT: an address is not mapped; -ETIMEDOUT: the harness's start was not
 * reached; -EINVAL: options that make no sense, or no such vCPU. The message
 * says which.
 */
LF_API int lf_fuzz_open(struct lf_snapshot *snapshot,
    const struct lf_fuzz_options *options, struct lf_fuzz **ret_fuzz,
    struct lf_error *error);

/*
 * Another session at the start point of `fuzz`, with the same options and a
 * map of its own, for another thread. `fuzz` must not be running.
 */
LF_API int lf_fuzz_open_beside(const struct lf_fuzz *fuzz,
    struct lf_fuzz **ret_fuzz, struct lf_error *error);

/* Ends the session and its fork. NULL is allowed. */
LF_API void lf_fuzz_close(struct lf_fuzz *fuzz);

enum lf_fuzz_result {
	LF_FUZZ_OK,
	LF_FUZZ_CRASH,
	LF_FUZZ_HANG,
};

#define LF_FUZZ_WHAT_MAX 192

/* How a run ended. */
struct lf_fuzz_outcome {
	enum lf_fuzz_result result;
	/* One line: "harness: stop", "triple fault at 0x...". */
	char what[LF_FUZZ_WHAT_MAX];
	uint64_t address; /* where the target stood; 0: not known */
	uint64_t exits;   /* VM exits of this run */
};

/*
 * Resets the fork where that was not done yet, puts the input in place and
 * runs. The fork stands as the run left it until the next reset, for
 * lf_fuzz_domain(). -EMSGSIZE: longer than lf_fuzz_input_max(). Any other
 * error means that the session is of no use any more.
 */
LF_API int lf_fuzz_run(struct lf_fuzz *fuzz, const void *input, size_t len,
    struct lf_fuzz_outcome *ret_outcome, struct lf_error *error);

/*
 * Resets the fork now rather than at the next run: while somebody else makes
 * up the next input, it costs nothing.
 */
LF_API int lf_fuzz_reset(struct lf_fuzz *fuzz, struct lf_error *error);

/*
 * Goes on from deeper inside: runs `prefix` as an input until the target says
 * (xlfork_consumed()) that it has read all of it, and makes that instant the
 * start point. From then on inputs are what follows the prefix. -ENODATA: the
 * run ended before that.
 */
LF_API int lf_fuzz_prefix(struct lf_fuzz *fuzz, const void *prefix, size_t len,
    struct lf_error *error);

/* Ends a run that is under way as a hang. Any thread, any signal handler. */
LF_API void lf_fuzz_interrupt(struct lf_fuzz *fuzz);

/* Another limit for the runs from now on; not while one is under way. */
LF_API int lf_fuzz_set_timeout(
    struct lf_fuzz *fuzz, unsigned timeout_ms, struct lf_error *error);

/* How long an input may be now. */
LF_API size_t lf_fuzz_input_max(const struct lf_fuzz *fuzz);

/* Where the time went, in nanoseconds since the session was made. */
struct lf_fuzz_times {
	uint64_t runs;
	uint64_t inject_ns;   /* input and size into the guest */
	uint64_t coverage_ns; /* watchers, before and after */
	uint64_t run_ns;      /* the guest, and its exits */
	uint64_t reset_ns;
	/*
	 * From the beginning of a reset, which sets the guest's TSC back, to
	 * that of the run, in host TSC cycles: the guest sees these.
	 */
	uint64_t tsc_min, tsc_max;
};

/* -EINVAL when the session is not timed. */
LF_API int lf_fuzz_times(const struct lf_fuzz *fuzz,
    struct lf_fuzz_times *ret_times, struct lf_error *error);

/*
 * Describes where the last run ended; before the next one. `symbols` and
 * `kernel` may be NULL.
 */
LF_API int lf_fuzz_crash(struct lf_fuzz *fuzz,
    const struct lf_fuzz_outcome *outcome, const struct lf_symbols *symbols,
    struct lf_kernel *kernel, struct lf_crash **ret_crash,
    struct lf_error *error);

/* The coverage map and its size; NULL and 0 without. */
LF_API uint8_t *lf_fuzz_map(const struct lf_fuzz *fuzz, size_t *ret_bytes);

/* A basic block of the code that BLOCK or EDGE coverage is about. */
struct lf_fuzz_block {
	uint64_t start, end; /* guest-virtual, end behind it */
	bool watched;  /* BLOCK: false where no probe fits: it is not seen */
	bool executed; /* in any run of this session */
};

/* How many there are, in the order of their addresses; others have none. */
LF_API size_t lf_fuzz_block_count(const struct lf_fuzz *fuzz);

/* -ERANGE: there are not so many. */
LF_API int lf_fuzz_block(const struct lf_fuzz *fuzz, size_t index,
    struct lf_fuzz_block *ret_block, struct lf_error *error);

/* The fork, to be looked into between runs. It belongs to the session. */
LF_API struct lf_domain *lf_fuzz_domain(const struct lf_fuzz *fuzz);

/* The start point, not a new reference: other sessions can begin there. */
LF_API struct lf_snapshot *lf_fuzz_start_point(const struct lf_fuzz *fuzz);

/*
 * Makes a snapshot of a program without an operating system: an x86-64 ELF
 * file, linked statically at fixed addresses from 2 MiB on, about to run at its
 * entry point in user mode with a stack and nothing else, in `memory_bytes` of
 * memory (0: 64 MiB). Segments have the file's permissions, the rest of memory
 * is readable and writable. Port I/O is allowed; there are no system calls; a
 * fault ends the run. `fd` is borrowed, `name` is for messages. -ENOEXEC: not
 * such a file, the message says why.
 */
LF_API int lf_fuzz_load_program(int fd, const char *name, uint64_t memory_bytes,
    struct lf_snapshot **ret_snapshot, struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
