/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Launching a device model late: a domain that ran on the kvm backend goes on
 * under a QEMU. It is frozen, a QEMU is started from that snapshot as for any
 * other fork, and takes the kvm backend's place.
 */
#include "base/cleanup.h"
#include "domain/backend.h"
#include "domain/kvm.h"
#include "domain/qemu_domain.h"
#include "snapshot/snapshot.h"

DEFINE_CLEANUP(struct lf_snapshot *, lf_snapshot_unref);

int
kvm_backend_launch(struct lf_domain *domain,
    const struct lf_launch_options *options, struct lf_error *error)
{
	cleanup(lf_snapshot_unref_p) struct lf_snapshot *snapshot = NULL;
	struct qemu_start start = {
	    .launcher = options->launcher,
	    .config = options->config,
	    .name = domain->name,
	    .devstate_fd = -1,
	    .pool = options->dm_pool,
	};
	struct qemu_domain *qemu;
	int rc;

	rc = kvm_freeze(domain, options->devstate_fd, &snapshot, error);
	if (rc == 0)
		rc = qemu_start(snapshot, &start, &qemu, error);
	if (rc < 0)
		return rc;
	kvm_domain_free(domain->impl);
	domain->impl = qemu;
	domain->backend = &domain_backend_qemu;
	return 0;
}
