/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program to be fuzzed, an ELF file of a stranger's: refused, or a snapshot
 * of all of the memory that was asked for.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libfork/fuzz.h>

#include "fuzz/fuzz.h"

#define MEMORY (4UL << 20)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct lf_snapshot *snapshot;
	struct lf_error error;
	int fd = memfd_create("program", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	if (lf_fuzz_load_program(fd, "it", MEMORY, &snapshot, &error) == 0) {
		if (lf_snapshot_memory_bytes(snapshot) != MEMORY ||
		    lf_snapshot_vcpus(snapshot) != 1)
			abort();
		lf_snapshot_unref(snapshot);
	}
	close(fd);
	return 0;
}
