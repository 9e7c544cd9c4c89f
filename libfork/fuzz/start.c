/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Going to the start point that a harness marks. What the harness says comes
 * out of guest memory: it is checked by what uses it (input.c, cover/).
 */
#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "fuzz/harness.h"
#include "fuzz/session.h"

#define START_TIMEOUT_MS 10000

static int
unreached(const struct lf_exit *exit, const struct lf_vcpu_regs *regs,
    unsigned timeout_ms, struct lf_error *error)
{
	if (exit->reason == LF_EXIT_INTERRUPTED)
		return error_set(error, ETIMEDOUT,
		    "the harness's xlfork_start() was not reached within %u "
		    "ms: the target is at 0x%" PRIx64,
		    timeout_ms, regs->rip);
	return error_set(error, ENODATA,
	    "the harness's xlfork_start() was not reached: %s at 0x%" PRIx64,
	    lf_exit_name(exit), regs->rip);
}

static int
take_harness(struct lf_fuzz *fuzz, uint64_t address, struct lf_error *error)
{
	struct lf_fuzz_options *options = &fuzz->options;
	struct xlfork_harness harness;
	int rc = vmi_space_read(
	    &fuzz->space, address, &harness, sizeof(harness), error);

	if (rc < 0)
		return error_prefix(
		    error, rc, "the harness at 0x%" PRIx64, address);
	if (le64toh(harness.magic) != XLFORK_MAGIC)
		return error_set(error, EBADMSG,
		    "what xlfork_start() got at 0x%" PRIx64
		    " is no struct xlfork_harness",
		    address);
	options->input_address = le64toh(harness.buffer);
	options->input_register = LF_FUZZ_REG_NONE;
	if (options->input_max == 0 ||
	    options->input_max > le64toh(harness.capacity))
		options->input_max = le64toh(harness.capacity);
	options->size_register = LF_FUZZ_REG_NONE;
	options->size_bytes = sizeof(harness.size);
	options->size_address = address + offsetof(struct xlfork_harness, size);
	/* Coverage by probes has a map of its own. */
	if (options->map_address == 0 &&
	    options->coverage != LF_FUZZ_COVERAGE_BLOCK &&
	    options->coverage != LF_FUZZ_COVERAGE_EDGE) {
		options->map_address = le64toh(harness.map);
		if (options->map_bytes == 0)
			options->map_bytes = le64toh(harness.map_bytes);
		else if (options->coverage != LF_FUZZ_COVERAGE_NONE &&
			 options->map_bytes < le64toh(harness.map_bytes))
			return error_set(error, ENOSPC,
			    "the target's coverage map has %" PRIu64
			    " bytes, the fuzzer's only %zu",
			    le64toh(harness.map_bytes), options->map_bytes);
		else
			options->map_bytes = le64toh(harness.map_bytes);
	}
	return 0;
}

/* Until something happens that is not to be ignored. */
static int
run_to_mark(struct lf_fuzz *fuzz, struct lf_exit *exit, struct lf_error *error)
{
	for (;;) {
		int rc = lf_domain_run(fuzz->domain, exit, error);

		if (rc < 0 || harness_mark(exit) != 0)
			return rc;
		if (exit->reason == LF_EXIT_INTERRUPTED) {
			if (fuzz_run_ended(fuzz))
				return 0;
			continue;
		}
		if (fuzz->options.io != LF_FUZZ_IO_IGNORE ||
		    !fuzz_is_access(exit))
			return 0;
		rc = fuzz_ignore(fuzz->domain, exit, error);
		if (rc < 0)
			return rc;
	}
}

int
fuzz_start_harness(
    struct lf_fuzz *fuzz, struct lf_domain *scout, struct lf_error *error)
{
	static const uint32_t go = 0;
	unsigned timeout_ms = fuzz->options.start_timeout_ms;
	struct lf_exit exit;
	int rc;

	if (timeout_ms == 0)
		timeout_ms = START_TIMEOUT_MS;
	rc = fuzz_watchdog_start(fuzz, timeout_ms, error);
	if (rc < 0)
		return rc;
	fuzz->domain = scout;
	atomic_fetch_add(&fuzz->phase, 1);
	rc = run_to_mark(fuzz, &exit, error);
	atomic_fetch_add(&fuzz->phase, 1);
	/* It may be about to stop the scout. */
	fuzz_watchdog_end(fuzz);
	fuzz->domain = NULL;
	if (rc < 0)
		return rc;
	if (harness_mark(&exit) != XLFORK_MARK_START) {
		rc = lf_vcpu_read_regs(scout, exit.vcpu, &fuzz->regs, error);
		return rc < 0
			   ? rc
			   : unreached(&exit, &fuzz->regs, timeout_ms, error);
	}
	fuzz->vcpu = exit.vcpu;
	rc = lf_domain_answer(scout, &go, sizeof(go), error);
	if (rc == 0)
		rc = lf_vcpu_read_regs(scout, fuzz->vcpu, &fuzz->regs, error);
	if (rc == 0)
		rc = vmi_space_init(&fuzz->space, scout, fuzz->vcpu, error);
	return rc == 0 ? take_harness(fuzz, fuzz->regs.rdi, error) : rc;
}
