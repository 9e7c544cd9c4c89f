/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mem write GPA LEN SEED   put the pattern at a guest-physical address
 * mem check GPA LEN SEED   compare with the pattern
 * mem hash GPA LEN         print the hash
 * mem dump GPA LEN         print the bytes
 * mem vga                  print address and size of the video memory
 *
 * Through /dev/mem, so the address must not be memory that Linux manages:
 * reserve some with memmap=SIZE$ADDRESS. Needs iomem=relaxed for video
 * memory. Addresses and lengths are multiples of 8.
 *
 * hold COUNT SEED: keeps COUNT pages of the pattern in ordinary memory, prints
 * the guest-physical address of each, then "hold ok" (or "hold bad GPA") for
 * every SIGUSR1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define PAGE 4096

static int
vga_print(void)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *entry;
	char path[320];

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		unsigned long long start, end;
		unsigned class = 0;
		FILE *file;

		snprintf(path, sizeof(path),
		    "/sys/bus/pci/devices/%.200s/class", entry->d_name);
		if ((file = fopen(path, "r")) == NULL)
			continue;
		if (fscanf(file, "%x", &class) != 1)
			class = 0;
		fclose(file);
		if (class != 0x030000)
			continue;
		snprintf(path, sizeof(path),
		    "/sys/bus/pci/devices/%.200s/resource", entry->d_name);
		if ((file = fopen(path, "r")) == NULL)
			continue;
		if (fscanf(file, "%llx %llx", &start, &end) == 2) {
			printf("%#llx %#llx\n", start, end - start + 1);
			return 0;
		}
		fclose(file);
	}
	errx(1, "no VGA device");
}

int
mem_main(int argc, char **argv)
{
	uint64_t gpa, len, skip, words;
	volatile uint64_t *memory;
	uint64_t *copy;
	char *map;
	int fd, write;

	if (argc == 2 && strcmp(argv[1], "vga") == 0)
		return vga_print();
	if (argc < 4)
		errx(2, "mem write|check|hash|dump GPA LEN [SEED]");
	gpa = parse_number("address", argv[2]);
	len = parse_number("length", argv[3]);
	if (gpa % 8 != 0 || len % 8 != 0 || len == 0)
		errx(2, "address and length must be multiples of 8");
	write = strcmp(argv[1], "write") == 0;
	fd = open("/dev/mem", (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		err(1, "/dev/mem");
	skip = gpa % PAGE;
	map = mmap(NULL, len + skip, write ? PROT_READ | PROT_WRITE : PROT_READ,
	    MAP_SHARED, fd, (off_t)(gpa - skip));
	if (map == MAP_FAILED)
		err(1, "/dev/mem at %#" PRIx64, gpa);
	/* Word by word: nothing wider, nothing repeated, on device memory. */
	memory = (volatile uint64_t *)(map + skip);
	words = len / 8;
	copy = calloc(words, 8);
	if (copy == NULL)
		err(1, "%" PRIu64 " bytes", len);
	if (argc == 5)
		pattern_fill(copy, len, parse_number("seed", argv[4]));
	if (argc == 5 && write) {
		for (uint64_t i = 0; i < words; i++)
			memory[i] = copy[i];
		return 0;
	}
	if (argc == 5 && strcmp(argv[1], "check") == 0) {
		for (uint64_t i = 0; i < words; i++) {
			if (memory[i] != copy[i])
				errx(1, "differs at %#" PRIx64, gpa + 8 * i);
		}
		return 0;
	}
	for (uint64_t i = 0; i < words; i++)
		copy[i] = memory[i];
	if (argc == 4 && strcmp(argv[1], "hash") == 0) {
		printf("%016" PRIx64 "\n", hash_bytes(copy, len));
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "dump") == 0) {
		for (uint64_t i = 0; i < len; i++)
			printf("%02x%s", ((unsigned char *)copy)[i],
			    i % 32 == 31 || i == len - 1 ? "\n" : "");
		return 0;
	}
	errx(2, "mem write|check|hash|dump GPA LEN [SEED]");
}

int
hold_main(int argc, char **argv)
{
	uint64_t count, seed;
	sigset_t signals;
	char *pages;
	char *want;
	int number;

	if (argc != 3)
		errx(2, "hold COUNT SEED");
	count = parse_number("count", argv[1]);
	seed = parse_number("seed", argv[2]);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	pages = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	want = malloc(count * PAGE);
	if (pages == MAP_FAILED || want == NULL ||
	    madvise(pages, count * PAGE, MADV_NOHUGEPAGE) < 0)
		err(1, "%" PRIu64 " pages", count);
	pattern_fill(want, count * PAGE, seed);
	memcpy(pages, want, count * PAGE);
	if (mlock(pages, count * PAGE) < 0)
		err(1, "mlock");
	for (uint64_t i = 0; i < count; i++)
		printf("hold gpa=%#" PRIx64 "\n", gpa_of(pages + i * PAGE));
	fflush(stdout);
	while (sigwait(&signals, &number) == 0) {
		uint64_t bad = 0;

		for (uint64_t i = 0; i < count && bad == 0; i++) {
			if (memcmp(pages + i * PAGE, want + i * PAGE, PAGE))
				bad = gpa_of(pages + i * PAGE);
		}
		if (bad != 0)
			printf("hold bad %#" PRIx64 "\n", bad);
		else
			printf("hold ok\n");
		fflush(stdout);
	}
	return 1;
}
