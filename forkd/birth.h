/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How domains come about: booted from a configuration, or forked from one that
 * is there. Whatever fails on the way leaves no domain behind.
 */
#ifndef FORKD_BIRTH_H
#define FORKD_BIRTH_H

#include <libfork/domain_config.h>
#include <stdbool.h>

#include <jansson.h>

#include <libfork/error.h>

struct daemon;
struct domain;

/* `error` is NULL and `domain` the new one, or why there is none. */
typedef void birth_done(
    void *opaque, struct domain *domain, const struct lf_error *error);

/*
 * Boots a domain (takes the configuration). `done` is called once, maybe at
 * once.
 */
void birth_boot(struct daemon *daemon, struct lf_domain_config *take_config,
    bool paused, birth_done *done, void *opaque);

/*
 * Forks a frozen domain. `take_config` NULL: the parent's with a generated
 * name. `devstate_fd` is borrowed; -1: the snapshot's own.
 */
void birth_fork(struct daemon *daemon, struct domain *parent,
    struct lf_domain_config *take_config, int devstate_fd, bool paused,
    birth_done *done, void *opaque);

/*
 * Forks a frozen domain without device model, into the process in which it
 * lives. Takes the options (forkd/fork_options.h).
 */
void birth_fork_here(struct daemon *daemon, struct domain *parent,
    json_t *take_options, bool paused, birth_done *done, void *opaque);

#endif
