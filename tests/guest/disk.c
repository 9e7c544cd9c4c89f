/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk write DEVICE SECTOR COUNT SEED   write the pattern to raw sectors
 * disk check DEVICE SECTOR COUNT SEED   compare raw sectors with the pattern
 * disk hash DEVICE SECTOR COUNT         print the hash of raw sectors
 *
 * Sectors have 512 bytes. The page cache is left out, so that what is read is
 * what the device says now.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

enum { SECTOR = 512, COUNT_MAX = 2048 };

int
disk_main(int argc, char **argv)
{
	const char *usage = "disk write|check|hash DEVICE SECTOR COUNT [SEED]";
	uint64_t sector, count;
	void *buffer, *want;
	size_t len;
	off_t at;
	int fd, write;

	if (argc < 5)
		errx(2, "%s", usage);
	sector = parse_number("sector", argv[3]);
	count = parse_number("count", argv[4]);
	if (count == 0 || count > COUNT_MAX)
		errx(2, "count must be 1 to %d", COUNT_MAX);
	len = count * SECTOR;
	at = (off_t)(sector * SECTOR);
	write = strcmp(argv[1], "write") == 0;
	fd = open(argv[2], (write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", argv[2]);
	if (posix_memalign(&buffer, 4096, len) != 0 ||
	    (want = malloc(len)) == NULL)
		errx(1, "no memory");
	if (argc == 6)
		pattern_fill(want, len, parse_number("seed", argv[5]));
	if (argc == 6 && write) {
		memcpy(buffer, want, len);
		if (pwrite(fd, buffer, len, at) != (ssize_t)len ||
		    fsync(fd) < 0)
			err(1, "%s: sector %" PRIu64, argv[2], sector);
		return 0;
	}
	if (pread(fd, buffer, len, at) != (ssize_t)len)
		err(1, "%s: sector %" PRIu64, argv[2], sector);
	if (argc == 6 && strcmp(argv[1], "check") == 0) {
		if (memcmp(buffer, want, len) != 0)
			errx(1, "%s: sectors from %" PRIu64 " differ", argv[2],
			    sector);
		return 0;
	}
	if (argc == 5 && strcmp(argv[1], "hash") == 0) {
		printf("%016" PRIx64 "\n", hash_bytes(buffer, len));
		return 0;
	}
	errx(2, "%s", usage);
}
