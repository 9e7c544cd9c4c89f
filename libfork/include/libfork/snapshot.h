/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots: one instant of a virtual machine, immutable. A snapshot comes
 * from freezing a domain (libfork/domain.h), from another process
 * (lf_snapshot_receive), or is put together from raw parts. It lives as long
 * as somebody holds a reference; forks hold one.
 *
 * Functions on one snapshot may be called from several threads at once; a
 * builder belongs to one thread.
 */
#ifndef LIBFORK_SNAPSHOT_H
#define LIBFORK_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/vcpu.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_snapshot;

/* Takes one more reference; returns its argument. */
LF_API struct lf_snapshot *lf_snapshot_ref(struct lf_snapshot *snapshot);

/* Gives a reference back; the last one frees the snapshot. NULL is allowed. */
LF_API void lf_snapshot_unref(struct lf_snapshot *snapshot);

/*
 * How many references there are: the callers', each fork's, and those of the
 * domain that was frozen, as long as it is.
 */
LF_API unsigned lf_snapshot_refs(const struct lf_snapshot *snapshot);

/* How many vCPUs it has, 1 to 255. */
LF_API unsigned lf_snapshot_vcpus(const struct lf_snapshot *snapshot);

/* Bytes of guest memory that it shows, and bytes of its delta. */
LF_API uint64_t lf_snapshot_memory_bytes(const struct lf_snapshot *snapshot);
LF_API uint64_t lf_snapshot_delta_bytes(const struct lf_snapshot *snapshot);

/*
 * Sends a snapshot over a connected unix stream socket, as a JSON manifest and
 * the descriptors of its memory: nothing is copied. Blocks until all is sent,
 * also on a non-blocking socket; forks of the snapshot are not kept waiting.
 * The receiver may be any process. -EPIPE, -ECONNRESET: it is gone.
 */
LF_API int lf_snapshot_send(
    int sock, const struct lf_snapshot *snapshot, struct lf_error *error);

/*
 * Receives what lf_snapshot_send() sent; the caller gets a reference. Blocks
 * until all is there, also on a non-blocking socket. Every number of the
 * manifest is checked: -EBADMSG or -EINVAL says what is wrong with it.
 * -ECONNRESET: the connection ended too early.
 */
LF_API int lf_snapshot_receive(
    int sock, struct lf_snapshot **ret_snapshot, struct lf_error *error);

/*
 * Writes the device state of a snapshot that comes from QEMU, whole, to `fd`
 * from its position on. -EINVAL when the snapshot has none.
 */
LF_API int lf_snapshot_write_devstate(
    const struct lf_snapshot *snapshot, int fd, struct lf_error *error);

/*
 * Whether a fork of this snapshot can be started with the device state in a
 * file (`fd`, read from its beginning): its vCPUs have to be, byte for byte,
 * where the snapshot's are. The file is one that lf_snapshot_write_devstate()
 * wrote, or was made with QEMU's xen-save-devices-state while the parent stood
 * stopped before its freeze. -EINVAL names the first field that differs.
 */
LF_API int lf_snapshot_check_devstate(
    const struct lf_snapshot *snapshot, int fd, struct lf_error *error);

/* --- from raw parts --- */

struct lf_snapshot_builder;

/* A builder of nothing yet. -ENOMEM. */
LF_API int lf_snapshot_builder_new(
    struct lf_snapshot_builder **ret_builder, struct lf_error *error);

/* Frees a builder, finished or not. NULL is allowed. */
LF_API void lf_snapshot_builder_free(struct lf_snapshot_builder *builder);

/*
 * Adds a file of guest memory: the first `size` bytes (whole pages) of a
 * regular file or memfd. `fd` is borrowed. A file sealed against writing
 * (F_SEAL_WRITE or F_SEAL_FUTURE_WRITE) and shrinking is shared; any other may
 * still be written by somebody and is copied, and the log says so. Returns the
 * file's number, from 0.
 */
LF_API int lf_snapshot_builder_add_file(struct lf_snapshot_builder *builder,
    int fd, uint64_t size, struct lf_error *error);

/*
 * Adds a file of `size` bytes (whole pages) with a copy of `len` bytes at its
 * beginning and zeros behind. Returns the file's number.
 */
LF_API int lf_snapshot_builder_add_buffer(struct lf_snapshot_builder *builder,
    const void *bytes, size_t len, uint64_t size, struct lf_error *error);

#define LF_RANGE_READONLY (1U << 0) /* writes by the guest exit as MMIO */

/*
 * Shows `length` bytes at `offset` of a file at guest-physical address `gpa`;
 * all three are whole pages. Ranges must not overlap; what they leave free is
 * MMIO. -EINVAL names the range and what is wrong with it.
 */
LF_API int lf_snapshot_builder_add_range(struct lf_snapshot_builder *builder,
    uint64_t gpa, uint64_t length, unsigned file, uint64_t offset,
    unsigned flags, struct lf_error *error);

/*
 * Adds the next vCPU with these registers; all other state is a vCPU's after
 * power-on.
 */
LF_API int lf_snapshot_builder_add_vcpu(struct lf_snapshot_builder *builder,
    const struct lf_vcpu_regs *regs, struct lf_error *error);

/* Which interrupt controllers are inside KVM. */
enum lf_irqchip {
	LF_IRQCHIP_NONE,  /* none: no interrupts at all, a halt ends the run */
	LF_IRQCHIP_LAPIC, /* one local APIC per vCPU */
	LF_IRQCHIP_FULL,  /* local APICs, PICs, IOAPIC and PIT */
};

/* NONE (what a builder begins with) or LAPIC; -EINVAL else. */
LF_API int lf_snapshot_builder_set_irqchip(struct lf_snapshot_builder *builder,
    enum lf_irqchip irqchip, struct lf_error *error);

/*
 * Makes the snapshot; the caller gets a reference. The builder can only be
 * freed afterwards. -EINVAL: no vCPU or no memory.
 */
LF_API int lf_snapshot_builder_finish(struct lf_snapshot_builder *builder,
    struct lf_snapshot **ret_snapshot, struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
