/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking waiting device models out of a pool.
 */
#ifndef DOMAIN_DM_POOL_H
#define DOMAIN_DM_POOL_H

#include <libfork/dm_pool.h>

#include "domain/qemu_domain.h"

/*
 * A device model that waits, has the memory of `image` below and the arguments
 * that `config` (complete, for a fork of that image) gives: true, and it is the
 * caller's, its configuration that of `config`, to be given a state through
 * `*ret_sock`. false: there is none, lf_dm_pool_miss() says why. `pool` may be
 * NULL.
 */
bool dm_pool_take(struct lf_dm_pool *pool, const struct ram_image *image,
    const struct lf_domain_config *config, struct qemu_domain **ret_domain,
    int *ret_sock);

#endif
