/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `xlfork fuzz` fuzzes: a snapshot, either of a domain of forkd, leased as
 * long as this program runs, or of a program without an operating system.
 */
#ifndef XLFORK_FUZZ_TARGET_H
#define XLFORK_FUZZ_TARGET_H

#include <libfork/error.h>
#include <libfork/fuzz.h>

struct fuzz_target {
	struct lf_snapshot *snapshot;
	struct lf_launcher *launcher; /* NULL: none needed */
	struct lf_symbols *symbols;   /* of a program; NULL: none */
	int lease;                    /* connection that is one; -1 */
	unsigned reset_groups;        /* for lf_fuzz_options */
};

#define FUZZ_TARGET_NONE    \
	{                   \
		.lease = -1 \
	}

/* `memory_mib` 0: the default. */
int fuzz_target_program(const char *path, unsigned memory_mib,
    struct fuzz_target *target, struct lf_error *error);
int fuzz_target_domain(
    const char *domain, struct fuzz_target *target, struct lf_error *error);
void fuzz_target_done(struct fuzz_target *target);

#endif
