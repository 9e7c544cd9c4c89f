/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What doctor's checks found: a table that is printed when all have been made.
 */
#ifndef XLFORK_FINDINGS_H
#define XLFORK_FINDINGS_H

#include <stdbool.h>

#include "xlfork/output.h"

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

struct findings {
	struct output *out; /* owned */
	char missing[256];  /* vital things, as a list */
};

int findings_init(
    struct findings *findings, FILE *stream, bool json, struct lf_error *error);
void findings_done(struct findings *findings);

/* Fills a finding; the text is cut where it does not fit. */
void finding_set(struct finding *finding, enum grade grade, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/* A row of the table: `what` was looked at, and what was found. */
void findings_add(
    struct findings *findings, const char *what, const struct finding *finding);

/* Prints the table. -ENOENT when something vital is missing, naming it. */
int findings_print(struct findings *findings, struct lf_error *error);

#endif
