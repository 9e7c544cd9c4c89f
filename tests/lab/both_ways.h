/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The forks of one parent, looked at from all sides: those that get a device
 * model late, those that stay without, many together.
 */
#ifndef TESTS_LAB_BOTH_WAYS_H
#define TESTS_LAB_BOTH_WAYS_H

#include "lab/two_phase.h"

/* Boots a parent of the kind, forks it in every way, and ends it. */
void goes_on_both_ways(const struct kind *kind);

#endif
