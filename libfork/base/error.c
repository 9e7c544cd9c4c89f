/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Filling struct lf_error. Everything works in the caller's fixed buffer:
 * reporting a failure cannot fail.
 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void
lf_error_clear(struct lf_error *error)
{
	if (error != NULL) {
		error->code = 0;
		error->message[0] = '\0';
	}
}

/*
 * One printable line, whatever outside data the message quotes. Bytes above
 * 0x7f stay: they are UTF-8 of names and of strerror().
 */
static void
make_printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

void
error_vfill(struct lf_error *error, int code, const char *format, va_list args)
{
	if (error != NULL) {
		error->code = -code;
		vsnprintf(error->message, sizeof(error->message), format, args);
		make_printable(error->message);
	}
}

void
error_fill(struct lf_error *error, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_vfill(error, code, format, args);
	va_end(args);
}

void
error_fill_sys(struct lf_error *error, int code, const char *format, ...)
{
	char reason[128];
	size_t used;
	va_list args;

	if (error == NULL)
		return;
	va_start(args, format);
	error_vfill(error, code, format, args);
	va_end(args);
	used = strlen(error->message);
	snprintf(error->message + used, sizeof(error->message) - used, ": %s",
	    strerror_r(code, reason, sizeof(reason)));
}

int
error_prefix(struct lf_error *error, int rc, const char *format, ...)
{
	char inner[LF_ERROR_MESSAGE_MAX];
	size_t used;
	va_list args;

	if (error == NULL)
		return rc;
	memcpy(inner, error->message, sizeof(inner));
	va_start(args, format);
	error_vfill(error, -rc, format, args);
	va_end(args);
	used = strlen(error->message);
	snprintf(error->message + used, sizeof(error->message) - used, ": %s",
	    inner);
	return rc;
}
