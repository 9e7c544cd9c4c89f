/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What comes before the device sections: header, configuration, and the RAM
 * sections, whose records need no description to be read. Used by the index
 * and by the receiver alike.
 */
#ifndef QEMU_STREAM_RAM_H
#define QEMU_STREAM_RAM_H

#include "qemu/stream.h"
#include "qemu/stream_source.h"

/*
 * Reads up to the first device section or the end mark and fills in the
 * stream's machine, ignore_shared, ram, ram_number, blocks and devices.
 */
int stream_ram_read(struct stream *stream, struct stream_source *source,
    const struct stream_sink *sink, struct lf_error *error);

/* Number, and for a start or full section name, instance and version. */
int stream_read_section_header(struct reader *r, enum stream_mark mark,
    struct stream_section *ret_section, struct lf_error *error);
int stream_read_footer(struct reader *r, const struct stream_section *section,
    struct lf_error *error);

#endif
