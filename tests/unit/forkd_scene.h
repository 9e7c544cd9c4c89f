/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A forkd with one domain, whose domain process is the other end of a
 * connection, played by the test; and the pieces of such a scene, for tests
 * that set their own. Everything here fails the test when it fails.
 */
#ifndef TESTS_UNIT_FORKD_SCENE_H
#define TESTS_UNIT_FORKD_SCENE_H

#include <libfork/domain_config.h>

#include "forkd/daemon.h"
#include "forkd/peer.h"
#include "forkd/registry.h"

struct scene {
	struct daemon daemon;
	struct domain *domain; /* "one", established, runs */
	struct peer *process;
	struct peer_request *asked; /* what the process was asked last */
	unsigned done;              /* for callbacks: how often, and the last */
	int rc;
};

/* --- pieces --- */

/* A complete configuration; the caller frees it. */
struct lf_domain_config *scene_config(const char *name);

struct domain *scene_add(
    struct registry *registry, const char *name, unsigned parent);

/* For registry_load() where all that lies there can be read. */
void scene_no_report(const struct lf_error *error);

/* The domain's process: one that waits for ever. */
void scene_start_stand_in(struct domain *domain);

/* Links the domain with the other end of a connection, which it returns. */
struct peer *scene_link(struct daemon *daemon, struct domain *domain,
    const struct peer_ops *ops, void *opaque);

/* For `ops`: a connection that ends is nothing to the test. */
void scene_closed(void *opaque, const struct lf_error *why);

/* A client of the socket at `path`. */
int scene_connect(const char *path);

/* --- the scene --- */

/* In the scratch directory, which goes with the scene. */
void scene_open(struct scene *s);
void scene_close(struct scene *s);

/* Runs until the process has heard a question, which is this command. */
void scene_hear(struct scene *s, const char *command);

/* Answers it, and runs until `s->done` is `done`. */
void scene_answer(struct scene *s, unsigned done);

#endif
