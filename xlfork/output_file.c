/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files written beside their place, then renamed.
 */
#include "xlfork/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

int
output_file_open(
    const char *path, struct output_file *ret_file, struct lf_error *error)
{
	cleanup_free char *part = NULL;
	struct stat st;
	int fd;

	if (sys.stat(path, &st) < 0) {
		if (errno != ENOENT)
			return error_sys(
			    error, errno, "cannot write to '%.256s'", path);
		st.st_mode = S_IFREG;
	}
	if (!S_ISREG(st.st_mode)) {
		fd = sys.open(path, O_WRONLY | O_CLOEXEC, 0);
	} else {
		if (asprintf(&part, "%s.part-%ld", path, (long)getpid()) < 0) {
			part = NULL;
			return error_nomem(error);
		}
		fd = sys.open(
		    part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	}
	if (fd < 0)
		return error_sys(
		    error, errno, "cannot write to '%.256s'", path);
	*ret_file = (struct output_file){fd, path, take_ptr(part)};
	return 0;
}

int
output_file_finish(struct output_file *file, int rc, struct lf_error *error)
{
	if (rc == 0 && close(file->fd) < 0)
		rc = error_sys(
		    error, errno, "cannot write to '%.256s'", file->path);
	else if (rc < 0)
		close_fd(file->fd);
	if (rc == 0 && file->part != NULL &&
	    sys.rename(file->part, file->path) < 0)
		rc = error_sys(error, errno,
		    "cannot rename '%.256s' to '%.256s'", file->part,
		    file->path);
	if (rc < 0 && file->part != NULL)
		unlink(file->part);
	file->fd = -1;
	free(take_ptr(file->part));
	return rc;
}
