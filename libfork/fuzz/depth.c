/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzing from deeper inside: the state that a prefix of the input leads to
 * becomes the start point, and is not run through again for every input.
 */
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "fuzz/harness.h"
#include "fuzz/session.h"

/* The bytes that a CONSUMED mark names; the access is answered. */
static int
read_consumed(struct lf_fuzz *fuzz, const struct lf_exit *exit,
    uint64_t *ret_bytes, struct lf_error *error)
{
	static const uint32_t go = 0;
	struct lf_vcpu_regs regs;
	int rc = lf_domain_answer(fuzz->domain, &go, sizeof(go), error);

	if (rc == 0)
		rc = lf_vcpu_read_regs(fuzz->domain, exit->vcpu, &regs, error);
	if (rc == 0)
		*ret_bytes = regs.rdi;
	return rc;
}

static int
run_through(struct lf_fuzz *fuzz, size_t len, struct lf_error *error)
{
	struct lf_fuzz_outcome outcome = {.what = ""};
	uint64_t consumed = 0;
	int rc;

	do {
		struct lf_exit exit;

		rc = lf_domain_run(fuzz->domain, &exit, error);
		if (rc == 0 && harness_mark(&exit) == XLFORK_MARK_CONSUMED)
			rc = read_consumed(fuzz, &exit, &consumed, error);
		else if (rc == 0)
			rc = fuzz_on_exit(fuzz, &exit, &outcome, error);
	} while (rc == 0 && consumed < len);
	if (rc < 0)
		return rc;
	if (rc > 0)
		return error_set(error, ENODATA,
		    "the target did not say (xlfork_consumed()) that it has "
		    "read the prefix's %zu bytes: %s",
		    len, outcome.what);
	if (consumed > len)
		return error_set(error, ENODATA,
		    "the target reads on to byte %" PRIu64
		    " before it says so; a prefix of %zu bytes cannot be cut "
		    "off",
		    consumed, len);
	return 0;
}

/* Makes where the domain stands the start point, and forks that. */
static int
start_here(struct lf_fuzz *fuzz, struct lf_error *error)
{
	struct lf_domain *old = fuzz->domain;
	struct lf_snapshot *start;
	int rc = lf_domain_freeze(old, &start, error);

	if (rc < 0)
		return rc;
	lf_snapshot_unref(fuzz->start);
	fuzz->start = start;
	rc = lf_vcpu_read_regs(old, fuzz->vcpu, &fuzz->regs, error);
	if (rc == 0)
		rc = fuzz_mount(fuzz, old, error);
	/* Made, even when something failed in it later. */
	if (fuzz->domain != old)
		lf_domain_free(old);
	return rc;
}

int
lf_fuzz_prefix(struct lf_fuzz *fuzz, const void *prefix, size_t len,
    struct lf_error *error)
{
	int rc;

	if (len == 0)
		return 0;
	if (len >= lf_fuzz_input_max(fuzz))
		return error_set(error, EMSGSIZE,
		    "a prefix of %zu bytes leaves no room in the target's "
		    "buffer of %zu",
		    len, lf_fuzz_input_max(fuzz));
	if (fuzz->input.size_register != NULL)
		return error_set(error, ENOTSUP,
		    "after a prefix the input's size cannot be given in a "
		    "register: the target has read it");
	rc = lf_fuzz_reset(fuzz, error);
	if (rc < 0)
		return rc;
	fuzz->clean = false;
	atomic_fetch_add(&fuzz->phase, 1);
	rc = fuzz_input_put(fuzz, prefix, len, error);
	if (rc == 0)
		rc = run_through(fuzz, len, error);
	atomic_fetch_add(&fuzz->phase, 1);
	if (rc < 0)
		return rc;
	/* They may be about to stop the domain that is given up. */
	fuzz_watchdog_end(fuzz);
	fuzz_limit_end(fuzz); /* the next run begins another */
	rc = start_here(fuzz, error);
	if (rc == 0)
		rc = fuzz_watchdog_start(fuzz, fuzz->options.timeout_ms, error);
	if (rc == 0)
		fuzz->input.prefix += len;
	return rc;
}
