/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the pages in a freeze's stream to the snapshot's image. File 0 is the
 * file of guest memory; all other RAM blocks are collected in file 1. Where
 * QEMU has its guest memory privately (a fork), its pages come in the stream,
 * too, and those that differ from the file become the delta.
 */
#ifndef DOMAIN_QEMU_COLLECT_H
#define DOMAIN_QEMU_COLLECT_H

#include <stdbool.h>

#include <libfork/error.h>

#include "memory/image.h"
#include "qemu/mtree.h"
#include "qemu/stream.h"

struct qemu_collect;

/*
 * `ram` is the file of guest memory, `list` QEMU's own list of blocks; both
 * are borrowed for as long as the collector lives.
 */
int qemu_collect_new(struct ram_file *ram, bool private_ram,
    const struct ramblocks *list, struct qemu_collect **ret_collect,
    struct lf_error *error);
void qemu_collect_free(struct qemu_collect *collect);

/* For stream_receive(): guest memory's own records are not to be kept. */
struct stream_sink qemu_collect_sink(struct qemu_collect *collect);

/* After the stream: the image. Its files are sealed. */
int qemu_collect_finish(struct qemu_collect *collect,
    struct ram_image **ret_image, struct lf_error *error);

#endif
