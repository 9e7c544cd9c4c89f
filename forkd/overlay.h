/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Overlays for domain processes, by qemu-img: each is on record before its file
 * is there, and goes with its domain. A file that was there before is nobody's
 * to remove.
 */
#ifndef FORKD_OVERLAY_H
#define FORKD_OVERLAY_H

struct daemon;
struct domain;
struct peer_request;

/* Answer "make-overlay" when it is made, "remove-overlay" at once. */
void overlay_make(
    struct daemon *daemon, struct domain *domain, struct peer_request *request);
void overlay_remove(
    struct daemon *daemon, struct domain *domain, struct peer_request *request);

#endif
