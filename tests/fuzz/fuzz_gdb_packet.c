/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a gdb stub sends: packets one after the other, and each payload as a
 * target description.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "qemu/gdb_packet.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char payload[GDB_PACKET_MAX];
	const char *at = (const char *)data;
	size_t used, payload_len, position;
	struct lf_error error;
	char name[16];
	unsigned next;

	while (gdb_packet_read(at, len, payload, &payload_len, &used, &error) ==
	       1) {
		at += used;
		len -= used;
		next = 0;
		gdb_packet_find_register(payload, "cr3", &next);
		position = 0;
		while (gdb_packet_next_include(
			   payload, &position, name, sizeof(name)) == 0)
			;
	}
	return 0;
}
