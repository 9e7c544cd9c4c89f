/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library's version, as configure.ac has it.
 */
#include <config.h>

#include <libfork/libfork.h>

const char *
lf_version(void)
{
	return PACKAGE_VERSION;
}
