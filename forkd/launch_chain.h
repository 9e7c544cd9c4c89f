/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a domain's disks as its process names them: only those that the
 * domain may have. A chain is one disk: the file that is written, then those
 * below it.
 */
#ifndef FORKD_LAUNCH_CHAIN_H
#define FORKD_LAUNCH_CHAIN_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>
#include <libfork/domain_config.h>
#include <libfork/error.h>
#include <libfork/qemu.h>

struct domain;
struct peer_request;

/* All chains of a domain, checked. */
struct launch_chains {
	struct lf_qemu_chain disk[LF_DISKS_MAX];
	size_t count;
	struct lf_qemu_chain nvram; /* no layers: none */
};

void launch_chains_done(struct launch_chains *chains);

/*
 * One image. Before a booted domain ran for the first time its images are as
 * their owner made them: the files that they name as below them are believed
 * and remembered. Later nothing new is.
 */
int launch_check_image(struct domain *domain, const char *path, bool below,
    struct lf_error *error);

/*
 * All chains of a request, in the configuration's order; a disk without files
 * of its own has what the configuration names. `held` keeps the strings alive
 * that the chains point to. launch_chains_done() also after a failure.
 */
int launch_chains_read(struct domain *domain,
    const struct peer_request *request, struct launch_chains *ret, json_t *held,
    struct lf_error *error);

/*
 * The configuration that QEMU is started with: the one on record, with the
 * files that the guest writes in place of those it was made with.
 */
int launch_chains_config(const struct domain *domain,
    const struct launch_chains *chains, struct lf_domain_config **ret_config,
    struct lf_error *error);

#endif
