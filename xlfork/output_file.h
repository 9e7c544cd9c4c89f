/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that somebody else fills through its descriptor. It takes its name
 * when it is complete; until then, and after a failure, what had the name
 * before is untouched.
 */
#ifndef XLFORK_OUTPUT_FILE_H
#define XLFORK_OUTPUT_FILE_H

#include <libfork/error.h>

struct output_file {
	int fd;
	const char *path; /* borrowed */
	char *part;       /* the name until then; NULL: written in place */
};

/* A device or pipe is written in place. */
int output_file_open(
    const char *path, struct output_file *ret_file, struct lf_error *error);

/*
 * Ends the writing that had the result `rc`: names the file, or removes it
 * when rc < 0. Returns rc, or why the name could not be given.
 */
int output_file_finish(
    struct output_file *file, int rc, struct lf_error *error);

#endif
