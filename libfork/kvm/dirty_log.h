/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dirty bitmap of a memslot, for a VM without dirty rings. It exists to be
 * compared with the ring: fetching it costs what the slot's size costs, and
 * every page fetched is write-protected again.
 */
#ifndef KVM_DIRTY_LOG_H
#define KVM_DIRTY_LOG_H

#include <stdint.h>

#include <libfork/error.h>

struct vm;

/*
 * Fetches and clears the bitmap of a logged slot: one bit per page, in whole
 * 64-bit words. -ENXIO on a VM with dirty rings.
 */
int dirty_log_get(
    struct vm *vm, uint32_t slot, uint64_t *bitmap, struct lf_error *error);

#endif
