/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time that only goes forward, since a moment that means nothing.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t
clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Signed: a deadline may be behind it. */
static inline int64_t
clock_ms(void)
{
	return (int64_t)(clock_ns() / 1000000);
}

static inline double
clock_seconds(void)
{
	return (double)clock_ns() / 1e9;
}

#endif
