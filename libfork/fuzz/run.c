/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One run: input, execution, judgement, reset. Watchers are asked about an
 * exit before the session's own rules; nothing is allocated or logged.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "base/error.h"
#include "fuzz/harness.h"
#include "fuzz/session.h"

/* What an exit does to a run: it goes on, or it ends with an outcome. */
enum { GOES_ON = 0, ENDED = 1 };

bool
fuzz_is_access(const struct lf_exit *exit)
{
	return exit->reason == LF_EXIT_IO || exit->reason == LF_EXIT_MMIO ||
	       exit->reason == LF_EXIT_MSR;
}

/* As a bus without a device: reads are all ones. */
int
fuzz_ignore(struct lf_domain *domain, const struct lf_exit *exit,
    struct lf_error *error)
{
	uint8_t ones[LF_EXIT_DATA_MAX];
	size_t len = 0;

	switch (exit->reason) {
	case LF_EXIT_IO:
		if (!exit->io.write)
			len = (size_t)exit->io.size * exit->io.count;
		break;
	case LF_EXIT_MMIO:
		if (!exit->mmio.write)
			len = exit->mmio.size;
		break;
	default:
		if (!exit->msr.write)
			len = sizeof(exit->msr.data);
		break;
	}
	memset(ones, 0xff, len);
	return lf_domain_answer(domain, len > 0 ? ones : NULL, len, error);
}

/* --- outcomes --- */

static int __attribute__((format(printf, 3, 4)))
ends(struct lf_fuzz_outcome *outcome, enum lf_fuzz_result result,
    const char *format, ...)
{
	va_list args;

	outcome->result = result;
	va_start(args, format);
	vsnprintf(outcome->what, sizeof(outcome->what), format, args);
	va_end(args);
	return ENDED;
}

/* In order: the way most runs end, so without printf. */
static int
ends_well(struct lf_fuzz_outcome *outcome, const char *what)
{
	outcome->result = LF_FUZZ_OK;
	strcpy(outcome->what, what);
	return ENDED;
}

/* The address at which the vCPU of an exit stands, as far as it is known. */
static uint64_t
where(struct lf_fuzz *fuzz, const struct lf_exit *exit,
    struct lf_fuzz_outcome *outcome)
{
	struct lf_vcpu_regs regs;

	if (lf_vcpu_read_regs(fuzz->domain, exit->vcpu, &regs, NULL) == 0)
		outcome->address = regs.rip;
	return outcome->address;
}

static int
access_crash(struct lf_fuzz *fuzz, const struct lf_exit *exit,
    struct lf_fuzz_outcome *outcome)
{
	uint64_t rip = where(fuzz, exit, outcome);

	switch (exit->reason) {
	case LF_EXIT_IO:
		return ends(outcome, LF_FUZZ_CRASH,
		    "device access: %s port 0x%x, %u bytes, at 0x%" PRIx64,
		    exit->io.write ? "write to" : "read of", exit->io.port,
		    exit->io.size, rip);
	case LF_EXIT_MMIO:
		return ends(outcome, LF_FUZZ_CRASH,
		    "device access: %s guest-physical 0x%" PRIx64
		    ", %u bytes, at 0x%" PRIx64,
		    exit->mmio.write ? "write to" : "read of", exit->mmio.gpa,
		    exit->mmio.size, rip);
	default:
		return ends(outcome, LF_FUZZ_CRASH,
		    "device access: %s MSR 0x%x at 0x%" PRIx64,
		    exit->msr.write ? "write to" : "read of", exit->msr.index,
		    rip);
	}
}

static int
on_access(struct lf_fuzz *fuzz, const struct lf_exit *exit,
    struct lf_fuzz_outcome *outcome, struct lf_error *error)
{
	switch (fuzz->options.io) {
	case LF_FUZZ_IO_IGNORE:
		return fuzz_ignore(fuzz->domain, exit, error);
	case LF_FUZZ_IO_STOP:
		return ends(outcome, LF_FUZZ_OK, "%s", lf_exit_name(exit));
	default:
		return access_crash(fuzz, exit, outcome);
	}
}

