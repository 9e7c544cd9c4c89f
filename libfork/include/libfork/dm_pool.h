/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device models that wait: QEMUs started in advance for forks of one snapshot,
 * which only have to be given a state when they are needed. One serves a fork
 * or a late launch whose configuration gives the arguments that it was started
 * with; whatever else is wanted is started anew.
 *
 * A pool belongs to one thread at a time, the one that launches.
 */
#ifndef LIBFORK_DM_POOL_H
#define LIBFORK_DM_POOL_H

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lf_domain_config;
struct lf_launcher;
struct lf_snapshot;
struct lf_dm_pool;

/* More QEMUs than that are not kept waiting. */
#define LF_DM_POOL_MAX 64

/*
 * Makes an empty pool of `depth` device models (1 to LF_DM_POOL_MAX) with the
 * configuration `config`, or that of a fork without one of its own (NULL). It
 * holds a reference to the snapshot. `launcher` must outlive the pool and what
 * it served. The name in the configuration does not matter: a device model
 * serves domains of any name. -EINVAL: this is no configuration of a fork of
 * the snapshot, or it names an overlay, which only a pool of one can have.
 */
LF_API int lf_dm_pool_new(struct lf_snapshot *snapshot,
    struct lf_launcher *launcher, const struct lf_domain_config *config,
    unsigned depth, struct lf_dm_pool **ret_pool, struct lf_error *error);

/* Ends the pool and the device models that wait. NULL is allowed. */
LF_API void lf_dm_pool_free(struct lf_dm_pool *pool);

/*
 * Starts device models until `depth` of them wait, and lets go of those that
 * died. Blocks until they are ready to be given a state: some 100 ms. Returns
 * how many wait. When one cannot be started, it is an error, and those that
 * were started wait.
 */
LF_API int lf_dm_pool_fill(struct lf_dm_pool *pool, struct lf_error *error);

/* How many wait; some may have died since. */
LF_API unsigned lf_dm_pool_waiting(const struct lf_dm_pool *pool);

/*
 * Why the last launch with this pool was a cold start ("no device model
 * waits", "serial differs ..."); NULL: it was served from the pool.
 */
LF_API const char *lf_dm_pool_miss(const struct lf_dm_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
