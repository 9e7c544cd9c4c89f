/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The programs of the test guest. All are linked into one static binary,
 * called by the name of the program; main.c holds the table.
 *
 * The pattern (pattern.h) and the hash are part of the contract with the tests
 * on the host, which compute the hash on their own.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stddef.h>
#include <stdint.h>

#include "pattern.h"

int agent_main(int argc, char **argv);
int clock_main(int argc, char **argv);
int counter_main(int argc, char **argv);
int disk_main(int argc, char **argv);
int echod_main(int argc, char **argv);
int hold_main(int argc, char **argv);
int mem_main(int argc, char **argv);
int powerd_main(int argc, char **argv);
int remap_main(int argc, char **argv);
int screen_main(int argc, char **argv);
int show_main(int argc, char **argv);
int tick_main(int argc, char **argv);

/* FNV-1a, 64 bits. */
uint64_t hash_bytes(const void *buffer, size_t len);

/* Parse a whole number (decimal, 0x or 0), or exit saying what is wrong. */
uint64_t parse_number(const char *name, const char *text);

/* Sleep until the next multiple of the period after the given start; the
 * period comes from an argument, XF_PERIOD (seconds), or is the default. */
uint64_t period_ns(int argc, char **argv, double default_seconds);
void sleep_ns(uint64_t ns);

/* Guest-physical address of a page of this process that is present; 0 when
 * the kernel does not say. */
uint64_t gpa_of(const void *address);

/*
 * A page by which a program shows its progress: a file in /run/progress for
 * the programs of the guest, a guest-physical address (printed when the
 * program starts) for those who read the guest's memory from outside.
 */
struct progress {
	char magic[8]; /* "XFPROGR\0" */
	uint64_t cpu;
	uint64_t count;  /* only grows */
	uint64_t hash;   /* of the program's own memory */
	uint64_t errors; /* times the memory was not what it must be */
	uint64_t pid;
};

/* Make the page called name, print "name cpu=N gpa=0x…". Exits on failure. */
struct progress *progress_new(const char *name, unsigned cpu);

/* Pin the calling thread to one CPU, or exit. */
void pin_to_cpu(unsigned cpu);

#endif
