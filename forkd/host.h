/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What accelerator=auto means here. The probe of libfork runs in a process of
 * its own, as the user that QEMU will run as, once in the daemon's life.
 */
#ifndef FORKD_HOST_H
#define FORKD_HOST_H

struct daemon;

/* Calls `known` when the answer is there, which may be at once. */
void host_when_known(
    struct daemon *daemon, void (*known)(void *opaque), void *opaque);

/* The probe process: forkd --role probe. An exit status. */
int host_probe_main(void);

#endif
