/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pool of VM shells: virtual machines without memory and state, made ahead
 * by a thread of the pool's own, so that a fork only has to fill one in. Shells
 * fit forks of the same number of vCPUs, CPUID table and so on; the pool makes
 * them for the kinds that were asked for.
 */
#ifndef LIBFORK_POOL_H
#define LIBFORK_POOL_H

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_pool;

/*
 * Makes a pool that keeps `depth` (1 to 4,096) shells of each kind that was
 * asked for (at most eight kinds; forks of others do not use it). Give it to
 * forks in lf_fork_options.pool; any number of threads may use it. -EINVAL:
 * another depth; -EAGAIN: no more threads.
 */
LF_API int lf_pool_new(
    unsigned depth, struct lf_pool **ret_pool, struct lf_error *error);

/*
 * Ends the pool and the shells in it; forks made with it go on. No fork may be
 * under way. NULL is allowed.
 */
LF_API void lf_pool_free(struct lf_pool *pool);

/*
 * Waits until the pool has `depth` shells of each kind, but for kinds of which
 * one could not be made (the log says so).
 */
LF_API void lf_pool_wait(struct lf_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
