/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs that make progress for ever and show it in a page (guest.h):
 *
 * counter [CPU [GPA]...]
 *                 pinned to one CPU (one process for each when none is
 *                 named): counts system calls; keeps 16 pages of its own,
 *                 changes one word each round and checks that the hash
 *                 carried along equals the hash of what is there; writes
 *                 the count to each guest-physical address
 * remap           two threads on CPUs 0 and 1 of one process map, protect
 *                 and unmap memory, which makes each flush the other's TLB by
 *                 inter-processor interrupts
 * show            print the pages of all that run
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

enum {
	PAGE = 4096,
	COUNTER_WORDS = 16 * PAGE / 8,
	CALLS_PER_ROUND = 64,
	PLACES = 8,
};

static uint64_t
mix(uint64_t word, uint64_t index)
{
	uint64_t z = (word + index) * 0xbf58476d1ce4e5b9u;

	return z ^ (z >> 29);
}

static volatile uint64_t *
map_place(const char *gpa)
{
	uint64_t at = parse_number("address", gpa);
	int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	void *page =
	    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);

	if (page == MAP_FAILED)
		err(1, "/dev/mem at %s", gpa);
	close(fd);
	return page;
}

static void
counter_run(unsigned cpu, char **gpas)
{
	static uint64_t memory[COUNTER_WORDS];
	volatile uint64_t *places[PLACES];
	struct progress *progress;
	uint64_t sum = 0;
	int place_count = 0;

	for (; *gpas != NULL && place_count < PLACES; gpas++)
		places[place_count++] = map_place(*gpas);
	pin_to_cpu(cpu);
	progress = progress_new("counter", cpu);
	for (uint64_t i = 0; i < COUNTER_WORDS; i++) {
		memory[i] = mix(cpu, i);
		sum += mix(memory[i], i);
	}
	for (uint64_t round = 0;; round++) {
		uint64_t i = mix(round, cpu) % COUNTER_WORDS, check = 0;

		for (int call = 0; call < CALLS_PER_ROUND; call++)
			progress->count += syscall(SYS_getpid) > 0;
		sum -= mix(memory[i], i);
		memory[i] += round | 1;
		sum += mix(memory[i], i);
		progress->hash = sum;
		for (int p = 0; p < place_count; p++)
			*places[p] = progress->count;
		if (round % 64 != 0)
			continue;
		for (i = 0; i < COUNTER_WORDS; i++)
			check += mix(memory[i], i);
		if (check != sum)
			progress->errors++;
	}
}

int
counter_main(int argc, char **argv)
{
	unsigned cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);

	if (argc > 1)
		counter_run((unsigned)parse_number("CPU", argv[1]), argv + 2);
	for (unsigned cpu = 1; cpu < cpus; cpu++) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (pid == 0)
			counter_run(cpu, argv + 1);
	}
	counter_run(0, argv + 1);
	return 1;
}

static void *
remap_run(void *argument)
{
	struct progress *progress = argument;

	pin_to_cpu((unsigned)progress->cpu);
	for (;;) {
		uint64_t *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			err(1, "mmap");
		for (int i = 0; i < 4; i++)
			memory[i * PAGE / 8] = progress->count + (uint64_t)i;
		if (mprotect(memory, 4 * PAGE, PROT_READ) < 0)
			err(1, "mprotect");
		for (int i = 0; i < 4; i++) {
			if (memory[i * PAGE / 8] !=
			    progress->count + (uint64_t)i)
				progress->errors++;
		}
		progress->hash = memory[0];
		if (munmap(memory, 4 * PAGE) < 0)
			err(1, "munmap");
		progress->count++;
	}
	return NULL;
}

int
remap_main(int argc, char **argv)
{
	pthread_t thread;

	(void)argc;
	(void)argv;
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		errx(1, "remap needs two CPUs");
	if (pthread_create(
		&thread, NULL, remap_run, progress_new("remap", 1)) != 0)
		errx(1, "pthread_create");
	remap_run(progress_new("remap", 0));
	return 1;
}

int
show_main(int argc, char **argv)
{
	struct dirent **names;
	int count;

	(void)argc;
	(void)argv;
	count = scandir("/run/progress", &names, NULL, alphasort);
	if (count < 0)
		errx(1, "nothing to show");
	for (int i = 0; i < count; i++) {
		struct progress progress;
		char path[320];
		int fd;

		if (names[i]->d_name[0] == '.')
			continue;
		snprintf(
		    path, sizeof(path), "/run/progress/%s", names[i]->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 ||
		    read(fd, &progress, sizeof(progress)) != sizeof(progress))
			err(1, "%s", path);
		close(fd);
		printf("%.*s cpu=%" PRIu64 " count=%" PRIu64 " hash=%016" PRIx64
		       " errors=%" PRIu64 "\n",
		    (int)strcspn(names[i]->d_name, "."), names[i]->d_name,
		    progress.cpu, progress.count, progress.hash,
		    progress.errors);
	}
	return 0;
}
