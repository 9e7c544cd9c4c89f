/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What QEMU prints of a vCPU's registers.
 */
#include <stdlib.h>
#include <string.h>

#include "domain/qemu_regs.h"
#include "fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	struct lf_vcpu_regs regs;
	struct lf_error error = {0};

	if (text == NULL)
		abort();
	memcpy(text, data, len);
	text[len] = '\0';
	if (qemu_regs_parse(text, &regs, &error) < 0 &&
	    error.message[0] == '\0')
		abort();
	free(text);
	return 0;
}
