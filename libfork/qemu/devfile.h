/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device-state file: a stream read into memory and indexed, and the question
 * whether it is of the same instant as another.
 */
#ifndef QEMU_DEVFILE_H
#define QEMU_DEVFILE_H

#include <libfork/error.h>

#include "base/cleanup.h"
#include "qemu/stream.h"

struct devfile {
	void *data;
	size_t len;
	struct stream *stream;
};

/*
 * Reads all of a file or memfd from offset 0, up to LF_DEVSTATE_BYTES_MAX
 * (RAM blocks other than guest memory are in it). `like` lends its description
 * to a file that has none (see stream_parse).
 */
int devfile_read(int fd, const struct stream *like, struct devfile **ret_file,
    struct lf_error *error);
void devfile_free(struct devfile *file);
DEFINE_CLEANUP(struct devfile *, devfile_free);

/*
 * Whether `other` was made in the instant of `mine`: the same sections, and
 * every `cpu` section and the `timer` section equal byte for byte (registers,
 * TSC and the machine's clock are the fingerprint). -EINVAL names the first
 * field that differs.
 */
int devfile_check(const struct stream *mine, const struct stream *other,
    struct lf_error *error);

/*
 * A 32-bit field of a section's top level; -ENOENT when there is none.
 */
int devfile_get_u32(const struct stream *stream,
    const struct stream_section *section, const char *field, uint32_t *ret);

#endif
