/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_GUEST_FUZZ_IMAGE_H
#define TESTS_GUEST_FUZZ_IMAGE_H

/* Decodes an image; something of it, or 0 when it is none. */
unsigned image_parse(const unsigned char *bytes, unsigned len);

#endif
