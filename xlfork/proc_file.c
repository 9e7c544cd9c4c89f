/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small files of /proc and /sys.
 */
#include "xlfork/proc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sys.h"

int
proc_text(const char *path, char *buf, size_t size)
{
	cleanup_close int fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = sys.read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	if (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return 0;
}

int
proc_number(const char *path, long *number)
{
	char text[64], *end;
	long value;
	int rc;

	rc = proc_text(path, text, sizeof(text));
	if (rc < 0)
		return rc;
	errno = 0;
	value = strtol(text, &end, 10);
	if (end == text || errno != 0)
		return -EINVAL;
	*number = value;
	return 0;
}
