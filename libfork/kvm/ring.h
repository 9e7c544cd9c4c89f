/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty rings: KVM reports the first write to each page of a logged memslot.
 * Entries are collected as they come and given back only all together: the
 * ring is a FIFO, KVM stops at the first entry not given back, and giving one
 * back makes its page's next write cost a fault again.
 */
#ifndef KVM_RING_H
#define KVM_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

struct vcpu;
struct vm;

struct ring_page {
	uint32_t slot; /* memslot id */
	uint64_t page; /* within the slot */
};

/*
 * Takes up to `max` pages reported since the last call. A page can come more
 * than once. Fewer than `max`: there are no more now. The vCPU may be running
 * in another thread; one thread at a time collects from a vCPU.
 */
size_t ring_collect(struct vcpu *vcpu, struct ring_page *pages, size_t max);

/*
 * True when a vCPU's ring is so full of collected entries that they should be
 * given back now: three quarters of what KVM lets be used.
 */
bool ring_pressed(const struct vm *vm);

/*
 * Gives back every collected entry of every vCPU. All logged pages that were
 * collected are write-protected again. Returns how many, or a negative errno.
 */
int ring_give_back(struct vm *vm, struct lf_error *error);

#endif
