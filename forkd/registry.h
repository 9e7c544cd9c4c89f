/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domains that forkd knows: in memory, and each in a file of the run
 * directory that is written before anything happens that the next forkd would
 * have to clean up. Ids only grow.
 *
 * A domain's state changes through registry_report() only, which looks the
 * report up in the table of allowed transitions.
 */
#ifndef FORKD_REGISTRY_H
#define FORKD_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <libfork/domain_config.h>
#include <libfork/error.h>

#include "control/messages.h"
#include "forkd/domain.h"
#include "forkd/registry_kept.h"

struct peer;

struct registry {
	char *run_dir; /* owned */
	mode_t dir_mode;
	struct domain *first;
	unsigned count;
	struct registry_kept kept; /* domains left alone, in none above */
	unsigned next_id;
	unsigned saved_id; /* below it, ids are known to the next forkd */
	bool closing;      /* forkd ends and its domains go on */
};

int registry_init(struct registry *registry, const char *run_dir,
    mode_t dir_mode, struct lf_error *error);
void registry_done(struct registry *registry);

/*
 * Adds a domain (takes the configuration) with a fresh id, its directory and
 * its file: paused, not established. It lives in the process of `host`, without
 * a device model; NULL: in one of its own. -EEXIST: the name is taken.
 */
int registry_add(struct registry *registry,
    struct lf_domain_config *take_config, unsigned parent,
    const struct domain *host, struct domain **ret_domain,
    struct lf_error *error);

/*
 * Reads all files. A domain whose file cannot be read is reported and left as
 * it is, with its id and its name taken, and so are the forks in its process;
 * one that has no file yet, or none any more, is reported and removed.
 */
int registry_load(struct registry *registry,
    void (*report)(const struct lf_error *error), struct lf_error *error);

/* Removes the domain with its directory and overlays, and frees it. */
void registry_remove(struct domain *domain);

/* Brings the domain's file up to date. */
int registry_save(const struct domain *domain, struct lf_error *error);

/* By id or name; -ENOENT says what was looked for. */
int registry_find(struct registry *registry, const char *id_or_name,
    struct domain **ret_domain, struct lf_error *error);
struct domain *registry_find_id(struct registry *registry, unsigned id);
struct domain *registry_find_name(struct registry *registry, const char *name);

/* The domain in whose process it lives: itself or its host; NULL: gone. */
struct domain *registry_host(struct domain *domain);

/* The connection to the process that it lives in; NULL: there is none. */
struct peer *registry_link(const struct domain *domain);

/* What QEMU is started with for it. */
struct lf_domain_config *registry_config(const struct domain *domain);

/* -EEXIST when a domain has the name, or will have it by its launch. */
int registry_check_name(
    struct registry *registry, const char *name, struct lf_error *error);

/*
 * Gives a domain another name: 1 when it has it, 0 when it had it before.
 * -EBUSY while it is being launched, which gives it a name.
 */
int registry_rename(
    struct domain *domain, const char *name, struct lf_error *error);

/*
 * Takes a report of a new state; returns 1 when it changed something, 0 when
 * not, -EINVAL when a domain cannot get from here to there.
 */
int registry_report(struct domain *domain, enum control_state state,
    const char *reason, struct lf_error *error);

/* Adds a path to one of the domain's lists, and saves; or does not save. */
int registry_add_file(struct domain *domain, struct file_list *list,
    const char *path, struct lf_error *error);

/* Removes an overlay's file and forgets it. */
void registry_drop_overlay(struct domain *domain, const char *path);

/*
 * An overlay at a place that the user named is the user's from now on, as its
 * configuration is; those in our own directory go with the domain.
 */
void registry_release_overlays(struct domain *domain, const char *our_dir);

/* Forgets an overlay that was not made: a file there is somebody else's. */
void registry_forget_overlay(struct domain *domain, const char *path);

/*
 * Whether QEMU may be given this image for the domain: its configuration names
 * it, or it is an overlay or a backing file of the domain or of one that it
 * was forked from.
 */
bool registry_knows_image(const struct domain *domain, const char *path);

/*
 * Whether a fork lives that shares this domain's snapshot, or may live; the
 * message names all of them, or one that is left alone.
 */
int registry_check_holders(const struct domain *domain, struct lf_error *error);
bool registry_is_holder(const struct domain *domain, const struct domain *of);

/* A row of "list"; NULL: out of memory. */
json_t *registry_row(const struct domain *domain);

#endif
