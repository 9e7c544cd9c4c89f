/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xlfork/report.h"

#include <stdarg.h>
#include <stdio.h>

void
report(const char *format, ...)
{
	va_list args;

	fputs("xlfork: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}
