/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing all of it to a descriptor that blocks. Knows nothing of what it is.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stddef.h>

/* 0, or write(2)'s error, negative; how much was written before is unknown. */
int io_write_all(int fd, const void *bytes, size_t len);

#endif