/* --- marks of the harness --- */

static int
reported_crash(struct lf_fuzz *fuzz, const struct lf_exit *exit,
    struct lf_fuzz_outcome *outcome)
{
	struct lf_vcpu_regs regs = {.rip = 0};
	struct vmi_space space;
	char text[128] = "";

	if (lf_vcpu_read_regs(fuzz->domain, exit->vcpu, &regs, NULL) == 0 &&
	    vmi_space_init(&space, fuzz->domain, exit->vcpu, NULL) == 0 &&
	    vmi_space_read_text(&space, regs.rdi, text, sizeof(text), NULL) < 0)
		snprintf(text, sizeof(text), "no text at 0x%" PRIx64, regs.rdi);
	outcome->address = regs.rip;
	return ends(outcome, LF_FUZZ_CRASH, "harness: %s", text);
}

static int
on_mark(struct lf_fuzz *fuzz, unsigned mark, const struct lf_exit *exit,
    struct lf_fuzz_outcome *outcome, struct lf_error *error)
{
	static const uint32_t go = 0;

	switch (mark) {
	case XLFORK_MARK_STOP:
		return ends_well(outcome, "harness: stop");
	case XLFORK_MARK_START:
		return ends_well(outcome, "harness: start again");
	case XLFORK_MARK_CRASH:
		return reported_crash(fuzz, exit, outcome);
	default: /* XLFORK_MARK_CONSUMED */
		return lf_domain_answer(fuzz->domain, &go, sizeof(go), error);
	}
}

/* --- exits --- */

/* GOES_ON when it was a watcher's and is dealt with; -ENOENT: nobody's. */
static int
ask_watchers(struct lf_fuzz *fuzz, const struct lf_exit *exit,
    struct lf_fuzz_outcome *outcome, struct lf_error *error)
{
	struct cover_event event = {.what = ""};
	size_t i;

	for (i = 0; i < fuzz->watcher_count; i++) {
		struct cover *cover = fuzz->watchers[i];
		int rc;

		if (cover->ops->exit == NULL)
			continue;
		rc = cover->ops->exit(cover, exit, &event, error);
		switch (rc) {
		case COVER_PASS:
			break;
		case COVER_GO_ON:
			return GOES_ON;
		case COVER_STOP:
			return ends(outcome, LF_FUZZ_OK, "%s: %s",
			    cover->ops->name, event.what);
		case COVER_CRASH:
			outcome->address = event.address;
			fuzz->last_context = event.context;
			return ends(outcome, LF_FUZZ_CRASH, "%s: %s",
			    cover->ops->name, event.what);
		default:
			return rc;
		}
	}
	return -ENOENT;
}

static int
interrupted(struct lf_fuzz *fuzz, const struct lf_exit *exit,
    struct lf_fuzz_outcome *outcome)
{
	uint64_t rip = where(fuzz, exit, outcome);

	if (fuzz_limit_passed(fuzz))
		return ends(outcome, LF_FUZZ_HANG,
		    "more than %" PRIu64 " instructions at 0x%" PRIx64,
		    fuzz->options.instructions_max, rip);
	return ends(outcome, LF_FUZZ_HANG, "time-out at 0x%" PRIx64, rip);
}

int
fuzz_on_exit(struct lf_fuzz *fuzz, const struct lf_exit *exit,
    struct lf_fuzz_outcome *outcome, struct lf_error *error)
{
	unsigned mark = harness_mark(exit);
	int rc;

