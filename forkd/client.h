/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clients of the daemon: one session per connection. Only our own user and
 * root are let in. A client's commands are carried out one after the other;
 * one that does not read what it is sent is dropped and disturbs nobody.
 */
#ifndef FORKD_CLIENT_H
#define FORKD_CLIENT_H

struct client;

/* Accepts what waits at the daemon's socket. For the event loop. */
void client_accept(int listen_fd, short what, void *daemon);

void client_free(struct client *client);

#endif
