/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/json_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/sys.h"

char *
json_text(const json_t *value, size_t flags, size_t *ret_len)
{
	size_t len = json_dumpb(value, NULL, 0, flags);
	cleanup_free char *text = len > 0 ? sys.malloc(len + 2) : NULL;

	if (text == NULL || json_dumpb(value, text, len, flags) != len)
		return NULL;
	memset(text + len, '\0', 2);
	*ret_len = len;
	return take_ptr(text);
}
