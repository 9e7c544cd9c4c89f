/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reports of crashes beside the fuzzer's findings: one for each id, as
 * ID.txt and ID.json, with the first input that led to it as ID.input.
 */
#ifndef XLFORK_FUZZ_REPORTS_H
#define XLFORK_FUZZ_REPORTS_H

#include <stddef.h>

#include <libfork/crash.h>
#include <libfork/fuzz.h>

/* Ids that are remembered; crashes are rare, causes rarer. */
#define FUZZ_REPORTS_MAX 1024

struct fuzz_reports {
	const char *dir; /* NULL: none are written */
	const struct lf_symbols *symbols;
	struct lf_kernel *kernel;
	char ids[FUZZ_REPORTS_MAX][LF_CRASH_ID_LEN + 1];
	size_t count;
};

/*
 * Begins: `dir` is made if it is not there. NULL: the fuzzer's own directory,
 * "reports" in it, where AFL++ says which that is, else none.
 */
int fuzz_reports_init(struct fuzz_reports *reports, const char *dir,
    const struct lf_symbols *symbols, struct lf_kernel *kernel,
    struct lf_error *error);

/* For lf_fuzz_options: `opaque` is the reports. */
void fuzz_reports_on_crash(void *opaque, struct lf_fuzz *fuzz,
    const struct lf_fuzz_outcome *outcome, const void *input, size_t len);

#endif
