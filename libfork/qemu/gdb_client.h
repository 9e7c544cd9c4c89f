/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Client of QEMU's gdb stub: GDB's remote serial protocol over a connected
 * descriptor (GDB manual, appendix E). Requests block for a bounded time;
 * only waiting for a stop may be long, and can be left to an event loop.
 * Everything that arrives is outside data. Knows nothing of domains.
 *
 * Time-outs: of a request, -ETIMEDOUT after which the connection is of no use;
 * of gdb_client_wait_stop(), the guest still runs and the client goes on.
 */
#ifndef QEMU_GDB_CLIENT_H
#define QEMU_GDB_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "base/cleanup.h"
#include "qemu/gdb_packet.h"

struct gdb_client;

/* Bytes of memory that one request moves at most. */
#define GDB_MEMORY_MAX 1024U

/* More vCPUs than any guest has here. */
#define GDB_THREADS_MAX 1024U

/*
 * Takes over a descriptor (closed in any case on failure) and learns what the
 * stub can do. QEMU stops the guest when somebody connects.
 */
int gdb_client_new(int take_fd, int timeout_ms, struct gdb_client **ret_client,
    struct lf_error *error);

/*
 * Closes the connection without taking leave: a stopped guest stays stopped.
 * NULL is allowed.
 */
void gdb_client_free(struct gdb_client *client);

DEFINE_CLEANUP(struct gdb_client *, gdb_client_free);

/* To be watched for reading while the guest runs. */
int gdb_client_fd(const struct gdb_client *client);

/* Takes leave: the guest goes on running, without breakpoints. */
int gdb_client_detach(struct gdb_client *client, struct lf_error *error);

/* The ids of all threads (vCPUs), at most `max`; returns how many. */
int gdb_client_threads(struct gdb_client *client, uint32_t *ret_threads,
    size_t max, struct lf_error *error);

/* Hardware breakpoint at an address, in every address space. */
int gdb_client_insert_breakpoint(
    struct gdb_client *client, uint64_t address, struct lf_error *error);
int gdb_client_remove_breakpoint(
    struct gdb_client *client, uint64_t address, struct lf_error *error);

/* Lets all vCPUs run; does not wait. */
int gdb_client_continue(struct gdb_client *client, struct lf_error *error);

/* Lets one vCPU execute one instruction while the others stand; waits. */
int gdb_client_step(
    struct gdb_client *client, uint32_t thread, struct lf_error *error);

/* Asks for a stop, which is then waited for with gdb_client_wait_stop(). */
int gdb_client_interrupt(struct gdb_client *client, struct lf_error *error);

/*
 * Waits for a stop: 1 with `*ret_stop`; 0 when none came within `timeout_ms`
 * (0: only looks); -EPIPE when QEMU is gone, -EBADMSG when it sent something
 * that is no report of a stop.
 */
int gdb_client_wait_stop(struct gdb_client *client, int timeout_ms,
    struct gdb_stop *ret_stop, struct lf_error *error);

/*
 * A register of a vCPU, by its name in the target's description ("rip",
 * "cr3"). -ENOENT: the stub has none of that name. At most 8 bytes.
 */
int gdb_client_read_register(struct gdb_client *client, uint32_t thread,
    const char *name, uint64_t *ret_value, struct lf_error *error);

/*
 * Memory as a vCPU sees it; or guest-physical memory, `thread` then being
 * GDB_PHYSICAL. -EFAULT: not mapped there. Writing goes through any write
 * protection.
 */
#define GDB_PHYSICAL UINT32_MAX
int gdb_client_read_memory(struct gdb_client *client, uint32_t thread,
    uint64_t address, void *buf, size_t len, struct lf_error *error);
int gdb_client_write_memory(struct gdb_client *client, uint32_t thread,
    uint64_t address, const void *bytes, size_t len, struct lf_error *error);

#endif
