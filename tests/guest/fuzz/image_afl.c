/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image parser under AFL++'s own fork server: a new process for each
 * input, or PERSISTENT, a loop in one.
 */
#include <stdio.h>
#include <unistd.h>

#include "guest/fuzz/image.h"

#define INPUT_MAX 65536

#ifdef PERSISTENT
__AFL_FUZZ_INIT();

int
main(void)
{
	unsigned char *input;

	__AFL_INIT();
	input = __AFL_FUZZ_TESTCASE_BUF;
	while (__AFL_LOOP(10000)) {
		unsigned len = (unsigned)__AFL_FUZZ_TESTCASE_LEN;

		image_parse(input, len < INPUT_MAX ? len : INPUT_MAX);
	}
	return 0;
}
#else
int
main(void)
{
	static unsigned char input[INPUT_MAX];
	ssize_t len = read(0, input, sizeof(input));

	if (len > 0)
		image_parse(input, (unsigned)len);
	return 0;
}
#endif
