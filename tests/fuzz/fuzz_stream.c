/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A migration stream: what is accepted can be walked, and every byte of every
 * section has a name.
 */
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "qemu/stream.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct stream *stream;
	struct lf_error error;
	char name[300];
	size_t i;

	if (stream_parse(data, len, NULL, &stream, &error) < 0)
		return 0;
	if (stream_walk_ram(stream, NULL, &error) < 0)
		abort();
	for (i = 0; i < stream->section_count; i++) {
		const struct stream_section *section = &stream->sections[i];

		if (section->offset + section->length > len)
			abort();
		if (section->length > 0)
			vmdesc_name_offset(section->device,
			    (uint32_t)section->length - 1, name, sizeof(name));
	}
	stream_free(stream);
	return 0;
}
