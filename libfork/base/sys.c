/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table's ordinary content: one plain function around each call, which
 * also gives variadic calls (open, fcntl, ioctl) a fixed type.
 */
#include "base/sys.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* The C library has no function for it. */
static int
perf_event_open(
    struct perf_event_attr *attr, pid_t pid, int cpu, int group, unsigned flags)
{
	return (int)syscall(SYS_perf_event_open, attr, pid, cpu, group, flags);
}

#define SYS_CALL(result, name, params, args, failure, error) \
	static result plain_##name params                    \
	{                                                    \
		return name args;                            \
	}
#include "base/sys_calls.def"
#undef SYS_CALL

#define SYS_CALL(result, name, params, args, failure, error) \
	.name = plain_##name,
struct sys_table sys = {
#include "base/sys_calls.def"
};
#undef SYS_CALL
