/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counting: how long loops are, and what this process holds.
 */
#ifndef TESTS_LIB_COUNT_H
#define TESTS_LIB_COUNT_H

/*
 * `soak` when LF_SOAK is set in the environment, else `check`; divided by
 * LF_COUNT_DIVISOR, if that is set: in the lab a second is long.
 */
unsigned long test_count(unsigned long check, unsigned long soak);

/*
 * Open descriptors, lines of /proc/self/maps, resident memory: its own, not
 * that of files, whose pages come and go with the machine's memory.
 */
unsigned count_descriptors(void);
unsigned count_mappings(void);
unsigned long count_resident_kib(void);

#endif
