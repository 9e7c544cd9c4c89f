/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A forkd with one domain, whose domain process is the other end of a
 * connection, played by the test. Everything here fails the test when it fails.
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

/* A complete configuration; the caller frees it. */
struct lf_domain_config *scene_config(const char *name);

/* In the scratch directory, which goes with the scene. */
void scene_open(struct scene *s);
void scene_close(struct scene *s);

/* Runs until the process has heard a question, which is this command. */
void scene_hear(struct scene *s, const char *command);

/* Answers it, and runs until `s->done` is `done`. */
void scene_answer(struct scene *s, unsigned done);

#endif
