/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What accelerator=auto means here. The probe of libfork runs in a process of
 * its own, as the user that QEMU will run as, once in the daemon's life; if
 * that user may not use KVM, again as forkd's, to know whether it matters.
 */
#ifndef FORKD_HOST_H
#define FORKD_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/host.h>

#include "forkd/spawn.h"

struct daemon;

/* Where the probe process of a daemon says what it found. */
#define HOST_PROBE_FD 3

/* Calls `known` when the answer is there, which may be at once. */
void host_when_known(
    struct daemon *daemon, void (*known)(void *opaque), void *opaque);

/* What one user finds. */
struct host_view {
	enum lf_host_kvm kvm;
	char reason[240];
};

/*
 * Whether QEMU gets KVM, from what its user finds and, where that was denied,
 * what we find (NULL: nobody else was asked). `reason` is a sentence, with what
 * to do about it.
 */
bool host_judge(const struct host_view *qemu, const struct host_view *ours,
    const char *user, char *reason, size_t size);

/*
 * The probe process, forkd --role probe, and forkd --probe: one line "kvm
 * REASON" or "tcg REASON" to `out`. An exit status.
 */
int host_probe_main(const struct spawn_user *user, int out);

#endif
