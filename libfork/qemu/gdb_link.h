/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection to QEMU's gdb stub: packets both ways, in bounded time. One
 * request is under way at a time. Knows nothing of what requests mean, but for
 * reports of stops, which come at any time.
 */
#ifndef QEMU_GDB_LINK_H
#define QEMU_GDB_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include <libfork/error.h>

#include "qemu/gdb_packet.h"

struct gdb_link {
	int fd;                      /* the owner closes it */
	int timeout_ms;              /* of sending, and of an answer */
	char in[2 * GDB_PACKET_MAX]; /* received, not yet taken apart */
	size_t in_len;
	char packet[GDB_PACKET_MAX]; /* the last one, terminated */
	size_t packet_len;
	bool stopped; /* `stop` was reported and not yet asked for */
	struct gdb_stop stop;
};

/* Bytes as they are, e.g. an interrupt. -EPIPE, -ETIMEDOUT. */
int gdb_link_send(struct gdb_link *link, const char *bytes, size_t len,
    struct lf_error *error);

/* Sends a request and waits for the answer, in link->packet. */
int gdb_link_request(
    struct gdb_link *link, const char *payload, struct lf_error *error);

/* A request that is answered by OK; -EREMOTEIO when it is not. */
int gdb_link_command(
    struct gdb_link *link, const char *payload, struct lf_error *error);

/* A request that lets the guest run: it is answered by the next stop only. */
int gdb_link_resume(
    struct gdb_link *link, const char *payload, struct lf_error *error);

/* See gdb_client_wait_stop(). */
int gdb_link_wait_stop(struct gdb_link *link, int timeout_ms,
    struct gdb_stop *ret_stop, struct lf_error *error);

/* -EPIPE: the connection ended. */
int gdb_link_gone(struct lf_error *error);

#endif
