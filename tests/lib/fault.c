/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fault loops over base/'s table of system calls. The failing functions are
 * generated from the same list as the table.
 */
#include "lib/fault.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/sys.h"

static struct sys_table plain;
static struct fault *armed;
static atomic_ulong calls;

/* Counts a call; true when it is the one that has to fail. */
static bool
fails(const char *name)
{
	if (atomic_fetch_add(&calls, 1) + 1 != armed->round)
		return false;
	armed->hit = true;
	armed->name = name;
	return true;
}

#define SYS_CALL(result, name, params, args, failure, error) \
	static result fault_##name params                    \
	{                                                    \
		if (fails(#name)) {                          \
			errno = error;                       \
			return failure;                      \
		}                                            \
		return plain.name args;                      \
	}
#include "base/sys_calls.def"
#undef SYS_CALL

#define SYS_CALL(result, name, params, args, failure, error) \
	.name = fault_##name,
static const struct sys_table failing = {
#include "base/sys_calls.def"
};
#undef SYS_CALL

int
fault_open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

bool
fault_next(struct fault *fault)
{
	if (fault->round > 0 && !fault->hit)
		return false;
	if (fault->round == 0)
		plain = sys;
	fault->round++;
	fault->hit = false;
	fault->name = NULL;
	fault->descriptors = fault_open_descriptors();
	armed = fault;
	atomic_store(&calls, 0);
	sys = failing;
	return true;
}

void
fault_end(struct fault *fault)
{
	sys = plain;
	fault->calls = atomic_load(&calls);
}
