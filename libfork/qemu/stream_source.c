/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A window over a descriptor. Waiting is bounded by silence, not by the whole
 * transfer: a large guest may take its time as long as bytes come.
 */
#include "qemu/stream_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"

#define WINDOW_BYTES (1024 * 1024)

void
stream_source_init_memory(
    struct stream_source *source, const void *data, size_t len)
{
	*source =
	    (struct stream_source){.fd = -1, .keep_fd = -1, .ended = true};
	reader_init(&source->r, data, len, "stream");
}

int
stream_source_init_fd(struct stream_source *source, int fd, int keep_fd,
    int timeout_ms, struct lf_error *error)
{
	*source = (struct stream_source){
	    .size = WINDOW_BYTES,
	    .fd = fd,
	    .keep_fd = keep_fd,
	    .timeout_ms = timeout_ms,
	};
	source->window = sys.malloc(source->size);
	if (source->window == NULL)
		return error_nomem(error);
	reader_init(&source->r, source->window, 0, "stream");
	return 0;
}

void
stream_source_done(struct stream_source *source)
{
	free(source->window);
	source->window = NULL;
}

/* Writes out what was read and belongs to what is kept. */
static int
flush(struct stream_source *source, size_t end, struct lf_error *error)
{
	while (source->keep_from < end) {
		ssize_t n;

		if (source->keep_fd < 0) {
			source->keep_from = end;
			break;
		}
		n = sys.write(source->keep_fd,
		    source->window + source->keep_from,
		    end - source->keep_from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(
			    error, errno, "stream: cannot keep it");
		source->keep_from += (size_t)n;
	}
	return 0;
}

static int
wait_bytes(struct stream_source *source, struct lf_error *error)
{
	struct pollfd pfd = {.fd = source->fd, .events = POLLIN};
	int n;

	do
		n = sys.poll(&pfd, 1, source->timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(error, errno, "stream: cannot wait for it");
	if (n == 0)
		return error_set(error, ETIMEDOUT,
		    "stream: QEMU sent nothing for %d s after %llu bytes",
		    source->timeout_ms / 1000,
		    (unsigned long long)(source->before + source->r.len));
	return 0;
}

/* Makes room and reads once. */
static int
refill(struct stream_source *source, struct lf_error *error)
{
	ssize_t n;
	int rc;

	if (source->size - source->r.len < source->size / 4) {
		size_t used = source->r.pos;

		rc = flush(source, used, error);
		if (rc < 0)
			return rc;
		memmove(source->window, source->window + used,
		    source->r.len - used);
		source->before += used;
		source->r.len -= used;
		source->r.pos = 0;
		source->keep_from = 0;
	}
	rc = wait_bytes(source, error);
	if (rc < 0)
		return rc;
	n = sys.read(source->fd, source->window + source->r.len,
	    source->size - source->r.len);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return error_sys(error, errno, "stream: cannot read it");
	if (n == 0)
		source->ended = true;
	source->r.len += (size_t)n;
	return 0;
}

int
stream_source_want(
    struct stream_source *source, size_t len, struct lf_error *error)
{
	int rc = 0;

	while (rc == 0 && !source->ended && reader_left(&source->r) < len)
		rc = refill(source, error);
	return rc;
}

int
stream_source_drop(
    struct stream_source *source, size_t from, struct lf_error *error)
{
	int rc;

	if (source->window == NULL)
		return 0;
	rc = flush(source, from, error);
	if (rc == 0)
		source->keep_from = source->r.pos;
	return rc;
}

int
stream_source_copy_rest(struct stream_source *source, struct lf_error *error)
{
	int rc = 0;

	while (rc == 0 && !source->ended) {
		source->r.pos = source->r.len;
		rc = refill(source, error);
	}
	source->r.pos = source->r.len;
	return rc < 0 ? rc : flush(source, source->r.len, error);
}
