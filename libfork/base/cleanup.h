/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cleanup attributes: a variable declared with one of them releases what it
 * holds when its block is left. To hand the value on, take it out first with
 * take_ptr() or take_fd().
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes `fd` unless it is negative; errno is kept. Returns -1. */
static inline int
close_fd(int fd)
{
	if (fd >= 0) {
		int saved = errno;
		close(fd);
		errno = saved;
	}
	return -1;
}

static inline void
close_fd_p(int *fd)
{
	*fd = close_fd(*fd);
}

static inline void
free_p(void *p)
{
	free(*(void **)p);
}

/* Moves a descriptor out of its variable, which then holds none. */
static inline int
take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Moves a pointer out of its variable, which then is NULL. */
#define take_ptr(p)                       \
	({                                \
		__auto_type taken_ = (p); \
		(p) = NULL;               \
		taken_;                   \
	})

#define cleanup(fn)   __attribute__((cleanup(fn)))
#define cleanup_close cleanup(close_fd_p)
#define cleanup_free  cleanup(free_p)

/* Defines cleanup function NAME_p for a type with a free function. */
#define DEFINE_CLEANUP(type, free_fn)           \
	static inline void free_fn##_p(type *p) \
	{                                       \
		free_fn(*p);                    \
	}                                       \
	struct cleanup_semicolon

#endif
