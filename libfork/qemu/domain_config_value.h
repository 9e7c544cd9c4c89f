/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A configuration as a JSON value, for those who have one or compare them:
 * what lf_domain_config_to_json() and lf_domain_config_from_json() print and
 * parse.
 */
#ifndef QEMU_DOMAIN_CONFIG_VALUE_H
#define QEMU_DOMAIN_CONFIG_VALUE_H

#include <jansson.h>

#include <libfork/domain_config.h>

/* The value is the caller's. */
int domain_config_to_value(const struct lf_domain_config *config,
    json_t **ret_value, struct lf_error *error);

/* Whatever the value is, it is checked. */
int domain_config_from_value(const json_t *value,
    struct lf_domain_config **ret_config, struct lf_error *error);

#endif
