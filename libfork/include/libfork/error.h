/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors. A function of libfork returns 0 or a count on success and a negative
 * errno on failure; the sentence that says what exactly went wrong goes into
 * the caller's struct lf_error, if one was given.
 */
#ifndef LIBFORK_ERROR_H
#define LIBFORK_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what libfork exports; everything else in it is hidden. */
#define LF_API __attribute__((visibility("default")))

/* Bytes of a message, its terminating NUL included. */
#define LF_ERROR_MESSAGE_MAX 1024

/*
 * One failure. `code` is the negative errno that the function returned, 0 when
 * nothing failed yet. `message` is one line without a newline: what, which
 * one, why, what to do. The caller owns it; it holds no resources.
 */
struct lf_error {
	int code;
	char message[LF_ERROR_MESSAGE_MAX];
};

/* Makes `error` say that nothing failed. NULL is allowed. */
LF_API void lf_error_clear(struct lf_error *error);

#ifdef __cplusplus
}
#endif

#endif
