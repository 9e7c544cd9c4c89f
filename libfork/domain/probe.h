/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probes as a domain sees them, whatever its backend: which part of a probe
 * layer is shown to it. Only a stopped domain is asked.
 */
#ifndef DOMAIN_PROBE_H
#define DOMAIN_PROBE_H

#include <libfork/domain.h>

#include "domain/backend.h"

/* Makes the layer that lies over the image that this fork's memory shows. */
int domain_layer_new(
    struct lf_domain *domain, struct layer **ret_layer, struct lf_error *error);

/*
 * Shows the layer, with what was added to it since; the domain holds a
 * reference. -EBUSY: the domain has written a page that it is to show, or has
 * another layer.
 */
int domain_set_layer(
    struct lf_domain *domain, struct layer *layer, struct lf_error *error);

/* Where guest-physical memory lies in the image. -EFAULT: nowhere. */
int domain_find_place(struct lf_domain *domain, uint64_t gpa,
    uint32_t *ret_file, uint64_t *ret_offset, struct lf_error *error);

/* Arms or lifts a patch of the layer in this domain's own memory. */
int domain_patch(struct lf_domain *domain, uint32_t patch,
    enum domain_patch how, struct lf_error *error);

/* The probe instruction of this host. */
size_t domain_probe_insn(const uint8_t **ret_bytes);

#endif
