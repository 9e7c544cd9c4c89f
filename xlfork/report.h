/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What xlfork says to its user beside its output.
 */
#ifndef XLFORK_REPORT_H
#define XLFORK_REPORT_H

/* Prints one line on standard error, "xlfork: " before it. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
