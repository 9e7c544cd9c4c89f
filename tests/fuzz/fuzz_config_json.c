/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A configuration's JSON form: what is accepted comes back the same when it
 * is printed and read again.
 */
#include <stdlib.h>
#include <string.h>

#include <libfork/domain_config.h>

#include "fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct lf_domain_config *config, *again;
	char *text, *text_again;
	struct lf_error error;

	if (lf_domain_config_from_json(
		(const char *)data, len, &config, &error) < 0)
		return 0;
	if (lf_domain_config_to_json(config, &text, &error) < 0 ||
	    lf_domain_config_from_json(text, strlen(text), &again, &error) <
		0 ||
	    lf_domain_config_to_json(again, &text_again, &error) < 0 ||
	    strcmp(text, text_again) != 0)
		abort();
	free(text);
	free(text_again);
	lf_domain_config_free(config);
	lf_domain_config_free(again);
	return 0;
}
