/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libnyx.so is to fuzz, and how: a directory's file `options`, with the
 * words that would follow `xlfork fuzz`. Without that file it is the
 * directory's program.elf, which counts its coverage itself. Files that the
 * words name lie in the directory.
 */
#ifndef XLFORK_NYX_OPTIONS_H
#define XLFORK_NYX_OPTIONS_H

#include <libfork/error.h>

#include "xlfork/command.h"

#define NYX_WORDS_MAX 128
#define NYX_FILES_MAX 8

struct nyx_options {
	struct invocation call; /* points into the rest */
	char path[4096];        /* of the file */
	char *text;             /* owned: what is in it, cut into words */
	char *argv[NYX_WORDS_MAX + 2];
	char *files[NYX_FILES_MAX]; /* owned: paths through the directory */
	unsigned file_count;
};

/*
 * -COMMAND_EUSAGE and others; the message names the file. `options` is to be
 * zero before, and stays where it is.
 */
int nyx_options_read(
    struct nyx_options *options, const char *dir, struct lf_error *error);
void nyx_options_done(struct nyx_options *options);

#endif
