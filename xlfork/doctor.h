/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * doctor: what this host has of what xlfork needs, one line for each thing.
 */
#ifndef XLFORK_DOCTOR_H
#define XLFORK_DOCTOR_H

#include <stdbool.h>
#include <stdio.h>

#include <libfork/error.h>

enum grade {
	GRADE_GOOD,
	GRADE_LIMITED, /* works, but: what was found says what is lost */
	GRADE_MISSING,
};

/* What a check found. */
struct finding {
	enum grade grade;
	bool vital;     /* nothing works where this is missing */
	char text[512]; /* what was found; if not good, what to do */
};

/* Receives each finding as it is made. */
struct doctor;
void doctor_add(
    struct doctor *doctor, const char *what, const struct finding *finding);

/* The checks, by family; each adds one finding or several. */
void check_kvm(struct doctor *doctor);
void check_programs(struct doctor *doctor);
void check_kernel(struct doctor *doctor);
void check_limits(struct doctor *doctor);

/*
 * Runs all checks and prints the table. -ENOENT when something vital is
 * missing, naming it.
 */
int doctor_run(FILE *stream, bool json, struct lf_error *error);

/* Fills a finding; the text is cut where it does not fit. */
void finding_set(struct finding *finding, enum grade grade, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

#endif
