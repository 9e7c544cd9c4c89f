/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs that write lines for ever, each line in one write:
 *
 * tick [SECONDS]    "tick N" on the console
 * clock [SECONDS]   "clock REALTIME MONOTONIC" in seconds on the console
 * screen [SECONDS]  "screen N" on the VGA text console
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

static void
write_line(int fd, const char *line, int len)
{
	if (write(fd, line, (size_t)len) != len)
		warn("write");
}

int
tick_main(int argc, char **argv)
{
	uint64_t period = period_ns(argc, argv, 0.2);
	char line[64];

	for (unsigned long n = 1;; n++) {
		write_line(
		    1, line, snprintf(line, sizeof(line), "tick %lu\n", n));
		sleep_ns(period);
	}
}

int
clock_main(int argc, char **argv)
{
	uint64_t period = period_ns(argc, argv, 1.0);
	struct timespec real, mono;
	char line[96];

	for (;;) {
		clock_gettime(CLOCK_REALTIME, &real);
		clock_gettime(CLOCK_MONOTONIC, &mono);
		write_line(1, line,
		    snprintf(line, sizeof(line),
			"clock %lld.%03ld %lld.%03ld\n", (long long)real.tv_sec,
			real.tv_nsec / 1000000, (long long)mono.tv_sec,
			mono.tv_nsec / 1000000));
		sleep_ns(period);
	}
}

int
screen_main(int argc, char **argv)
{
	uint64_t period = period_ns(argc, argv, 0.5);
	char line[64];
	int fd = open("/dev/tty0", O_WRONLY | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		err(1, "/dev/tty0");
	for (unsigned long n = 1;; n++) {
		write_line(
		    fd, line, snprintf(line, sizeof(line), "screen %lu\n", n));
		sleep_ns(period);
	}
}
