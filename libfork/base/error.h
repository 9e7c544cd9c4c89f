/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Filling struct lf_error. The innermost function that knows what went wrong
 * says so exactly; outer ones may prefix what they were doing.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <libfork/error.h>

#include <errno.h>
#include <stdarg.h>

/*
 * Sets the message and has the value -code. `code` is a positive errno.
 * Control characters in the finished message are shown as '?', so that outside
 * data in it can neither break the line nor reach a terminal. A macro, so that
 * the compiler sees that the result of a constant code is not 0.
 */
#define error_set(error, code, ...)                      \
	({                                               \
		int code_ = (code);                      \
		error_fill((error), code_, __VA_ARGS__); \
		-code_;                                  \
	})

/* As error_set, with ": " and the text of errno `code` at the end. */
#define error_sys(error, code, ...)                          \
	({                                                   \
		int code_ = (code);                          \
		error_fill_sys((error), code_, __VA_ARGS__); \
		-code_;                                      \
	})

void error_fill(struct lf_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
void error_vfill(struct lf_error *error, int code, const char *format,
    va_list args) __attribute__((format(printf, 3, 0), cold));
void error_fill_sys(struct lf_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Puts a prefix and ": " before the message; returns the error's code. */
int error_prefix(struct lf_error *error, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/*
 * "out of memory" with -ENOMEM; never fails itself. Inline for the same reason
 * as error_set() is a macro.
 */
static inline int
error_nomem(struct lf_error *error)
{
	return error_set(error, ENOMEM, "out of memory");
}

#endif
