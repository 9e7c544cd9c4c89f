/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files written beside their place, then renamed. A signal that ends xlfork
 * takes the unfinished one along; there is one at a time.
 */
#include "xlfork/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"

/* For the signal handler; NULL: there is none. */
static const char *volatile unfinished;

static void
on_signal(int signal)
{
	if (unfinished != NULL)
		unlink(unfinished);
	raise(signal); /* SA_RESETHAND: now with its default effect */
}

/* Signals that are ignored (nohup) stay so. */
static void
set_unfinished(const char *part)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT};
	struct sigaction ours = {
	    .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	size_t i;

	unfinished = part;
	for (i = 0; part != NULL && i < sizeof(signals) / sizeof(*signals);
	     i++) {
		struct sigaction now;

		if (sigaction(signals[i], NULL, &now) == 0 &&
		    now.sa_handler == SIG_DFL)
			sigaction(signals[i], &ours, NULL);
	}
}

int
output_file_open(
    const char *path, struct output_file *ret_file, struct lf_error *error)
{
	cleanup_free char *part = NULL;
	struct stat st;
	int fd, rc;

	if (path[0] == '\0')
		return error_set(error, ENOENT,
		    "cannot write to '': an empty word is no file");
	if (sys.stat(path, &st) < 0) {
		if (errno != ENOENT)
			return error_sys(
			    error, errno, "cannot write to '%.256s'", path);
		st.st_mode = S_IFREG | 0666;
	}
	if (!S_ISREG(st.st_mode)) {
		fd = sys.open(path, O_WRONLY | O_CLOEXEC, 0);
	} else {
		if (asprintf(&part, "%s.part-%ld", path, (long)getpid()) < 0) {
			part = NULL;
			return error_nomem(error);
		}
		set_unfinished(part);
		/* No more open than what it takes the place of. */
		fd = sys.open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    st.st_mode & 0777);
	}
	if (fd < 0) {
		rc = error_sys(error, errno, "cannot write to '%.256s'", path);
		set_unfinished(NULL);
		return rc;
	}
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
	set_unfinished(NULL);
	file->fd = -1;
	free(take_ptr(file->part));
	return rc;
}
