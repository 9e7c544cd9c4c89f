/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a fuzz entry without libFuzzer: over every file of its corpus, over
 * every file cut short, and over a fixed sequence of random changes. What goes
 * wrong is a crash, a sanitizer's report or a hang; the entry's result is not
 * looked at. Speaks TAP. Program fuzz_NAME reads tests/fuzz/corpus/NAME.
 */
#include <dirent.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)

/* Longest file that is tried cut at every length; longer ones at some. */
#define EVERY_CUT_MAX 512

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64: the same sequence every time. */
static uint64_t
random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* On a copy of exactly this size, so that reading past it is noticed. */
static void
run(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (copy == NULL)
		abort();
	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void
run_cut(const uint8_t *data, size_t len)
{
	size_t step = 1 + len / EVERY_CUT_MAX;

	for (size_t cut = 0; cut < len; cut += step)
		run(data, cut);
}

static void
run_changed(const uint8_t *data, size_t len, unsigned rounds)
{
	static const uint8_t values[] = {
	    0, 1, 0x7f, 0x80, 0xff, ' ', '\n', '"'};
	uint8_t *changed = malloc(len);

	if (changed == NULL)
		abort();
	for (unsigned i = 0; len > 0 && i < rounds; i++) {
		unsigned changes = 1 + random_next() % 4;

		memcpy(changed, data, len);
		while (changes-- > 0) {
			size_t at = random_next() % len;
			uint64_t what = random_next();

			if (what % 4 == 0)
				changed[at] ^= 1 << (what >> 8) % 8;
			else if (what % 4 == 1)
				changed[at] =
				    values[(what >> 8) % sizeof(values)];
			else if (what % 4 == 2)
				changed[at] = changed[(what >> 8) % len];
			else
				memmove(changed + at,
				    changed + (what >> 8) % (at + 1), len - at);
		}
		run(changed, len);
	}
	free(changed);
}

static int
run_file(const char *path, unsigned rounds)
{
	static uint8_t data[INPUT_MAX];
	FILE *file = fopen(path, "re");
	size_t len;

	if (file == NULL) {
		printf("Bail out! cannot open %s\n", path);
		return -1;
	}
	len = fread(data, 1, sizeof(data), file);
	fclose(file);
	run(data, len);
	run_cut(data, len);
	run_changed(data, len, rounds);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *srcdir = getenv("top_srcdir");
	unsigned rounds = getenv("LF_SOAK") != NULL ? 20000 : 500;
	const char *name = strstr(argv[0], "fuzz_");
	char dir[PATH_MAX], path[PATH_MAX];
	unsigned files = 0;
	struct dirent **list;
	int count;

	(void)argc; /* the TAP driver's options */
	for (const char *next = name; next != NULL;
	     next = strstr(name, "fuzz_"))
		name = next + strlen("fuzz_");
	if (srcdir == NULL || name == NULL) {
		printf("Bail out! needs top_srcdir in the environment\n");
		return 1;
	}
	printf("1..1\n");
	snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", srcdir, name);
	count = scandir(dir, &list, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		if (list[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%.2048s/%s", dir,
			    list[i]->d_name);
			if (run_file(path, rounds) < 0)
				return 1;
			files++;
		}
		free(list[i]);
	}
	if (count >= 0)
		free(list);
	printf("%sok 1 - %s: %u files of the corpus, cut and changed\n",
	    files > 0 ? "" : "not ", name, files);
	return files == 0;
}
