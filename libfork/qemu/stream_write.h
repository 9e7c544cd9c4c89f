/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts a migration stream together for a QEMU that waits for one, and sends
 * it: header and configuration of the snapshot's stream, a RAM section made
 * from the snapshot's image or from the memory of a fork that ran, device
 * sections unchanged except for those that are overridden, and an empty
 * description: QEMU reads none, but misses one that is not there. Nothing of
 * it is ever whole in memory, and a receiver that does not read cannot hold
 * the sender for longer than the time-out.
 */
#ifndef QEMU_STREAM_WRITE_H
#define QEMU_STREAM_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>

#include "memory/image.h"
#include "memory/view.h"
#include "qemu/stream.h"

/* The body of one device section, instead of the stream's own. */
struct stream_override {
	const char *name;
	uint32_t instance_id;
	const void *body;
	size_t len;
};

struct stream_plan {
	/* Of the snapshot: everything but what the other members say. */
	const struct stream *base;
	/* Whose device sections are sent; NULL: base's. */
	const struct stream *devices;
	/* Has all blocks of `base`, and their pages. */
	const struct ram_image *image;
	/*
	 * The block that the receiver has from its file already: only pages in
	 * the image's delta are sent. All other blocks are sent whole.
	 */
	const char *ram_idstr;
	/*
	 * Memory of a fork of the image, and where it shows something else
	 * than the image's files (delta_find()); NULL: the image itself.
	 */
	const struct memory_view *view;
	const struct ram_run *runs;
	size_t run_count;
	const struct stream_override *overrides;
	size_t override_count;
	/*
	 * Called at most once, while the receiver is busy with memory: there
	 * is time for something else then. NULL: nothing to do.
	 */
	void (*meanwhile)(void *opaque);
	void *opaque;
};

/*
 * Sends the stream to a socket in two steps: all up to the end of the memory,
 * and the rest. In between the receiver has something to do; `devices` and
 * `overrides` may be filled in meanwhile. -EPIPE: the receiver closed the
 * socket, and knows why. -ETIMEDOUT: it took nothing for `timeout_ms`.
 */
int stream_send_memory(int sock, const struct stream_plan *plan, int timeout_ms,
    struct lf_error *error);
int stream_send_devices(int sock, const struct stream_plan *plan,
    int timeout_ms, struct lf_error *error);

#endif
