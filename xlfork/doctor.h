/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * doctor: what this host has of what xlfork needs, one line for each thing.
 */
#ifndef XLFORK_DOCTOR_H
#define XLFORK_DOCTOR_H

#include "xlfork/findings.h"

/* The checks, by family; each adds one finding or several. */
void check_kvm(struct findings *findings);
void check_programs(struct findings *findings);
void check_kernel(struct findings *findings);
void check_limits(struct findings *findings);

/*
 * Makes all checks and prints what they found. -ENOENT when something vital is
 * missing, naming it.
 */
int doctor_run(FILE *stream, bool json, struct lf_error *error);

#endif
