/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing all of it to a descriptor that blocks, and the three that a program
 * begins with. Knows nothing of what they are.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stdbool.h>
#include <stddef.h>

/* 0, or write(2)'s error, negative; how much was written before is unknown. */
int io_write_all(int fd, const void *bytes, size_t len);

/*
 * Whether somebody may still read what is written: false for a pipe or socket
 * whose other end is closed. For who writes seldom, and would wait for ever to
 * be told so by SIGPIPE.
 */
bool io_has_reader(int fd);

/*
 * For the beginning of a program: takes the numbers 0, 1 and 2 where they are
 * closed, so that no file or socket that is opened later gets one of them, and
 * what is printed goes into it. Using one fails with EBADF, as before. 0 or
 * -errno.
 */
int io_hold_standard(void);

#endif
