/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernel symbols out of guest memory: the input is all of it.
 */
#include <errno.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "vmi/kallsyms.h"

struct input {
	const uint8_t *data;
	size_t len;
};

static int
read_input(void *opaque, uint64_t gpa, void *buf, size_t len)
{
	const struct input *input = opaque;

	if (gpa > input->len || len > input->len - gpa)
		return -EFAULT;
	memcpy(buf, input->data + gpa, len);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input input = {data, len};
	const struct lf_guest_range range = {0, len};
	const struct lf_guest_memory memory = {.opaque = &input,
	    .read = read_input,
	    .ranges = &range,
	    .range_count = 1};
	struct kallsyms tables;
	struct lf_error error;
	struct kallsyms_search search;

	kallsyms_search_init(&search);
	while (kallsyms_find(&memory, &search, &tables, &error) == 0)
		lf_symbols_free(tables.symbols);
	return 0;
}
