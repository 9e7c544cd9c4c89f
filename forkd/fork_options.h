/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a fork without device model may be told, between JSON and libfork.
 * forkd checks it before anything is made, the domain process reads it again.
 */
#ifndef FORKD_FORK_OPTIONS_H
#define FORKD_FORK_OPTIONS_H

#include <jansson.h>
#include <libfork/domain.h>

/*
 * Takes over the members "interrupts", "io-policy", "pv-clock" and "verify" of
 * an object (NULL: none), each where it is there; others are not looked at.
 * -EINVAL names a value that is none.
 */
int fork_options_read(const json_t *object, struct lf_fork_options *options,
    struct lf_error *error);

/* A new object with only these members of `object`; NULL: no memory. */
json_t *fork_options_pick(const json_t *object);

/* Any of the members that is there, or NULL. */
const char *fork_options_any(const json_t *object);

#endif
