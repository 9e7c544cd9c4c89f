/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel in a domain of this process: its memory is read through the
 * domain, and through another fork of the same snapshot when that is what is
 * looked at. Where there is memory says the snapshot that it was forked from,
 * or that it is frozen as.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/sys.h"
#include "domain/backend.h"
#include "snapshot/snapshot.h"
#include "vmi/kernel.h"

static int
read_domain(void *opaque, uint64_t gpa, void *buf, size_t len)
{
	return lf_memory_read(opaque, gpa, buf, len, NULL);
}

int
lf_kernel_find_in(struct lf_domain *domain, struct lf_kernel **ret_kernel,
    struct lf_error *error)
{
	struct lf_snapshot *snapshot =
	    domain->frozen != NULL ? domain->frozen : domain->origin;
	cleanup_free struct lf_guest_range *ranges = NULL;
	struct lf_guest_memory memory = {.opaque = domain, .read = read_domain};
	size_t i;
	int rc;

	if (snapshot == NULL)
		return error_set(error, EINVAL,
		    "a kernel is looked for in forks and in frozen domains, "
		    "and this one is neither");
	ranges = sys.calloc(snapshot->map.count, sizeof(*ranges));
	if (ranges == NULL)
		return error_nomem(error);
	for (i = 0; i < snapshot->map.count; i++) {
		const struct memory_range *range = &snapshot->map.ranges[i];

		if ((range->flags & MEMORY_READONLY) == 0)
			ranges[memory.range_count++] =
			    (struct lf_guest_range){range->gpa, range->length};
	}
	memory.ranges = ranges;
	rc = lf_kernel_find(&memory, ret_kernel, error);
	if (rc < 0)
		return rc;
	(*ret_kernel)->own_ranges = take_ptr(ranges);
	return 0;
}

void
kernel_look_at(struct lf_kernel *kernel, struct lf_domain *domain)
{
	if (kernel->own_ranges != NULL)
		kernel->memory.opaque = domain;
}
