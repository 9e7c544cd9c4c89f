/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device stream of a fork that libfork ran itself: its ancestor's, with
 * the sections of what went on without QEMU written from the fork's state
 * ("cpu", "cpu_common", "apic", "kvmclock", "timer", and "i8259", "ioapic" and
 * "i8254" of a fork that had these chips), and a description that fits.
 */
#ifndef QEMU_DEVSTATE_WRITE_H
#define QEMU_DEVSTATE_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include <libfork/error.h>

#include "cpu/chips.h"
#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "base/cleanup.h"
#include "base/writer.h"
#include "qemu/stream.h"
#include "qemu/stream_write.h"

struct devstate_parts {
	/* Of the ancestor; needs a description. */
	const struct stream *base;
	/* Whose device sections are used instead of base's; NULL: base's. */
	const struct stream *devices;
	bool tcg; /* they are a TCG's */
	unsigned vcpu_count;
	struct cpu_state *const *vcpus;
	const struct cpu_chips *chips; /* NULL: they are the parent's */
	const struct cpu_cpuid *cpuid; /* for the layout of XSAVE images */
	uint8_t phys_bits;             /* of the guest; see struct qemu_vcpu */
};

/*
 * Writes the stream to a new memfd, sealed against any change. -ENOTSUP names
 * state that the stream has no place for.
 */
int devstate_write(const struct devstate_parts *parts, int *ret_fd,
    uint64_t *ret_len, struct lf_error *error);

/*
 * The sections alone that are written from the fork's state, for one who sends
 * them in place of the ancestor's (qemu/stream_write.h). No description comes
 * with them: QEMU needs none.
 */
struct devstate_sections {
	struct stream_override *overrides;
	size_t count;
	struct writer bytes; /* their bodies */
};

/* Errors as devstate_write(); nothing is to be freed after one. */
int devstate_sections_make(const struct devstate_parts *parts,
    struct devstate_sections *ret_sections, struct lf_error *error);
void devstate_sections_done(struct devstate_sections *sections);

#endif
