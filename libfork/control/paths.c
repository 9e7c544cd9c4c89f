/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where forkd lives.
 */
#include "control/paths.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"

/* Formats into fresh memory. */
static int make(char **ret_path, struct lf_error *error, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

static int
make(char **ret_path, struct lf_error *error, const char *format, ...)
{
	char path[4096];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(path))
		return error_set(
		    error, ENAMETOOLONG, "path '%.100s...' is too long", path);
	*ret_path = sys.strdup(path);
	return *ret_path != NULL ? 0 : error_nomem(error);
}

/* An environment variable that holds an absolute path, or NULL. */
static const char *
env_path(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] == '/' ? value : NULL;
}

/* An override has to be good: falling back would surprise. */
static int
check_override(const char *name, struct lf_error *error)
{
	const char *value = getenv(name);

	if (value != NULL && value[0] != '/')
		return error_set(error, EINVAL,
		    "environment variable %s: '%s' is not an absolute path",
		    name, value);
	return 0;
}

static int
check_length(char **path, struct lf_error *error)
{
	int rc;

	if (strlen(*path) <= CONTROL_RUN_DIR_MAX)
		return 0;
	rc = error_set(error, ENAMETOOLONG,
	    "run directory '%s' is longer than %d bytes, sockets in it could "
	    "not be addressed",
	    *path, CONTROL_RUN_DIR_MAX);
	free(*path);
	*path = NULL;
	return rc;
}

int
control_run_dir(char **ret_path, struct lf_error *error)
{
	uid_t uid = getuid();
	struct stat st;
	const char *dir;
	char parent[64];
	int rc;

	rc = check_override(CONTROL_RUN_DIR_ENV, error);
	if (rc < 0)
		return rc;
	if ((dir = env_path(CONTROL_RUN_DIR_ENV)) != NULL)
		rc = make(ret_path, error, "%s", dir);
	else if (uid == 0)
		rc = make(ret_path, error, "/run/forkd");
	else if ((dir = env_path("XDG_RUNTIME_DIR")) != NULL)
		rc = make(ret_path, error, "%s/forkd", dir);
	else {
		snprintf(parent, sizeof(parent), "/run/user/%u", uid);
		if (sys.stat(parent, &st) == 0 && S_ISDIR(st.st_mode) &&
		    st.st_uid == uid)
			rc = make(ret_path, error, "%s/forkd", parent);
		else
			rc = make(ret_path, error, "/tmp/forkd-%u", uid);
	}
	return rc < 0 ? rc : check_length(ret_path, error);
}

int
control_state_dir(char **ret_path, struct lf_error *error)
{
	const char *dir;
	int rc;

	rc = check_override(CONTROL_STATE_DIR_ENV, error);
	if (rc < 0)
		return rc;
	if ((dir = env_path(CONTROL_STATE_DIR_ENV)) != NULL)
		return make(ret_path, error, "%s", dir);
	if (getuid() == 0)
		return make(ret_path, error, "/var/lib/forkd");
	if ((dir = env_path("XDG_STATE_HOME")) != NULL)
		return make(ret_path, error, "%s/forkd", dir);
	if ((dir = env_path("HOME")) != NULL)
		return make(ret_path, error, "%s/.local/state/forkd", dir);
	return error_set(error, ENOENT,
	    "no state directory: set %s, XDG_STATE_HOME or HOME",
	    CONTROL_STATE_DIR_ENV);
}

int
control_socket_path(
    const char *run_dir, char **ret_path, struct lf_error *error)
{
	return make(ret_path, error, "%s/socket", run_dir);
}
