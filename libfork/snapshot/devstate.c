/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device state that a snapshot has from QEMU: written to a file, and
 * compared with one.
 */
#include <libfork/snapshot.h>

#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/sys.h"
#include "qemu/devfile.h"
#include "snapshot/snapshot.h"

#define CHUNK_BYTES (64 * 1024)

static int
check_present(const struct lf_snapshot *snapshot, struct lf_error *error)
{
	return snapshot->devstate_fd >= 0
		   ? 0
		   : error_set(error, EINVAL,
			 "the snapshot has no device state: it does not come "
			 "from QEMU");
}

int
snapshot_devstate(struct lf_snapshot *snapshot,
    const struct devfile **ret_devstate, struct lf_error *error)
{
	int rc = check_present(snapshot, error);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&snapshot->lock);
	if (snapshot->devstate == NULL)
		rc = devfile_read(
		    snapshot->devstate_fd, NULL, &snapshot->devstate, error);
	*ret_devstate = snapshot->devstate;
	pthread_mutex_unlock(&snapshot->lock);
	return rc;
}

int
lf_snapshot_write_devstate(
    const struct lf_snapshot *snapshot, int fd, struct lf_error *error)
{
	uint64_t done = 0, length = snapshot->devstate_length;
	cleanup_free char *buf = NULL;
	int rc = check_present(snapshot, error);

	if (rc < 0)
		return rc;
	buf = sys.malloc(CHUNK_BYTES);
	if (buf == NULL)
		return error_nomem(error);
	while (done < length) {
		size_t want = length - done < CHUNK_BYTES
				  ? (size_t)(length - done)
				  : CHUNK_BYTES;
		ssize_t n =
		    sys.pread(snapshot->devstate_fd, buf, want, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(error, n < 0 ? errno : EIO,
			    "cannot read the snapshot's device state");
		rc = io_write_all(fd, buf, (size_t)n);
		if (rc < 0)
			return error_sys(
			    error, -rc, "cannot write the device state");
		done += (uint64_t)n;
	}
	return 0;
}

int
lf_snapshot_check_devstate(
    const struct lf_snapshot *snapshot, int fd, struct lf_error *error)
{
	cleanup(devfile_free_p) struct devfile *own = NULL, *other = NULL;
	int rc = check_present(snapshot, error);

	if (rc == 0)
		rc = devfile_read(snapshot->devstate_fd, NULL, &own, error);
	if (rc == 0)
		rc = devfile_read(fd, own->stream, &other, error);
	return rc < 0 ? rc : devfile_check(own->stream, other->stream, error);
}
