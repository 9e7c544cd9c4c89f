/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What domain processes need and may not do themselves: starting QEMU, opening
 * and making images. A domain process handles bytes that a guest made, so it
 * is not trusted: only files that the domain's configuration names, or that
 * forkd itself made for it, are opened.
 */
#ifndef FORKD_LAUNCH_H
#define FORKD_LAUNCH_H

struct daemon;
struct domain;
struct peer_request;

/* Does what a domain process asks for and answers it. */
void launch_request(
    struct daemon *daemon, struct domain *domain, struct peer_request *request);

#endif
