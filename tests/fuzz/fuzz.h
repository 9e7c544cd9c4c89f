/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every fuzz entry defines: libFuzzer's interface, for which libFuzzer
 * has no header.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Handles one input; always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
