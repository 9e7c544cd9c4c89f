/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a role may do once it has everything it needs: an allow-list of system
 * calls. The only place with libseccomp.
 */
#ifndef FORKD_SANDBOX_H
#define FORKD_SANDBOX_H

#include <sys/types.h>
#include <stddef.h>

#include <libfork/error.h>

enum sandbox_role {
	SANDBOX_DOMAIN, /* a domain process */
	SANDBOX_PROBE,  /* the host probe */
};

/*
 * Gives up the right to become another user, core dumps, and every system call
 * that is not on the role's list: those fail with EPERM; what only an intruder
 * would call ends the process. For the whole process, for good.
 */
int sandbox_enter(enum sandbox_role role, struct lf_error *error);

/*
 * Becomes another user for good, without any group but `gid` and `extra_gid`.
 */
int sandbox_become(
    uid_t uid, gid_t gid, gid_t extra_gid, struct lf_error *error);

/* One allowed call with the reason why; for the manual and tests. */
struct sandbox_call {
	int number;     /* of the system call; -1 ends a list */
	unsigned roles; /* bit 1 << role */
	const char *reason;
};

extern const struct sandbox_call sandbox_calls[];

#endif
