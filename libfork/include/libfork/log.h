/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libfork has to tell beside errors. It prints nothing by itself: without
 * a log function every message is dropped.
 */
#ifndef LIBFORK_LOG_H
#define LIBFORK_LOG_H

#include <libfork/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lf_log_level {
	LF_LOG_DEBUG,   /* for who looks for a fault in xlfork itself */
	LF_LOG_INFO,    /* a decision that the user may want to know */
	LF_LOG_WARNING, /* goes on, but not as the user may expect */
};

/*
 * Called with one line, without newline. May be called from any thread that
 * calls libfork, and from libfork's own; it must not call libfork.
 */
typedef void lf_log_fn(
    void *opaque, enum lf_log_level level, const char *message);

/*
 * Sets the process's log function (NULL: none) and the lowest level it gets.
 * Call it before the other functions, from one thread.
 */
LF_API void lf_log_set(lf_log_fn *fn, void *opaque, enum lf_log_level lowest);

#ifdef __cplusplus
}
#endif

#endif
