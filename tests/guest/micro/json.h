/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What guest/micro/json.c and its tests share.
 */
#ifndef TESTS_GUEST_MICRO_JSON_H
#define TESTS_GUEST_MICRO_JSON_H

#include <stdint.h>

#define JSON_INPUT_MAX   4096
#define JSON_CRASH_PORT  0x81
#define JSON_ASSERT_PORT 0x82
#define JSON_GUARD       0x6775617264ULL /* "guard" */

/* At MICRO_SHARED. */
struct json_shared {
	uint64_t len;
	uint64_t result;  /* 0: the input is JSON */
	uint64_t own_out; /* write a byte to the probes' port, too */
	uint8_t bytes[JSON_INPUT_MAX];
};

/*
 * Inputs that begin with '!' and one of these letters go to a planted bug:
 * s stack overflow, h heap overflow (more than 16 bytes follow), n null
 * dereference, l endless loop, c crash mark.
 */

#endif
