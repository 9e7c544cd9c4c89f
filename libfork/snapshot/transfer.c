/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots over a unix socket: eight bytes with the manifest's length and all
 * descriptors, then the manifest. The length comes first so that nothing
 * behind the snapshot is read with it.
 */
#include <endian.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fdpass.h"
#include "base/json_text.h"
#include "base/sys.h"
#include "snapshot/manifest.h"

/* 255 vCPUs and a full delta are a tenth of it. */
#define MANIFEST_MAX (32UL << 20)

DEFINE_CLEANUP(struct ram_image *, ram_image_unref);

static int
wait_for(int sock, short events, struct lf_error *error)
{
	struct pollfd pollfd = {.fd = sock, .events = events};

	if (sys.poll(&pollfd, 1, -1) < 0 && errno != EINTR)
		return error_sys(error, errno, "cannot wait for the socket");
	return 0;
}

static int
send_all(int sock, const void *bytes, size_t len, const int *fds,
    size_t fd_count, struct lf_error *error)
{
	const char *from = bytes;

	while (len > 0) {
		ssize_t n = fdpass_send(sock, from, len, fds, fd_count, error);

		if (n == -EAGAIN) {
			int rc = wait_for(sock, POLLOUT, error);

			if (rc < 0)
				return rc;
			continue;
		}
		if (n < 0)
			return (int)n;
		fd_count = 0;
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * The text, the descriptors, and a reference to the image that has them. A
 * fork in another thread may just be completing the snapshot, or giving it
 * another image; it must not wait for whoever reads the socket.
 */
static int
describe(struct lf_snapshot *snapshot, char **ret_text,
    struct ram_image **ret_image, int *fds, size_t *ret_fd_count)
{
	json_t *manifest;
	char *text = NULL;
	size_t len;

	pthread_mutex_lock(&snapshot->lock);
	manifest = manifest_write(snapshot);
	if (manifest != NULL)
		text = json_text(manifest, JSON_COMPACT, &len);
	json_decref(manifest);
	*ret_image = ram_image_ref(snapshot->image);
	*ret_fd_count = manifest_files(snapshot, fds);
	pthread_mutex_unlock(&snapshot->lock);
	*ret_text = text;
	return text != NULL ? 0 : -ENOMEM;
}

int
lf_snapshot_send(
    int sock, const struct lf_snapshot *snapshot, struct lf_error *error)
{
	cleanup(ram_image_unref_p) struct ram_image *image = NULL;
	cleanup_free char *text = NULL;
	int fds[MANIFEST_FILES_MAX];
	size_t fd_count;
	uint64_t length;
	int rc;

	rc = describe(
	    (struct lf_snapshot *)snapshot, &text, &image, fds, &fd_count);
	if (rc < 0)
		return error_nomem(error);
	length = htobe64(strlen(text));
	rc = send_all(sock, &length, sizeof(length), fds, fd_count, error);
	if (rc == 0)
		rc = send_all(sock, text, strlen(text), NULL, 0, error);
	return rc < 0 ? error_prefix(error, rc, "cannot send a snapshot") : 0;
}

/* Descriptors that came so far; closed when the block is left. */
struct received {
	int fds[MANIFEST_FILES_MAX];
	size_t count;
};

static void
received_done(struct received *received)
{
	while (received->count > 0)
		close_fd(received->fds[--received->count]);
}

static int
receive_all(int sock, void *buf, size_t len, struct received *received,
    struct lf_error *error)
{
	char *to = buf;

	while (len > 0) {
		size_t count = 0;
		ssize_t n = fdpass_receive(sock, to, len,
		    received->fds + received->count,
		    MANIFEST_FILES_MAX - received->count, &count, error);

		if (n == -EAGAIN) {
			int rc = wait_for(sock, POLLIN, error);

			if (rc < 0)
				return rc;
			continue;
		}
		if (n < 0)
			return (int)n;
		if (count == FDPASS_LOST)
			return error_set(error, EMFILE,
			    "its files did not arrive: this process has too "
			    "many open (raise its limit, RLIMIT_NOFILE)");
		received->count += count;
		if (n == 0)
			return error_set(error, ECONNRESET,
			    "the connection ended %zu bytes too early", len);
		to += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
receive(int sock, struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	cleanup(received_done) struct received received = {.count = 0};
	cleanup_free char *text = NULL;
	json_error_t why;
	json_t *manifest;
	uint64_t length;
	int rc;

	rc = receive_all(sock, &length, sizeof(length), &received, error);
	if (rc < 0)
		return rc;
	length = be64toh(length);
	if (length == 0 || length > MANIFEST_MAX)
		return error_set(error, EBADMSG,
		    "a manifest of %llu bytes; at most %lu are possible",
		    (unsigned long long)length, MANIFEST_MAX);
	text = sys.malloc(length);
	if (text == NULL)
		return error_nomem(error);
	rc = receive_all(sock, text, length, &received, error);
	if (rc < 0)
		return rc;
	manifest = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
	if (manifest == NULL)
		return error_set(
		    error, EBADMSG, "the manifest is not JSON: %s", why.text);
	rc = manifest_read(
	    manifest, received.fds, received.count, ret_snapshot, error);
	json_decref(manifest);
	return rc;
}

int
lf_snapshot_receive(
    int sock, struct lf_snapshot **ret_snapshot, struct lf_error *error)
{
	int rc = receive(sock, ret_snapshot, error);

	return rc < 0 ? error_prefix(error, rc, "cannot receive a snapshot")
		      : 0;
}
