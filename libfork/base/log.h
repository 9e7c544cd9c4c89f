/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log inside libfork: formats a line and hands it to the user's function,
 * if there is one and it wants the level. Not for hot paths.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <libfork/log.h>

void log_line(enum lf_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define log_info(...)    log_line(LF_LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LF_LOG_WARNING, __VA_ARGS__)

#endif
