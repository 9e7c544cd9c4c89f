/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets of GDB's remote serial protocol, without any input or output:
 * "$payload#checksum", '}' before an escaped byte, '*' before a run length.
 */
#ifndef QEMU_GDB_PACKET_H
#define QEMU_GDB_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

/* Bytes of a packet, as it stands on the wire and taken apart, at most. */
#define GDB_PACKET_MAX 0x4000U

/* How the guest came to a stop. */
struct gdb_stop {
	char kind;       /* 'T', 'S': by a signal; 'W', 'X': it is gone */
	uint8_t signal;  /* 5: breakpoint or step, 2: interrupted */
	uint32_t thread; /* QEMU's vCPU index + 1; 0: not said */
};

/*
 * Writes `len` bytes as a packet. Returns its length, or -EMSGSIZE when it is
 * longer than `size`.
 */
int gdb_packet_write(const void *payload, size_t len, char *buf, size_t size);

/*
 * Takes the first packet of `len` bytes that were received; acknowledgements
 * before it are skipped. Returns 1 with the payload (terminated by a NUL that
 * does not count) in `buf` of GDB_PACKET_MAX bytes, 0 when more bytes are
 * needed, -EBADMSG. `*ret_used` bytes are done with in any case.
 */
int gdb_packet_read(const char *bytes, size_t len, char *buf, size_t *ret_len,
    size_t *ret_used, struct lf_error *error);

/*
 * The number of register `name` in a target description, counting on from
 * `*next`, which is then where the next document of the description goes on.
 * -ENOENT: not in this one.
 */
int gdb_packet_find_register(const char *xml, const char *name, unsigned *next);

/*
 * The next document that the description includes, after `*position`, which
 * goes on behind it. -ENOENT: no further one.
 */
int gdb_packet_next_include(
    const char *xml, size_t *position, char *ret_name, size_t size);

#endif
