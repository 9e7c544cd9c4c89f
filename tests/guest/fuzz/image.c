/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A real parser: stb_image decodes PNG, JPEG, GIF, BMP and more. The same
 * function is compiled for a program without operating system, and for
 * AFL++'s own fork server (image_afl.c) to compare with.
 */
#include "guest/fuzz/image.h"

#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_THREAD_LOCALS
#define STBI_MAX_DIMENSIONS 256
#define STBI_ASSERT(x)      ((void)0)
#include <stb/stb_image.h>

unsigned
image_parse(const unsigned char *bytes, unsigned len)
{
	int width, height, channels;
	unsigned sum = 0;
	unsigned char *pixels = stbi_load_from_memory(
	    bytes, (int)len, &width, &height, &channels, 0);

	if (pixels == NULL)
		return 0;
	sum = pixels[0] + (unsigned)width + (unsigned)height;
	stbi_image_free(pixels);
	return sum;
}