	fuzz->last_vcpu = exit->vcpu;
	if (mark != 0)
		return on_mark(fuzz, mark, exit, outcome, error);
	if (exit->reason == LF_EXIT_INTERRUPTED)
		return fuzz_run_ended(fuzz) ? interrupted(fuzz, exit, outcome)
					    : GOES_ON;
	rc = ask_watchers(fuzz, exit, outcome, error);
	if (rc != -ENOENT)
		return rc;
	switch (exit->reason) {
	case LF_EXIT_IO:
	case LF_EXIT_MMIO:
	case LF_EXIT_MSR:
		return on_access(fuzz, exit, outcome, error);
	case LF_EXIT_IDLE:
		return ends(outcome, LF_FUZZ_HANG,
		    "halted for ever at 0x%" PRIx64,
		    where(fuzz, exit, outcome));
	case LF_EXIT_SHUTDOWN:
		return ends(outcome, LF_FUZZ_CRASH,
		    "triple fault or reset at 0x%" PRIx64,
		    where(fuzz, exit, outcome));
	case LF_EXIT_DEBUG:
		return ends(outcome, LF_FUZZ_CRASH,
		    "breakpoint nobody set at 0x%" PRIx64, exit->debug.rip);
	default:
		return ends(outcome, LF_FUZZ_CRASH, "%s at 0x%" PRIx64,
		    lf_exit_name(exit), where(fuzz, exit, outcome));
	}
}

static int
run_to_end(struct lf_fuzz *fuzz, struct lf_fuzz_outcome *outcome,
    struct lf_error *error)
{
	uint64_t exits_max = fuzz->options.exits_max;
	struct lf_exit exit;
	int rc;

	do {
		rc = lf_domain_run(fuzz->domain, &exit, error);
		if (rc < 0)
			return rc;
		outcome->exits++;
		rc = fuzz_on_exit(fuzz, &exit, outcome, error);
		if (rc == GOES_ON && exits_max != 0 &&
		    outcome->exits >= exits_max)
			rc = ends(outcome, LF_FUZZ_HANG,
			    "%" PRIu64 " exits at 0x%" PRIx64, outcome->exits,
			    where(fuzz, &exit, outcome));
	} while (rc == GOES_ON);
	return rc < 0 ? rc : 0;
}

/* --- a whole run --- */

/* A part of the iteration begins. */
static void
lap_begin(struct lf_fuzz *fuzz)
{
	if (fuzz->options.timed)
		fuzz->lap_ns = clock_ns();
}

/* It ends, and the next one begins. */
static void
lap(struct lf_fuzz *fuzz, uint64_t *part_ns)
{
	uint64_t now;

	if (!fuzz->options.timed)
		return;
	now = clock_ns();
	*part_ns += now - fuzz->lap_ns;
	fuzz->lap_ns = now;
}

static void
note_tsc(struct lf_fuzz *fuzz)
{
	struct lf_fuzz_times *times = &fuzz->times;
	uint64_t cycles;

	if (!fuzz->options.timed || fuzz->reset_tsc == 0)
		return;
	cycles = __rdtsc() - fuzz->reset_tsc;
	if (times->tsc_min == 0 || cycles < times->tsc_min)
		times->tsc_min = cycles;
	if (cycles > times->tsc_max)
		times->tsc_max = cycles;
}

int
lf_fuzz_reset(struct lf_fuzz *fuzz, struct lf_error *error)
{
	size_t i;
	int rc;

	if (fuzz->clean)
		return 0;
	lap_begin(fuzz);
	if (fuzz->options.timed)
		fuzz->reset_tsc = __rdtsc();
	rc = lf_domain_reset(fuzz->domain, error);
	lap(fuzz, &fuzz->times.reset_ns);
	for (i = 0; rc == 0 && i < fuzz->watcher_count; i++) {
		struct cover *cover = fuzz->watchers[i];

		if (cover->ops->restored != NULL)
			rc = cover->ops->restored(cover, error);
	}
	lap(fuzz, &fuzz->times.coverage_ns);
	fuzz->clean = rc == 0;
	return rc;
}

static int
begin(struct lf_fuzz *fuzz, const void *input, size_t len, bool again,
    struct lf_error *error)
{
	size_t i;
	int rc = 0;

