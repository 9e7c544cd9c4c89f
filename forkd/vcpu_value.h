/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What there is to say of vCPUs that stopped, as JSON values: their registers,
 * the device access that they stopped at.
 */
#ifndef FORKD_VCPU_VALUE_H
#define FORKD_VCPU_VALUE_H

#include <jansson.h>
#include <libfork/domain.h>
#include <libfork/error.h>

/* The registers of all vCPUs, as a list. */
int vcpu_value_registers(
    struct lf_domain *domain, json_t **ret_registers, struct lf_error *error);

/* What it stopped at, where that was a device access; NULL otherwise. */
json_t *vcpu_value_access(const struct lf_exit *exit);

#endif
