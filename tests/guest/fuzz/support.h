/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs without operating system that are fuzzed in tests. guest_main() is
 * entered with the memory that is free.
 */
#ifndef TESTS_GUEST_FUZZ_SUPPORT_H
#define TESTS_GUEST_FUZZ_SUPPORT_H

#include <stdint.h>

#define GUEST_INPUT_MAX 65536

struct xlfork_harness;

extern struct xlfork_harness guest_harness;
extern unsigned char guest_input[GUEST_INPUT_MAX];

void guest_main(uint64_t from, uint64_t to);
void guest_support(uint64_t from, uint64_t to);

#endif
