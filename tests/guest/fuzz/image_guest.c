/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image parser as a program without operating system.
 */
#include <stddef.h>

#define XLFORK_FREESTANDING
#include "guest/fuzz/image.h"
#include "guest/fuzz/support.h"
#include "xlfork-harness.h"

void
guest_main(uint64_t from, uint64_t to)
{
	guest_support(from, to);
	image_parse(guest_input, (unsigned)xlfork_start(&guest_harness));
	xlfork_stop();
}
