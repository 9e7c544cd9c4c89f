/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xlfork/report.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"

void
report(const char *format, ...)
{
	struct lf_error line;
	va_list args;

	/* What an error's message may hold, a terminal may be shown. */
	va_start(args, format);
	error_vfill(&line, 0, format, args);
	va_end(args);
	fprintf(stderr, "xlfork: %s\n", line.message);
}
