/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parents that cannot be forked, with the reason: what they use cannot be
 * shared, cannot be copied, or is not in QEMU's stream. A fork that silently
 * lacked something would be worse than none.
 */
#ifndef DOMAIN_QEMU_REFUSE_H
#define DOMAIN_QEMU_REFUSE_H

#include "domain/qemu_domain.h"
#include "qemu/stream.h"

/* Asks a stopped QEMU, before its stream is taken. -ENOTSUP names it. */
int qemu_refuse_devices(struct qemu_domain *domain, struct lf_error *error);

/*
 * Looks at the vCPUs in the stream. -ENOTSUP: one runs a nested guest.
 * -EAGAIN: one is in system management mode, which it will leave.
 */
int qemu_refuse_vcpus(const struct stream *stream, struct lf_error *error);

#endif
