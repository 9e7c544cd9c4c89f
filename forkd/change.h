/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What makes of a fork something else, under the same id: its device model
 * launched late, and its reset. Whatever fails leaves it what it was, paused
 * or crashed.
 */
#ifndef FORKD_CHANGE_H
#define FORKD_CHANGE_H

#include <jansson.h>
#include <libfork/domain_config.h>
#include <stdbool.h>

#include <libfork/error.h>

struct domain;

/* `error` is NULL, or says why not; `domain` is NULL when it is gone. */
typedef void change_done(
    void *opaque, struct domain *domain, const struct lf_error *error);

/*
 * Launches a fork's device model. `take_config` NULL: as on record.
 * `devstate_fd` is borrowed; -1: the snapshot's own. `done` is called once,
 * maybe at once.
 */
void change_launch(struct domain *domain, struct lf_domain_config *take_config,
    int devstate_fd, bool paused, change_done *done, void *opaque);

/*
 * Launches it if the domain stopped at an access that wants one; how that goes
 * is told by its state.
 */
void change_launch_wanted(struct domain *domain);

/*
 * Starts the device model that a fork may need later, with the configuration
 * on record; it waits until then. `done` is called when it is ready, at once
 * for a fork that has one or is being given one.
 */
void change_prepare(struct domain *domain, change_done *done, void *opaque);

/* Takes a fork back to its snapshot. */
void change_reset(
    struct domain *domain, bool paused, change_done *done, void *opaque);

/*
 * An adopted domain, before and after its process was asked: a launch on record
 * is under way until it has said what became of it.
 */
void change_adopt_begin(struct domain *domain);
void change_adopt(struct domain *domain, const json_t *described);

#endif
