/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the probe guest of a QEMU wrote: records of CPUID leaves and MSRs, which
 * come to their end or to an error.
 */
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "qemu/cpuid_probe.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cpuid_probe probe;
	struct lf_error error;

	if (cpuid_probe_parse(data, len, &probe, &error) == 1 &&
	    (probe.cpuid.count > CPU_CPUID_MAX ||
		probe.msr_count > sizeof(probe.msrs) / sizeof(probe.msrs[0])))
		abort();
	return 0;
}
