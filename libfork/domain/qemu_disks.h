/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a domain's disks and flash variables: for each a chain, the one
 * that the guest writes first. A fork has its parent's chains with an overlay
 * of its own in front of each that is written; the overlays go when it goes.
 */
#ifndef DOMAIN_QEMU_DISKS_H
#define DOMAIN_QEMU_DISKS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>
#include <libfork/domain_config.h>
#include <libfork/launcher.h>
#include <libfork/qemu.h>

struct qemu_disks {
	struct lf_qemu_chain *disks; /* owned, in the configuration's order */
	size_t disk_count;
	struct lf_qemu_chain nvram; /* count 0: none */
	char **overlays;            /* owned: files that were made */
	size_t overlay_count;
};

/* The files that a configuration names, one for each disk. */
int qemu_disks_from_config(struct qemu_disks *disks,
    const struct lf_domain_config *config, struct lf_error *error);

/*
 * The chains of a fork: `parent_files` is what qemu_disks_to_json() gave for
 * its parent, whose configuration is `parent`. A path in `config` that is not
 * the parent's names the overlay to make. `config` gets the paths and formats
 * of the overlays.
 */
int qemu_disks_fork(struct qemu_disks *disks, const json_t *parent_files,
    const struct lf_domain_config *parent, struct lf_domain_config *config,
    struct lf_launcher *launcher, struct lf_error *error);

/* Removes the overlays and frees everything. */
void qemu_disks_done(struct qemu_disks *disks, struct lf_launcher *launcher);

/* {"disks": [[{"path", "format"}, ...], ...], "nvram": [...]}. */
int qemu_disks_to_json(
    const struct qemu_disks *disks, json_t **ret_files, struct lf_error *error);

/*
 * Whether QEMU's answer to query-named-block-nodes has no writable node but
 * the configuration's. -ENOTSUP names the first: a fork would share it.
 */
int qemu_disks_check_nodes(const struct lf_domain_config *config,
    const json_t *nodes, struct lf_error *error);

#endif
