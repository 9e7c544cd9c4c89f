/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counts out of /proc/self.
 */
#include "lib/count.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/fault.h"

unsigned long
test_count(unsigned long check, unsigned long soak)
{
	const char *divisor = getenv("LF_COUNT_DIVISOR");
	unsigned long count = getenv("LF_SOAK") != NULL ? soak : check;

	if (divisor != NULL && strtoul(divisor, NULL, 10) > 1)
		count = count / strtoul(divisor, NULL, 10) + 1;
	return count;
}

unsigned
count_descriptors(void)
{
	return (unsigned)fault_open_descriptors();
}

unsigned
count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	unsigned lines = 0;
	int c;

	if (file == NULL)
		return 0;
	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

unsigned long
count_resident_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long resident = 0;
	char line[256];

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "RssAnon: %lu", &resident) == 1)
			break;
	fclose(file);
	return resident;
}