	fuzz->last_context = LF_SINK_PLAIN;
	if (fuzz->coverage != NULL && (again || !fuzz->options.keep_map))
		memset(fuzz->coverage->map, 0, fuzz->coverage->map_bytes);
	for (i = 0; rc == 0 && i < fuzz->watcher_count; i++) {
		struct cover *cover = fuzz->watchers[i];

		cover->input = input;
		cover->input_len = len;
		if (cover->ops->begin != NULL)
			rc = cover->ops->begin(cover, error);
	}
	return rc;
}

/* COVER_AGAIN when a watcher wants the run to be made once more. */
static int
end(struct lf_fuzz *fuzz, struct lf_error *error)
{
	size_t i;
	int rc = 0, again = 0;

	for (i = 0; rc >= 0 && i < fuzz->watcher_count; i++) {
		struct cover *cover = fuzz->watchers[i];

		if (cover->ops->end != NULL)
			rc = cover->ops->end(cover, error);
		if (rc == COVER_AGAIN)
			again = rc;
	}
	return rc < 0 ? rc : again;
}

/* From reset to end; COVER_AGAIN: what came out does not count. */
static int
run_once(struct lf_fuzz *fuzz, const void *input, size_t len, bool again,
    struct lf_fuzz_outcome *ret_outcome, struct lf_error *error)
{
	int rc;

	ret_outcome->exits = 0;
	ret_outcome->address = 0;
	rc = lf_fuzz_reset(fuzz, error);
	if (rc < 0)
		return rc;
	fuzz->clean = false;
	rc = fuzz_limit_begin(fuzz, error);
	if (rc < 0)
		return rc;
	atomic_fetch_add(&fuzz->phase, 1);
	lap_begin(fuzz);
	rc = fuzz_input_put(fuzz, input, len, error);
	lap(fuzz, &fuzz->times.inject_ns);
	if (rc == 0)
		rc = begin(fuzz, input, len, again, error);
	lap(fuzz, &fuzz->times.coverage_ns);
	note_tsc(fuzz);
	if (rc == 0)
		rc = run_to_end(fuzz, ret_outcome, error);
	lap(fuzz, &fuzz->times.run_ns);
	atomic_fetch_add(&fuzz->phase, 1);
	if (rc == 0)
		rc = end(fuzz, error);
	lap(fuzz, &fuzz->times.coverage_ns);
	fuzz->times.runs++;
	return rc;
}

int
lf_fuzz_run(struct lf_fuzz *fuzz, const void *input, size_t len,
    struct lf_fuzz_outcome *ret_outcome, struct lf_error *error)
{
	int rc;

	if (len > lf_fuzz_input_max(fuzz))
		return error_set(error, EMSGSIZE,
		    "an input of %zu bytes does not fit into the target's "
		    "buffer of %zu",
		    len, lf_fuzz_input_max(fuzz));
	rc = run_once(fuzz, input, len, false, ret_outcome, error);
	while (rc == COVER_AGAIN)
		rc = run_once(fuzz, input, len, true, ret_outcome, error);
	if (rc == 0 && ret_outcome->result == LF_FUZZ_CRASH &&
	    fuzz->options.on_crash != NULL)
		fuzz->options.on_crash(fuzz->options.on_crash_opaque, fuzz,
		    ret_outcome, input, len);
	return rc;
}

int
lf_fuzz_crash(struct lf_fuzz *fuzz, const struct lf_fuzz_outcome *outcome,
    const struct lf_symbols *symbols, struct lf_kernel *kernel,
    struct lf_crash **ret_crash, struct lf_error *error)
{
	const struct lf_crash_options options = {
	    .what = outcome->what,
	    .vcpu = fuzz->last_vcpu,
	    .context = fuzz->last_context,
	    .symbols = symbols,
	    .kernel = kernel,
	};

	return lf_crash_new(fuzz->domain, &options, ret_crash, error);
}
