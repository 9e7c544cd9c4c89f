/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd's directories and the files in it.
 */
#include "forkd/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/json_text.h"
#include "base/sys.h"
#include "control/paths.h"

/* A domain's file holds its configuration; more than this nobody wrote. */
#define FILE_MAX ((size_t)1024 * 1024)

char *
rundir_path(const char *format, ...)
{
	char path[4096];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	/* cppcheck-suppress returnDanglingLifetime; it is a copy */
	return sys.strdup(path);
}

static int
make_parents(const char *path, struct lf_error *error)
{
	cleanup_free char *copy = sys.strdup(path);
	char *slash;

	if (copy == NULL)
		return error_nomem(error);
	for (slash = strchr(copy + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (sys.mkdir(copy, 0755) < 0 && errno != EEXIST)
			return error_sys(
			    error, errno, "cannot make directory '%s'", copy);
		*slash = '/';
	}
	return 0;
}

int
rundir_make(const char *path, mode_t mode, bool parents, struct lf_error *error)
{
	struct stat st;
	int rc;

	if (parents) {
		rc = make_parents(path, error);
		if (rc < 0)
			return rc;
	}
	if (sys.mkdir(path, mode) == 0) {
		/* Whatever the umask is. */
		if (sys.chmod(path, mode) < 0)
			return error_sys(
			    error, errno, "cannot set the mode of '%s'", path);
	} else if (errno != EEXIST)
		return error_sys(
		    error, errno, "cannot make directory '%s'", path);
	if (sys.lstat(path, &st) < 0)
		return error_sys(error, errno, "cannot look at '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(
		    error, ENOTDIR, "'%s' is not a directory", path);
	if (st.st_uid != geteuid())
		return error_set(error, EPERM,
		    "directory '%s' belongs to user %u, not to us (%u); "
		    "remove it or choose another "
		    "(" CONTROL_RUN_DIR_ENV ", " CONTROL_STATE_DIR_ENV ")",
		    path, st.st_uid, geteuid());
	if ((st.st_mode & 0022) != 0)
		return error_set(error, EPERM,
		    "directory '%s' can be written by others (mode %04o); "
		    "chmod it to %04o",
		    path, st.st_mode & 07777, mode);
	if ((st.st_mode & 0777) != mode && sys.chmod(path, mode) < 0)
		return error_sys(
		    error, errno, "cannot set the mode of '%s'", path);
	if (access(path, W_OK | X_OK) < 0)
		return error_sys(
		    error, errno, "directory '%s' is not writable", path);
	return 0;
}

int
rundir_lock(const char *run_dir, int *ret_fd, struct lf_error *error)
{
	cleanup_free char *path = rundir_path("%s/lock", run_dir);
	/* Of the process, not of the file: a child on its way to exec, which
	 * outlives a killed forkd, would keep the next one out. */
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	cleanup_close int fd = -1;

	if (path == NULL)
		return error_nomem(error);
	fd = sys.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_sys(error, errno, "cannot open '%s'", path);
	if (sys.fcntl(fd, F_SETLK, (unsigned long)(uintptr_t)&lock) < 0)
		return errno == EAGAIN || errno == EACCES
			   ? error_set(error, EWOULDBLOCK,
				 "another forkd runs in '%s'", run_dir)
			   : error_sys(error, errno, "cannot lock '%s'", path);
	*ret_fd = take_fd(&fd);
	return 0;
}

int
rundir_write_json(const char *path, const json_t *value, struct lf_error *error)
{
	size_t len = 0;
	cleanup_free char *text = json_text(value, JSON_INDENT(1), &len);
	cleanup_free char *fresh = rundir_path("%s.new", path);
	cleanup_close int fd = -1;
	int rc;

	if (text == NULL || fresh == NULL)
		return error_nomem(error);
	fd = sys.open(
	    fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_sys(error, errno, "cannot write '%s'", fresh);
	rc = io_write_all(fd, text, len);
	if (rc == 0 && sys.rename(fresh, path) < 0)
		rc = -errno;
	if (rc < 0) {
		unlink(fresh);
		return error_sys(error, -rc, "cannot write '%s'", path);
	}
	return 0;
}

int
rundir_read_json(const char *path, json_t **ret_value, struct lf_error *error)
{
	cleanup_close int fd = -1;
	cleanup_free char *text = NULL;
	struct stat st;
	json_error_t why;
	ssize_t n;

	fd = sys.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return error_sys(error, errno, "cannot open '%s'", path);
	if (sys.fstat(fd, &st) < 0)
		return error_sys(error, errno, "cannot look at '%s'", path);
	if (!S_ISREG(st.st_mode) || (size_t)st.st_size > FILE_MAX)
		return error_set(
		    error, EBADMSG, "'%s' is not a file of forkd's", path);
	text = sys.malloc((size_t)st.st_size + 1);
	if (text == NULL)
		return error_nomem(error);
	n = sys.read(fd, text, (size_t)st.st_size);
	if (n < 0)
		return error_sys(error, errno, "cannot read '%s'", path);
	*ret_value = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &why);
	if (*ret_value == NULL)
		return error_set(error, EBADMSG, "'%s': %s", path, why.text);
	return 0;
}

static void
remove_level(int parent, const char *name, int levels)
{
	int fd = openat(
	    parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (dir == NULL) {
		close_fd(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, entry->d_name, 0) < 0 && levels > 1)
			remove_level(fd, entry->d_name, levels - 1);
	}
	closedir(dir);
	unlinkat(parent, name, AT_REMOVEDIR);
}

void
rundir_remove_tree(const char *path)
{
	remove_level(AT_FDCWD, path, 2);
}

int
rundir_listen(const char *path, int backlog, mode_t mode, int *ret_sock,
    struct lf_error *error)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cleanup_close int sock = -1;
	struct stat st;
	mode_t mask;
	int rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return error_set(error, ENAMETOOLONG,
		    "socket path '%s' is longer than %zu bytes", path,
		    sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	sock =
	    sys.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return error_sys(error, errno, "cannot make a socket");
	if (sys.lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return error_set(error, EEXIST,
			    "'%s' exists and is not a socket", path);
		unlink(path);
	}
	/* Born with its final mode: nobody gets in between. */
	mask = umask(~mode & 0777);
	rc = sys.bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno
									: 0;
	umask(mask);
	if (rc == 0 && sys.listen(sock, backlog) < 0) {
		rc = -errno;
		unlink(path);
	}
	if (rc < 0)
		return error_sys(error, -rc, "cannot make socket '%s'", path);
	*ret_sock = take_fd(&sock);
	return 0;
}
