/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probes for who has an address space at hand, and probes that only single
 * forks arm.
 */
#ifndef VMI_PROBES_H
#define VMI_PROBES_H

#include <libfork/probe.h>

struct vmi_space;

/*
 * As lf_probes_add(), through a space. One that is not `shared` can only be
 * armed in one domain (lf_probes_arm_here()); it may overlap others, and
 * domains see it without lf_probes_show().
 */
int probes_add(struct lf_probes *probes, const struct vmi_space *space,
    uint64_t address, bool shared, struct lf_error *error);

#endif
