/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains: virtual machines with a life of their own. A domain is booted under
 * QEMU (lf_domain_create) or forked from a snapshot (lf_domain_fork), on one
 * of two backends: `kvm` runs the vCPUs inside this process without a device
 * model, `qemu` is a QEMU process. The functions are the same for both; what a
 * backend cannot do fails with -ENOTSUP and says so.
 *
 * A domain belongs to one thread at a time; different domains may be used by
 * different threads. Only lf_domain_stop() may be called from any thread. A
 * process with a `kvm` domain must not use it after fork(2): the kernel
 * refuses vCPUs in another address space.
 */
#ifndef LIBFORK_DOMAIN_H
#define LIBFORK_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/exit.h>
#include <libfork/fork_options.h>
#include <libfork/snapshot.h>
#include <libfork/vcpu.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_domain;
struct lf_domain_config;
struct lf_launcher;

enum lf_domain_state {
	LF_DOMAIN_PAUSED,  /* stopped; memory and registers may be looked at */
	LF_DOMAIN_RUNNING, /* runs by itself (lf_domain_unpause) */
	LF_DOMAIN_FROZEN,  /* stands still as long as its snapshot is used */
	LF_DOMAIN_CRASHED, /* cannot go on; lf_domain_reason() says why */
	LF_DOMAIN_ENDED,   /* the guest powered off */
};

/*
 * For a process that will not be able to open files, because it goes into a
 * sandbox: opens now what domains on backend kvm would open later. What cannot
 * be opened is reported by the first fork that needs it. Before there are other
 * threads.
 */
LF_API void lf_domain_prepare(void);

/*
 * Boots a domain under QEMU; it is paused, before its first instruction.
 * `config` is copied, `launcher` must outlive the domain. Blocks until QEMU
 * answers. -EINVAL: a configuration that cannot be, and why; -EIO: QEMU ended,
 * with its last words; -ETIMEDOUT: it did not answer within 30 s; and what the
 * launcher returns.
 */
LF_API int lf_domain_create(const struct lf_domain_config *config,
    struct lf_launcher *launcher, struct lf_domain **ret_domain,
    struct lf_error *error);

/*
 * Forks a snapshot; the fork is paused and holds a reference. `options` may
 * be NULL (the defaults) and is borrowed for the call. -EINVAL: options that
 * cannot be, or a configuration that no fork of this snapshot can have.
 * -ENOTSUP: this host or its KVM lacks what the snapshot or the options need;
 * `error` names it. -ENOENT, -EACCES: no KVM, or no permission for it.
 * -ENOMEM: also when the kernel's limit of memory mappings would be passed.
 */
LF_API int lf_domain_fork(struct lf_snapshot *snapshot,
    const struct lf_fork_options *options, struct lf_domain **ret_domain,
    struct lf_error *error);

/* Ends the domain, whatever it is doing. NULL is allowed. */
LF_API void lf_domain_free(struct lf_domain *domain);

LF_API enum lf_domain_state lf_domain_state(const struct lf_domain *domain);
LF_API enum lf_backend lf_domain_backend(const struct lf_domain *domain);

/* Why a domain is crashed or paused; "" when there is nothing to say. */
LF_API const char *lf_domain_reason(const struct lf_domain *domain);

/* The snapshot it was forked from, not a new reference; NULL without. */
LF_API struct lf_snapshot *lf_domain_origin(const struct lf_domain *domain);

/*
 * Stops the domain if it runs and takes a snapshot; the caller gets a
 * reference. The domain is frozen until lf_domain_thaw(). Freezing a frozen
 * domain gives another reference to the same snapshot. After an error the
 * domain is paused: -EINVAL when it has crashed or ended, -ENOTSUP with what
 * keeps it from being forked (a nested guest, huge pages, a device).
 */
LF_API int lf_domain_freeze(struct lf_domain *domain,
    struct lf_snapshot **ret_snapshot, struct lf_error *error);

