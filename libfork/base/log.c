/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process's log function. Set once at start, read from every thread.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
	lf_log_fn *fn;
	void *opaque;
	enum lf_log_level lowest;
} sink;

void
lf_log_set(lf_log_fn *fn, void *opaque, enum lf_log_level lowest)
{
	sink.fn = fn;
	sink.opaque = opaque;
	sink.lowest = lowest;
}

void
log_line(enum lf_log_level level, const char *format, ...)
{
	char line[LF_ERROR_MESSAGE_MAX];
	va_list args;

	if (sink.fn == NULL || level < sink.lowest)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	sink.fn(sink.opaque, level, line);
}
