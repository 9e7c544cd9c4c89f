/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parser that is a micro-guest (guest/micro/json.c), for suites of which
 * each test needs it: TestSuite(name, .init = open_image, .fini = close_image).
 */
#ifndef TESTS_LIB_PARSER_IMAGE_H
#define TESTS_LIB_PARSER_IMAGE_H

#include <criterion/criterion.h>
#include <stddef.h>

#include <libfork/libfork.h>

#include "guest/micro/json.h"
#include "guest/micro/layout.h"
#include "lib/micro.h"
#include "lib/micro_image.h"

/* Where a member of what the guest shares with the outside is. */
#define SHARED(member) (MICRO_SHARED + offsetof(struct json_shared, member))

static struct lf_error error;
static struct micro_image image;

#define OK(call)                                                         \
	({                                                               \
		int ok_rc = (call);                                      \
		cr_assert_geq(ok_rc, 0, "%s: %s", #call, error.message); \
		ok_rc;                                                   \
	})

static void
open_image(void)
{
	const char *why;

	if (!micro_usable(&why))
		cr_skip_test("%s", why);
	micro_image_open(&image, "json");
}

static void
close_image(void)
{
	if (image.snapshot != NULL)
		micro_image_close(&image);
}

#endif