/* Where lf_domain_freeze_at() lets a guest run to. */
struct lf_freeze_at {
	uint64_t address; /* guest-virtual */
	bool match_cr3;   /* only an arrival with the page table `cr3` counts */
	uint64_t cr3;     /* bits 12 to 51 count, the PCID does not */
	uint64_t count;   /* the count-th arrival; 0 is 1 */
	int timeout_ms;   /* for all of it; negative: none */
	/*
	 * This host's KVM reports hardware breakpoints (LF_HOST_INT3 is a good
	 * sign). Without it, a domain on KVM has a jump to itself written over
	 * the instruction, in which vCPUs spin for milliseconds until they are
	 * found; the bytes are put back. On TCG it is not looked at.
	 */
	bool breakpoints;
};

/* The arrival that counted. */
struct lf_arrival {
	unsigned vcpu;     /* that arrived; the others stand anywhere */
	uint64_t arrivals; /* that matched, this one included */
	uint64_t cr3;      /* of that vCPU */
};

/*
 * Lets a running or paused domain run until a vCPU is about to execute the
 * instruction at an address, and freezes it there, as lf_domain_freeze(). The
 * domain was in that instant nowhere else: the vCPU stands at the address.
 * -ETIMEDOUT: it did not arrive in time; then, and after other errors, the
 * domain is what it was before, or, if it had arrived, paused. -ENOTSUP on a
 * domain without device model. Blocks; nobody may use the domain meanwhile.
 */
LF_API int lf_domain_freeze_at(struct lf_domain *domain,
    const struct lf_freeze_at *at, struct lf_snapshot **ret_snapshot,
    struct lf_arrival *ret_arrival, struct lf_error *error);

/*
 * Lets a frozen domain go on; it is paused. A `qemu` domain's memory is its
 * snapshot's, so -EBUSY as long as anybody else holds that.
 */
LF_API int lf_domain_thaw(struct lf_domain *domain, struct lf_error *error);

/*
 * Runs in the background until paused or until something happens, of which
 * lf_domain_event_fd() tells. Nothing to do for a domain that runs. -EINVAL in
 * other states than running and paused; -EBUSY: a domain on backend qemu was
 * frozen, and somebody still uses its snapshot.
 */
LF_API int lf_domain_unpause(struct lf_domain *domain, struct lf_error *error);

/*
 * Stops all vCPUs; they stand still when it returns. A domain that had come to
 * its end by itself is then crashed or ended, and lf_domain_reason() says why:
 * look at the state. Nothing to do for a paused domain.
 */
LF_API int lf_domain_pause(struct lf_domain *domain, struct lf_error *error);

/* Asks the guest to power off (ACPI button); backend qemu only. */
LF_API int lf_domain_shutdown(struct lf_domain *domain, struct lf_error *error);

/* What a late device model is launched with. */
struct lf_launch_options {
	struct lf_launcher *launcher; /* must outlive the domain */
	/*
	 * NULL: the snapshot's, for a domain of this name. What may differ is
	 * what a fork's configuration may change; the domain's name becomes
	 * its own.
	 */
	const struct lf_domain_config *config;
	/*
	 * A device-state file of the instant that the domain was forked from,
	 * for the device sections (borrowed); -1: the snapshot's own.
	 */
	int devstate_fd;
	/*
	 * Device models that wait for forks of the snapshot that the domain
	 * was forked from; NULL: none. lf_dm_pool_miss() says whether one of
	 * them was used.
	 */
	struct lf_dm_pool *dm_pool;
};

/*
 * Gives a fork without device model its device model: the domain is stopped,
 * and goes on, from where it stands, on backend qemu; it is paused then. An
 * access to a device that it stopped at has not happened and is made again
 * there. On failure the domain is what it was, but paused. Its descriptor for
 * the event loop changes (lf_domain_event_fd()). -ENOTSUP for a domain that
 * has one already or whose snapshot no QEMU made.
 */
LF_API int lf_domain_launch(struct lf_domain *domain,
    const struct lf_launch_options *options, struct lf_error *error);

/*
 * Brings a paused or crashed fork back to its snapshot. -EILSEQ: verification
 * found a difference, and `error` says which.
 */
LF_API int lf_domain_reset(struct lf_domain *domain, struct lf_error *error);

/*
 * Compares the domain with its snapshot: pages the kernel holds as private,
 * and every group of state. 0 or -EILSEQ with the first difference.
 */
