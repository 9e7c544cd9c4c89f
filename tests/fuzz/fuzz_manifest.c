/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A snapshot's manifest from another process: with two files, as if they had
 * come with it. What is accepted comes back the same when it is written again.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libfork/snapshot.h>

#include "fuzz/fuzz.h"
#include "snapshot/manifest.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int fds[2] = {-1, -1};
	struct lf_snapshot *snapshot, *again;
	json_t *manifest, *written;
	struct lf_error error;
	size_t i;

	for (i = 0; i < 2 && fds[i] < 0; i++) {
		fds[i] = memfd_create("file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (ftruncate(fds[i], 1 << 20) < 0 ||
		    fcntl(fds[i], F_ADD_SEALS,
			F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
			abort();
	}
	manifest =
	    json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
	if (manifest == NULL)
		return 0;
	if (manifest_read(manifest, fds, 2, &snapshot, &error) == 0) {
		written = manifest_write(snapshot);
		if (manifest_read(written, fds, 2, &again, &error) < 0)
			abort();
		lf_snapshot_unref(again);
		lf_snapshot_unref(snapshot);
		json_decref(written);
	}
	json_decref(manifest);
	return 0;
}
