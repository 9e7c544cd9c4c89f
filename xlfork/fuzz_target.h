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
	struct lf_launcher *launcher;            /* NULL: none needed */
	struct lf_symbols *symbols;              /* owned; NULL: none */
	const struct lf_symbols *kernel_symbols; /* used rather; or NULL */
	int lease;             /* connection that is one; -1 */
	unsigned reset_groups; /* for lf_fuzz_options */
};

#define FUZZ_TARGET_NONE    \
	{                   \
		.lease = -1 \
	}

/* The target's names; NULL: there are none. */
static inline const struct lf_symbols *
fuzz_target_symbols(const struct fuzz_target *target)
{
	return target->kernel_symbols != NULL ? target->kernel_symbols
					      : target->symbols;
}

/* `memory_mib` 0: the default. */
int fuzz_target_program(const char *path, unsigned memory_mib,
    struct fuzz_target *target, struct lf_error *error);
int fuzz_target_domain(
    const char *domain, struct fuzz_target *target, struct lf_error *error);
void fuzz_target_done(struct fuzz_target *target);

#endif
