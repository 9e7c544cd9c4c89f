/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The list of the blocks that runs executed, in the form that --blocks reads.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <libfork/symbols.h>

#include "base/error.h"
#include "base/sys.h"
#include "xlfork/command.h"
#include "xlfork/fuzz_modes.h"
#include "xlfork/output_file.h"

static int
write_blocks(FILE *stream, const struct lf_fuzz *fuzz,
    const struct fuzz_target *target, struct lf_error *error)
{
	size_t count = lf_fuzz_block_count(fuzz), i;
	char place[256];

	for (i = 0; i < count; i++) {
		struct lf_fuzz_block block;
		int rc = lf_fuzz_block(fuzz, i, &block, error);

		if (rc < 0)
			return rc;
		if (block.watched && !block.executed)
			continue;
		lf_symbols_format(fuzz_target_symbols(target), block.start,
		    place, sizeof(place));
		fprintf(stream, "%s0x%" PRIx64 "  # %s%s\n",
		    block.watched ? "" : "# ", block.start, place,
		    block.watched ? "" : ": no probe fits");
	}
	return 0;
}

int
fuzz_covered(const struct lf_fuzz *fuzz, const struct fuzz_target *target,
    const char *path, int rc, struct lf_error *error)
{
	struct output_file file;
	FILE *stream;
	int fd, written;

	if (path == NULL || (rc < 0 && rc != -COMMAND_EREPORTED))
		return rc;
	written = output_file_open(path, &file, error);
	if (written < 0)
		return written;
	fd = sys.dup(file.fd);
	stream = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (stream == NULL) {
		written = error_sys(error, errno, "cannot write '%s'", path);
		if (fd >= 0)
			close(fd);
	} else {
		written = write_blocks(stream, fuzz, target, error);
		if ((ferror(stream) | fclose(stream)) != 0 && written == 0)
			written =
			    error_sys(error, errno, "cannot write '%s'", path);
	}
	written = output_file_finish(&file, written, error);
	return written < 0 ? written : rc;
}
