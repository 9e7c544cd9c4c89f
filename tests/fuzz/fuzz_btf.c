/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * BTF: a description is refused, or members are found in it or not.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "vmi/btf.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct lf_kernel_member member;
	struct lf_error error;
	struct btf *btf;
	uint8_t *bytes = malloc(len + 1);
	uint32_t size;

	if (bytes == NULL)
		return 0;
	memcpy(bytes, data, len);
	if (btf_new(bytes, len, &btf, &error) < 0)
		return 0;
	btf_member(btf, "task", "b.next", &member, &error);
	btf_member(btf, "task", "none", &member, &error);
	btf_type_size(btf, "list", &size, &error);
	btf_free(btf);
	return 0;
}
