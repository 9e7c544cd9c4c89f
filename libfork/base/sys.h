/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one table of system calls and allocations. All code of xlfork calls
 * sys.open(), sys.malloc() and so on, never the C library's directly, so that
 * a test can make the n-th call of an operation fail and see that nothing is
 * lost or leaked (tests/lib/fault.h). Outside of tests the table never
 * changes.
 */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <sys/types.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct perf_event_attr;

#define SYS_CALL(result, name, params, args, failure, error) \
	result(*name) params;
struct sys_table {
#include "base/sys_calls.def"
};
#undef SYS_CALL

extern struct sys_table sys;

#endif
