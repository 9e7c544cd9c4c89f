/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configurations as JSON values.
 */
#include "forkd/config_json.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_text.h"

int
config_json_make(const struct lf_domain_config *config, json_t **ret_value,
    struct lf_error *error)
{
	cleanup_free char *text = NULL;
	int rc;

	rc = lf_domain_config_to_json(config, &text, error);
	if (rc < 0)
		return rc;
	*ret_value = json_loads(text, 0, NULL);
	return *ret_value != NULL ? 0 : error_nomem(error);
}

int
config_json_read(const json_t *value, struct lf_domain_config **ret_config,
    struct lf_error *error)
{
	size_t len;
	cleanup_free char *text = json_text(value, JSON_COMPACT, &len);

	if (text == NULL)
		return error_nomem(error);
	return lf_domain_config_from_json(text, len, ret_config, error);
}
