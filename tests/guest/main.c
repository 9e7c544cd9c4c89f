/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Table of the guest's programs and what they have in common.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define PAGE 4096

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} programs[] = {
    {"agent", agent_main},
    {"clock", clock_main},
    {"counter", counter_main},
    {"disk", disk_main},
    {"echod", echod_main},
    {"hold", hold_main},
    {"mem", mem_main},
    {"powerd", powerd_main},
    {"remap", remap_main},
    {"screen", screen_main},
    {"show", show_main},
    {"tick", tick_main},
};

uint64_t
hash_bytes(const void *buffer, size_t len)
{
	const unsigned char *bytes = buffer;
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash;
}

uint64_t
parse_number(const char *name, const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0' || *text == '-')
		errx(2, "%s: '%s' is not a number", name, text);
	return value;
}

uint64_t
period_ns(int argc, char **argv, double default_seconds)
{
	const char *text = argc > 1 ? argv[1] : getenv("XF_PERIOD");
	double seconds = default_seconds;
	char *end;

	if (text != NULL) {
		seconds = strtod(text, &end);
		if (end == text || *end != '\0' || !(seconds > 0))
			errx(2, "period: '%s' is not a time in seconds", text);
	}
	return (uint64_t)(seconds * 1e9);
}

void
sleep_ns(uint64_t ns)
{
	struct timespec rest = {
	    (time_t)(ns / 1000000000), (long)(ns % 1000000000)};

	while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
		;
}

uint64_t
gpa_of(const void *address)
{
	uint64_t entry = 0;
	uintptr_t va = (uintptr_t)address;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, 8, (off_t)(va / PAGE * 8)) != 8)
		entry = 0;
	close(fd);
	if (!(entry >> 63))
		return 0;
	return (entry & ((1ull << 55) - 1)) * PAGE + va % PAGE;
}

struct progress *
progress_new(const char *name, unsigned cpu)
{
	struct progress *page;
	char path[64];
	int fd;

	mkdir("/run/progress", 0755);
	snprintf(path, sizeof(path), "/run/progress/%s.%u", name, cpu);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, PAGE) < 0)
		err(1, "%s", path);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED || mlock(page, PAGE) < 0)
		err(1, "%s", path);
	close(fd);
	memcpy(page->magic, "XFPROGR", 8);
	page->cpu = cpu;
	page->pid = (uint64_t)getpid();
	printf("%s cpu=%u gpa=%#" PRIx64 "\n", name, cpu, gpa_of(page));
	fflush(stdout);
	return page;
}

void
pin_to_cpu(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		err(1, "CPU %u", cpu);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash != NULL ? slash + 1 : argv[0];

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		if (strcmp(programs[i].name, name) == 0)
			return programs[i].main(argc, argv);
	}
	errx(2, "no program called '%s'", name);
}
