/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running inputs and saying what became of them.
 */
#include "xlfork/fuzz_modes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libfork/symbols.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "xlfork/command.h"

#define FILE_MAX (256UL << 20)

static const char *const result_names[] = {
    [LF_FUZZ_OK] = "ok",
    [LF_FUZZ_CRASH] = "crash",
    [LF_FUZZ_HANG] = "hang",
};

/* --- files --- */

static int
read_all(int fd, struct fuzz_file *file, struct lf_error *error)
{
	size_t at = 0;

	while (at < file->len) {
		ssize_t n = sys.read(fd, file->bytes + at, file->len - at);

		if (n < 0)
			return error_sys(error, errno, "cannot read");
		if (n == 0)
			break;
		at += (size_t)n;
	}
	file->len = at;
	return 0;
}

int
fuzz_file_read(const char *path, struct fuzz_file *file, struct lf_error *error)
{
	cleanup_close int fd = sys.open(path, O_RDONLY | O_CLOEXEC, 0);
	struct stat st;
	int rc;

	if (fd < 0 || sys.fstat(fd, &st) < 0)
		return error_sys(error, errno, "cannot open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return error_set(error, EINVAL, "'%s' is no file", path);
	if ((uint64_t)st.st_size > FILE_MAX)
		return error_set(
		    error, EFBIG, "'%s' is larger than any input can be", path);
	file->len = (size_t)st.st_size;
	file->bytes = sys.malloc(file->len + 1);
	if (file->bytes == NULL)
		return error_nomem(error);
	rc = read_all(fd, file, error);
	if (rc < 0) {
		fuzz_file_done(file);
		return error_prefix(error, rc, "'%s'", path);
	}
	return 0;
}

void
fuzz_file_done(struct fuzz_file *file)
{
	free(take_ptr(file->bytes));
}

/* --- one input --- */

static size_t
count_edges(const struct lf_fuzz *fuzz)
{
	size_t bytes, i, count = 0;
	const uint8_t *map = lf_fuzz_map(fuzz, &bytes);

	for (i = 0; i < bytes; i++)
		count += map[i] != 0;
	return count;
}

static void
print_outcome(const struct lf_fuzz *fuzz, const struct fuzz_target *target,
    const struct lf_fuzz_outcome *outcome, double us)
{
	char place[256];
	size_t map_bytes;

	printf("result   %s\n", result_names[outcome->result]);
	printf("reason   %s\n", outcome->what);
	if (outcome->address != 0)
		printf("where    %s\n",
		    lf_symbols_format(fuzz_target_symbols(target),
			outcome->address, place, sizeof(place)));
	printf("exits    %" PRIu64 "\n", outcome->exits);
	if (lf_fuzz_map(fuzz, &map_bytes) != NULL)
		printf("covered  %zu of %zu\n", count_edges(fuzz), map_bytes);
	printf("time     %.0f us\n", us);
}

int
fuzz_input(struct lf_fuzz *fuzz, const struct fuzz_target *target,
    const char *path, struct lf_error *error)
{
	struct lf_fuzz_outcome outcome;
	struct fuzz_file file = {.bytes = NULL};
	uint64_t begin;
	int rc = fuzz_file_read(path, &file, error);

	if (rc < 0)
		return rc;
	begin = clock_ns();
	rc = lf_fuzz_run(fuzz, file.bytes, file.len, &outcome, error);
	if (rc == 0)
		print_outcome(
		    fuzz, target, &outcome, (double)(clock_ns() - begin) / 1e3);
	fuzz_file_done(&file);
	if (rc < 0)
		return error_prefix(error, rc, "'%s'", path);
	return outcome.result == LF_FUZZ_OK ? 0 : -COMMAND_EREPORTED;
}

/* --- a directory of inputs --- */

struct replay {
	struct lf_fuzz *fuzz;
	const struct fuzz_target *target;
	const char *dir;
	uint8_t *seen; /* what all inputs together covered */
	size_t seen_bytes;
	unsigned count[3]; /* by result */
};

static int
wanted(const struct dirent *entry)
{
	/* README.txt is AFL++'s, in its directory of crashes. */
	return entry->d_name[0] != '.' &&
	       strcmp(entry->d_name, "README.txt") != 0;
}

static void
add_coverage(struct replay *replay)
{
	const uint8_t *map = lf_fuzz_map(replay->fuzz, &replay->seen_bytes);
	size_t i;

	for (i = 0; replay->seen != NULL && i < replay->seen_bytes; i++)
		replay->seen[i] |= map[i] != 0;
}

static int
replay_one(struct replay *replay, const char *name, struct lf_error *error)
{
	struct fuzz_file file = {.bytes = NULL};
	struct lf_fuzz_outcome outcome;
	char path[4096], place[256];
	struct stat st;
	int rc;

	snprintf(path, sizeof(path), "%s/%s", replay->dir, name);
	if (sys.stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	rc = fuzz_file_read(path, &file, error);
	if (rc < 0)
		return rc;
	rc = lf_fuzz_run(replay->fuzz, file.bytes, file.len, &outcome, error);
	fuzz_file_done(&file);
	if (rc < 0)
		return error_prefix(error, rc, "'%s'", path);
	add_coverage(replay);
	replay->count[outcome.result]++;
	printf(
	    "%-5s  %s  %s", result_names[outcome.result], name, outcome.what);
	if (outcome.address != 0)
		printf("  (%s)",
		    lf_symbols_format(fuzz_target_symbols(replay->target),
			outcome.address, place, sizeof(place)));
	putchar('\n');
	return 0;
}

static void
print_sum(const struct replay *replay)
{
	size_t i, covered = 0;

	for (i = 0; replay->seen != NULL && i < replay->seen_bytes; i++)
		covered += replay->seen[i];
	printf("%u ok, %u crashes, %u hangs", replay->count[LF_FUZZ_OK],
	    replay->count[LF_FUZZ_CRASH], replay->count[LF_FUZZ_HANG]);
	if (replay->seen != NULL)
		printf(", %zu of %zu covered", covered, replay->seen_bytes);
	putchar('\n');
}

int
fuzz_replay(struct lf_fuzz *fuzz, const struct fuzz_target *target,
    const char *dir, struct lf_error *error)
{
	struct replay replay = {.fuzz = fuzz, .target = target, .dir = dir};
	struct dirent **entries;
	int i, n, rc = 0;

	n = scandir(dir, &entries, wanted, alphasort);
	if (n < 0)
		return error_sys(error, errno, "cannot read '%s'", dir);
	if (n == 0)
		rc = error_set(error, ENOENT, "there is no input in '%s'", dir);
	if (lf_fuzz_map(fuzz, &replay.seen_bytes) != NULL)
		replay.seen = sys.calloc(1, replay.seen_bytes);
	for (i = 0; i < n; i++) {
		if (rc == 0)
			rc = replay_one(&replay, entries[i]->d_name, error);
		free(entries[i]);
	}
	free(entries);
	if (rc == 0)
		print_sum(&replay);
	free(replay.seen);
	if (rc < 0)
		return rc;
	return replay.count[LF_FUZZ_CRASH] + replay.count[LF_FUZZ_HANG] == 0
		   ? 0
		   : -COMMAND_EREPORTED;
}
