/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header of a disk image that a guest or a stranger made.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "forkd/qcow2.h"
#include "fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct lf_error error;
	struct qcow2 found;
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	if (qcow2_read(fd, "it", &found, &error) == 1 &&
	    (strnlen(found.backing, sizeof(found.backing)) > QCOW2_NAME_MAX ||
		strnlen(found.format, sizeof(found.format)) > QCOW2_FORMAT_MAX))
		abort();
	close(fd);
	return 0;
}
