/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device state that a user gives for a fork (-Q), beside the snapshot's own,
 * which lends it the description that a file made by hand does not have. The
 * input is both: four bytes with the length of the snapshot's, then they.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "qemu/devfile.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct devfile *file = NULL;
	struct stream *mine;
	struct lf_error error;
	uint32_t size;
	int fd;

	if (len < sizeof(size))
		return 0;
	memcpy(&size, data, sizeof(size));
	data += sizeof(size);
	len -= sizeof(size);
	if (size > len || stream_parse(data, size, NULL, &mine, &error) < 0)
		return 0;
	/* Of the same instant as itself. */
	if (devfile_check(mine, mine, &error) < 0 && error.message[0] == '\0')
		abort();
	fd = memfd_create("devstate", MFD_CLOEXEC);
	if (fd < 0 ||
	    write(fd, data + size, len - size) != (ssize_t)(len - size))
		abort();
	if (devfile_read(fd, mine, &file, &error) == 0)
		devfile_check(mine, file->stream, &error);
	devfile_free(file);
	stream_free(mine);
	close(fd);
	return 0;
}
