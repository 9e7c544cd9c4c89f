/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What benchmarks share: time, medians, and one JSON line per case on standard
 * output. A benchmark never judges a time by itself: it measures beside it, in
 * the same run and in turns, what the machine takes for the work that cannot
 * be avoided (the floor), and reports both.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Samples of a value and its floor. */
#define BENCH_SAMPLES_MAX 1024

struct bench {
	const char *name;  /* "fork" */
	const char *label; /* "cold 64M" */
	const char *unit;  /* "us" */
	double value[BENCH_SAMPLES_MAX];
	double floor[BENCH_SAMPLES_MAX];
	size_t count; /* of both */
};

/* Microseconds on a clock that only goes forward. */
double bench_now_us(void);

void bench_add(struct bench *bench, double value, double floor);
double bench_median(const double *samples, size_t count);

/*
 * Prints {"bench","case","unit","value","floor","ratio","target","met"}.
 * `target` bounds the ratio: from above, or from below when `at_least`.
 * Returns the median of the values.
 */
double bench_report(const struct bench *bench, double target, bool at_least);

/* The same for numbers that are not ratios to a floor: value <= limit. */
void bench_report_limit(const char *name, const char *label, const char *unit,
    double value, double floor, double limit);

/* Ends the program with a message unless rc >= 0. */
void bench_must(int rc, const char *what);

/* Where the build is; ends the program when it is not run by make bench. */
const char *bench_top(void);

/*
 * A directory of this program's own, which goes with it however it ends by
 * itself.
 */
const char *bench_dir(void);

/* Builds a guest (tests/guest/make-guest); ends with 77 when there is none. */
void bench_guest(const char *which);

/* True where some KVM can be used; says why not otherwise. */
bool bench_has_kvm(const char *name);

/* True when LF_BENCH_ONLY is not set or begins the case's "name label". */
bool bench_wanted(const char *name, const char *label);

#endif
