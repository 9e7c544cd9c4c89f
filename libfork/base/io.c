/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/sys.h"

int
io_write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = sys.write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

bool
io_has_reader(int fd)
{
	struct pollfd p = {.fd = fd};

	return sys.poll(&p, 1, 0) <= 0 || (p.revents & POLLERR) == 0;
}

int
io_hold_standard(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		/* Not what it is for: input is written, output is read. */
		int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

		if (sys.fcntl(fd, F_GETFD, 0) < 0 &&
		    sys.open("/dev/null", flags, 0) < 0)
			return -errno;
	}
	return 0;
}
