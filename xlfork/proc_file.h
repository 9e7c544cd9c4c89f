/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small files of /proc and /sys.
 */
#ifndef XLFORK_PROC_FILE_H
#define XLFORK_PROC_FILE_H

#include <stddef.h>

/* The file's text, cut at size - 1 bytes, without the last line feed. */
int proc_text(const char *path, char *buf, size_t size);

/* The number that the file begins with; unchanged on failure. */
int proc_number(const char *path, long *number);

#endif
