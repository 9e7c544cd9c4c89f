/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A directory of the test's own; everything in it goes with it.
 */
#ifndef TESTS_LIB_SCRATCH_H
#define TESTS_LIB_SCRATCH_H

#include <sys/types.h>

extern char scratch[32];

/* Also for a suite's .init and .fini. */
void scratch_make(void);
void scratch_remove(void);

/* An empty file with exactly this mode. */
void scratch_file(const char *path, mode_t mode);

#endif
