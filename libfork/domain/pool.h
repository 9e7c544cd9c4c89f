/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking VM shells out of a pool.
 */
#ifndef DOMAIN_POOL_H
#define DOMAIN_POOL_H

#include <libfork/pool.h>

#include "kvm/vm.h"

/*
 * A shell made by `recipe`: the pool's if it has one (pool may be NULL), else
 * a new one. The pool begins to make more of the kind.
 */
int pool_take(struct lf_pool *pool, const struct kvm_device *device,
    const struct vm_recipe *recipe, struct vm **ret_vm, struct lf_error *error);

#endif
