/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time, medians, JSON lines; a place to work in, and guests.
 */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libfork/host.h>

double
bench_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

void
bench_add(struct bench *bench, double value, double floor)
{
	if (bench->count == BENCH_SAMPLES_MAX)
		return;
	bench->value[bench->count] = value;
	bench->floor[bench->count++] = floor;
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double
bench_median(const double *samples, size_t count)
{
	double sorted[BENCH_SAMPLES_MAX];

	if (count == 0)
		return 0;
	memcpy(sorted, samples, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	return count % 2 == 1 ? sorted[count / 2]
			      : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static void
print(const char *name, const char *label, const char *unit, double value,
    double floor, double ratio, const char *kind, double target, bool met)
{
	printf("{\"bench\":\"%s\",\"case\":\"%s\",\"unit\":\"%s\","
	       "\"value\":%.2f,\"floor\":%.2f,\"ratio\":%.3f,"
	       "\"%s\":%.2f,\"met\":%s}\n",
	    name, label, unit, value, floor, ratio, kind, target,
	    met ? "true" : "false");
	fflush(stdout);
}

double
bench_report(const struct bench *bench, double target, bool at_least)
{
	double value = bench_median(bench->value, bench->count);
	double floor = bench_median(bench->floor, bench->count);
	double ratios[BENCH_SAMPLES_MAX], ratio;
	size_t i;

	/*
	 * The two of a pair were measured one after the other: what else the
	 * machine did hit both, and the next pair differently.
	 */
	for (i = 0; i < bench->count; i++)
		ratios[i] = bench->value[i] / bench->floor[i];
	ratio = bench_median(ratios, bench->count);
	print(bench->name, bench->label, bench->unit, value, floor, ratio,
	    at_least ? "at_least" : "target", target,
	    at_least ? ratio >= target : ratio <= target);
	return value;
}

void
bench_report_limit(const char *name, const char *label, const char *unit,
    double value, double floor, double limit)
{
	print(name, label, unit, value, floor, floor > 0 ? value / floor : 0,
	    "limit", limit, value <= limit);
}

void
bench_must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "benchmark: %s\n", what);
	exit(1);
}

static const char *
from_environment(const char *name)
{
	const char *value = getenv(name);

	if (value == NULL) {
		fprintf(stderr, "benchmark: run by make bench\n");
		exit(1);
	}
	return value;
}

const char *
bench_top(void)
{
	return from_environment("top_builddir");
}

static char dir[] = "/tmp/lf-bench-XXXXXX";

static void
remove_dir(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) != 0)
		fprintf(stderr, "benchmark: %s is left\n", dir);
}

const char *
bench_dir(void)
{
	static bool made;

	if (!made)
		bench_must(
		    mkdtemp(dir) == NULL || atexit(remove_dir) != 0 ? -1 : 0,
		    "cannot make a directory in /tmp");
	made = true;
	return dir;
}

void
bench_guest(const char *which)
{
	char command[8192];

	snprintf(command, sizeof(command),
	    "sh %s/tests/guest/make-guest %s/tests/guest %s >&2",
	    from_environment("top_srcdir"), bench_top(), which);
	if (system(command) != 0)
		exit(77);
}

bool
bench_has_kvm(const char *name)
{
	struct lf_error error;
	struct lf_host host;

	bench_must(lf_host_probe(&host, &error), error.message);
	if (host.kvm == LF_HOST_KVM_SOFTWARE ||
	    host.kvm == LF_HOST_KVM_HARDWARE)
		return true;
	fprintf(stderr, "benchmark %s: skipped: %s\n", name,
	    host.fact[LF_HOST_KVM].text);
	return false;
}

bool
bench_wanted(const char *name, const char *label)
{
	const char *only = getenv("LF_BENCH_ONLY");
	char full[200];

	if (only == NULL)
		return true;
	snprintf(full, sizeof(full), "%s %s", name, label);
	return strncmp(full, only, strlen(only)) == 0;
}