LF_API int lf_domain_verify(struct lf_domain *domain, struct lf_error *error);

/*
 * Runs a paused `kvm` domain in this thread (and one thread for each further
 * vCPU) until something happens; all its vCPUs stand still again then.
 * Returns 0 with what happened in `*ret_exit`, whose pointers are good until
 * the next call with this domain. When several vCPUs stop at once, the next
 * calls tell of the others. Shutdowns, errors and, with LF_IO_CRASH, device
 * accesses leave the domain crashed. -EINVAL: it is not paused.
 */
LF_API int lf_domain_run(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error);

/*
 * Makes a lf_domain_run() of another thread return with LF_EXIT_INTERRUPTED,
 * or the next one, if none is under way or it was just ending. Several stops
 * before that return are one; lf_domain_pause() takes them all back. Any
 * thread, any signal handler, as long as the domain is not freed or launched.
 */
LF_API void lf_domain_stop(struct lf_domain *domain);

/*
 * Answers the access that lf_domain_run() returned with last: a read gets
 * `len` bytes of `data`, a write has happened (data NULL). The access
 * completes, once, when the domain runs on. -EINVAL when there is none, or
 * with a wrong length.
 */
LF_API int lf_domain_answer(struct lf_domain *domain, const void *data,
    size_t len, struct lf_error *error);

/*
 * Reads or writes guest-physical memory of a domain that is not running. What
 * is written is undone by the next reset, except in regions. -EFAULT names
 * the first address that is no memory; nothing was written then. -ENOTSUP: on
 * backend qemu memory is read while the domain is frozen, and never written.
 */
LF_API int lf_memory_read(struct lf_domain *domain, uint64_t gpa, void *buf,
    size_t len, struct lf_error *error);
LF_API int lf_memory_write(struct lf_domain *domain, uint64_t gpa,
    const void *bytes, size_t len, struct lf_error *error);

/* What a domain did so far; all counts since the fork. */
struct lf_counters {
	uint64_t runs;            /* KVM_RUN calls */
	uint64_t ioctls;          /* all other KVM calls */
	uint64_t resets;          /* lf_domain_reset() */
	uint64_t pages_restored;  /* copied back */
	uint64_t pages_unchanged; /* looked at and found equal */
	uint64_t pages_dropped;   /* shared again */
	uint64_t faults;          /* first writes reported by the kernel */
	uint64_t ring_drains;     /* ring entries given back to the kernel */
	uint64_t set_pages;       /* pages in the dirty set now */
};
LF_API void lf_domain_counters(
    const struct lf_domain *domain, struct lf_counters *ret_counters);

/*
 * How many pages of its memory a domain on backend kvm has of its own, in any
 * state, as the kernel counts them. -ENOTSUP on others.
 */
LF_API int lf_domain_own_pages(
    struct lf_domain *domain, uint64_t *ret_pages, struct lf_error *error);

/*
 * What the backend knows of a domain that its configuration does not say, as a
 * JSON object in text form, which the caller frees. Backend qemu: "pty" (the
 * serial port's terminal), "forwards" ([{protocol, host: ADDRESS:PORT, guest:
 * PORT}]), "log" (what QEMU said last on standard error); each only where
 * there is one. -ENOTSUP on others. Not for a crashed or ended domain.
 */
LF_API int lf_domain_describe(
    struct lf_domain *domain, char **ret_json, struct lf_error *error);

/*
 * For an event loop: a descriptor that is readable when lf_domain_dispatch()
 * has something to do. It belongs to the domain, and stays the same until
 * lf_domain_reset(). What happened while another function of this domain ran
 * may have been read by that: call lf_domain_dispatch() once after it. A
 * domain that is crashed or ended needs no watching. -1: there is none, or no
 * more descriptors.
 */
LF_API int lf_domain_event_fd(const struct lf_domain *domain);

/*
 * Does what is to be done. Returns 1 when the state changed or something
 * happened: `*ret_exit` (may be NULL) then says what, reason LF_EXIT_NONE when
 * only the state changed. 0 when there was nothing.
 */
LF_API int lf_domain_dispatch(
    struct lf_domain *domain, struct lf_exit *ret_exit, struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
