/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domain XML.
 */
#include "config/xml.h"
#include "fuzz/config_entry.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct lf_domain_config *config;
	struct lf_error error;

	if (xml_parse((const char *)data, len, "input", &config, &error) == 0)
		config_check_both(config);
	return 0;
}
