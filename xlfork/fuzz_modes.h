/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `xlfork fuzz` does when it is not AFL++ that started it: one input, a
 * directory of inputs, or measuring.
 */
#ifndef XLFORK_FUZZ_MODES_H
#define XLFORK_FUZZ_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libfork/error.h>
#include <libfork/fuzz.h>

#include "xlfork/fuzz_target.h"

/* A file's bytes. */
struct fuzz_file {
	uint8_t *bytes; /* owned */
	size_t len;
};

/* -EFBIG: above 256 MiB. */
int fuzz_file_read(
    const char *path, struct fuzz_file *file, struct lf_error *error);
void fuzz_file_done(struct fuzz_file *file);

/*
 * 0: every run ended in order; -COMMAND_EREPORTED: one did not, and that was
 * printed.
 */
int fuzz_input(struct lf_fuzz *fuzz, const struct fuzz_target *target,
    const char *path, struct lf_error *error);
int fuzz_replay(struct lf_fuzz *fuzz, const struct fuzz_target *target,
    const char *dir, struct lf_error *error);

/*
 * Writes a file for --blocks: the blocks that runs so far executed, a line
 * each; in comments those where no probe fits. `rc` is what came of the runs,
 * and is returned; a path of NULL does nothing.
 */
int fuzz_covered(const struct lf_fuzz *fuzz, const struct fuzz_target *target,
    const char *path, int rc, struct lf_error *error);

struct fuzz_bench {
	const char *path; /* input */
	unsigned seconds;
	unsigned workers; /* each a thread on a core of its own */
	bool json;
};

/* `fuzz` is timed; further workers begin where it does. */
int fuzz_bench(struct lf_fuzz *fuzz, const struct fuzz_bench *bench,
    struct lf_error *error);

#endif
