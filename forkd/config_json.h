/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configurations as JSON values: in messages and in the files of the run
 * directory.
 */
#ifndef FORKD_CONFIG_JSON_H
#define FORKD_CONFIG_JSON_H

#include <jansson.h>
#include <libfork/domain_config.h>
#include <libfork/error.h>

/* The configuration as a value, which is the caller's. */
int config_json_make(const struct lf_domain_config *config, json_t **ret_value,
    struct lf_error *error);

/* The configuration that a value describes; -EINVAL says what is wrong. */
int config_json_read(const json_t *value, struct lf_domain_config **ret_config,
    struct lf_error *error);

#endif
