/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the words of `xlfork fuzz` to a session.
 */
#include "xlfork/fuzz_options.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <libfork/symbols.h>

#include "base/error.h"
#include "xlfork/fuzz_modes.h"

#define TIMEOUT_MAX 3600000
#define MEMORY_MIN  4
#define MEMORY_MAX  256
#define VCPU_MAX    254

/* Alone, a run that takes longer hangs. AFL++ has a limit of its own (-t). */
#define TIMEOUT_MS 1000

const struct option_spec fuzz_options[] = {
    [FUZZ_PROGRAM] = {'p', "program", "FILE",
	"fuzz a program without operating system, an ELF file", false},
    [FUZZ_MEMORY] = {0, "memory", "MIB", "memory of the program (64)", false},
    [FUZZ_INPUT] = {'i', "input", "FILE",
	"run this input once and report; under AFL++: its file (@@)", false},
    [FUZZ_REPLAY] = {'r', "replay", "DIR", "run every input in a directory",
	false},
    [FUZZ_BENCH] = {'b', "bench", "SECONDS",
	"run --input again and again and say where the time goes", false},
    [FUZZ_WORKERS] = {'n', "workers", "N",
	"... in N threads, each on a core, that share the snapshot", false},
    [FUZZ_BUFFER] = {0, "buffer", "PLACE",
	"where inputs go: an address, a symbol or a register", false},
    [FUZZ_VCPU] = {0, "vcpu", "N",
	"whose registers and page tables are meant, as 'freeze --at' says (0)",
	false},
    [FUZZ_MAX_SIZE] = {0, "max-size", "BYTES", "how much fits there", false},
    [FUZZ_SIZE] = {0, "size", "PLACE",
	"where an input's size goes: a register, or ADDRESS:4, ADDRESS:8",
	false},
    [FUZZ_EXITS] = {0, "exits", "N", "more VM exits in a run are a hang",
	false},
    [FUZZ_INSTRUCTIONS] = {0, "instructions", "N",
	"more instructions in a run are a hang, where perf counts a guest's",
	false},
    [FUZZ_TIMEOUT] = {'t', "timeout", "MS", "longer runs are a hang (1000)",
	false},
    [FUZZ_IO] = {0, "io", "crash|stop|ignore",
	"what an access to a device does (crash)", false},
    [FUZZ_COVERAGE] = {'c', "coverage", "none|shared|block|edge",
	"shared: the target counts, in a map of its harness; block, edge: "
	"probes in code that --range or --blocks names",
	false},
    [FUZZ_RANGE] = {0, "range", "CODE,...",
	"START-END, START+LENGTH or the name of a function", false},
    [FUZZ_BLOCKS] = {0, "blocks", "FILE",
	"a file with the address or symbol of a block a line", false},
    [FUZZ_SYMBOLS] = {'s', "symbols", "guest|FILE",
	"names: of the Linux kernel in the guest's memory, or from a file",
	false},
    [FUZZ_SINK] = {0, "sink", "SINK,...",
	"what is a crash: linux, oops, kasan, ubsan, user, or an address or "
	"symbol",
	false},
    [FUZZ_STOP] = {0, "stop", "PLACE,...",
	"end a run in order at an address or symbol, or at 'return'", false},
    [FUZZ_REPORTS] = {0, "reports", "DIR",
	"write a report of each crash that differs from others there", false},
    [FUZZ_COVERED] = {0, "covered", "FILE",
	"write the blocks that --input or --replay executed", false},
    [FUZZ_PREFIX] = {0, "prefix", "FILE",
	"go through this beginning of the input once, fuzz what follows",
	false},
    [FUZZ_VERIFY] = {0, "verify", "N",
	"check every N-th reset against the snapshot", false},
    [FUZZ_JSON] = {'j', "json", NULL, "print --bench as JSON", false},
    OPTION_END,
};

/* --- options --- */

int
fuzz_option_number(const struct invocation *call, unsigned option,
    unsigned long max, unsigned long otherwise, unsigned long *ret_number,
    struct lf_error *error)
{
	*ret_number = otherwise;
	return call->given[option]
		   ? option_number(call, option, 1, max, ret_number, error)
		   : 0;
}

/* A word's place in a list, or -COMMAND_EUSAGE. */
static int
choice(const struct invocation *call, unsigned option, const char *const *words,
    struct lf_error *error)
{
	unsigned i;

	if (!call->given[option])
		return 0;
	for (i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], call->value[option]) == 0)
			return (int)i;
	return usage_error(call, error, "--%s '%.32s' is not one of %s",
	    fuzz_options[option].name, call->value[option],
	    fuzz_options[option].argument);
}

static enum lf_fuzz_register
find_register(const char *name)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp",
	    "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
	    "r15"};
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(names[i], name) == 0)
			return (enum lf_fuzz_register)i;
	return LF_FUZZ_REG_NONE;
}

static int
take_buffer(const struct invocation *call, const struct fuzz_target *target,
    struct lf_fuzz_options *options, struct lf_error *error)
{
	const char *place = call->value[FUZZ_BUFFER];
	unsigned long bytes;
	int rc;

	options->harness = place == NULL;
	if (call->given[FUZZ_VCPU]) {
		unsigned long vcpu;

		if (place == NULL)
			return usage_error(call, error,
			    "--vcpu without --buffer: the harness's is the one "
			    "that comes to it");
		rc = option_number(call, FUZZ_VCPU, 0, VCPU_MAX, &vcpu, error);
		if (rc < 0)
			return rc;
		options->vcpu = (unsigned)vcpu;
	}
	rc = fuzz_option_number(
	    call, FUZZ_MAX_SIZE, 256UL << 20, 0, &bytes, error);
	if (rc < 0)
		return rc;
	options->input_max = bytes;
	if (place == NULL)
		return 0;
	if (bytes == 0)
		return usage_error(call, error,
		    "--buffer needs --max-size: how much fits there");
	options->input_register = find_register(place);
	if (options->input_register != LF_FUZZ_REG_NONE)
		return 0;
	rc = lf_symbols_resolve(
	    fuzz_target_symbols(target), place, &options->input_address, error);
	return rc < 0 ? error_prefix(error, rc, "--buffer") : 0;
}

static int
take_size(const struct invocation *call, const struct fuzz_target *target,
    struct lf_fuzz_options *options, struct lf_error *error)
{
	const char *place = call->value[FUZZ_SIZE];
	char address[256];
	const char *colon;
	int rc;

	if (place == NULL)
		return 0;
	if (options->harness)
		return usage_error(call, error,
		    "--size without --buffer: the harness has its own");
	options->size_register = find_register(place);
	if (options->size_register != LF_FUZZ_REG_NONE)
		return 0;
	colon = strrchr(place, ':');
	if (colon == NULL ||
	    (strcmp(colon, ":4") != 0 && strcmp(colon, ":8") != 0))
		return usage_error(call, error,
		    "--size '%.64s' is no register and does not end in :4 or "
		    ":8",
		    place);
	options->size_bytes = (unsigned)(colon[1] - '0');
	snprintf(address, sizeof(address), "%.*s", (int)(colon - place), place);
	rc = lf_symbols_resolve(fuzz_target_symbols(target), address,
	    &options->size_address, error);
	return rc < 0 ? error_prefix(error, rc, "--size") : 0;
}

static int
take_options(const struct invocation *call, const struct fuzz_target *target,
    struct lf_fuzz_options *options, struct lf_error *error)
{
	static const char *const io_words[] = {"crash", "stop", "ignore", NULL};
	static const char *const coverage_words[] = {
	    "none", "shared", "block", "edge", NULL};
	static const enum lf_fuzz_coverage coverages[] = {LF_FUZZ_COVERAGE_NONE,
	    LF_FUZZ_COVERAGE_SHARED, LF_FUZZ_COVERAGE_BLOCK,
	    LF_FUZZ_COVERAGE_EDGE};
	unsigned long timeout, exits, instructions, verify;
	int rc;

	lf_fuzz_options_init(options);
	options->launcher = target->launcher;
	options->reset_groups = target->reset_groups;
	rc = take_buffer(call, target, options, error);
	if (rc == 0)
		rc = take_size(call, target, options, error);
	if (rc == 0)
		rc = fuzz_option_number(call, FUZZ_TIMEOUT, TIMEOUT_MAX,
		    TIMEOUT_MS, &timeout, error);
	if (rc == 0)
		rc = fuzz_option_number(
		    call, FUZZ_EXITS, 1UL << 30, 0, &exits, error);
	if (rc == 0)
		rc = fuzz_option_number(call, FUZZ_INSTRUCTIONS, 1UL << 62, 0,
		    &instructions, error);
	if (rc == 0)
		rc = fuzz_option_number(
		    call, FUZZ_VERIFY, 1UL << 30, 0, &verify, error);
	if (rc < 0)
		return rc;
	options->timeout_ms = (unsigned)timeout;
	options->exits_max = exits;
	options->instructions_max = instructions;
	options->verify_every = (unsigned)verify;
	rc = choice(call, FUZZ_IO, io_words, error);
	if (rc < 0)
		return rc;
	options->io = (enum lf_fuzz_io)rc;
	rc = choice(call, FUZZ_COVERAGE, coverage_words, error);
	if (rc < 0)
		return rc;
	if (call->given[FUZZ_COVERAGE])
		options->coverage = coverages[rc];
	return 0;
}

/* --- words --- */

static bool
has_blocks(const struct invocation *call)
{
	const char *kind = call->value[FUZZ_COVERAGE];

	return kind != NULL &&
	       (strcmp(kind, "block") == 0 || strcmp(kind, "edge") == 0);
}

/* Not the opposite: other words are no kind of coverage. */
static bool
has_no_blocks(const struct invocation *call)
{
	const char *kind = call->value[FUZZ_COVERAGE];

	return kind == NULL || strcmp(kind, "none") == 0 ||
	       strcmp(kind, "shared") == 0;
}

int
fuzz_check_words(
    const struct invocation *call, bool under_afl, struct lf_error *error)
{
	if (call->given[FUZZ_PROGRAM] == (call->word_count == 1))
		return usage_error(call, error,
		    call->word_count == 1
			? "a DOMAIN and --program are two targets"
			: "nothing to fuzz: name a DOMAIN or a --program");
	if (call->given[FUZZ_MEMORY] && !call->given[FUZZ_PROGRAM])
		return usage_error(
		    call, error, "--memory is for a --program only");
	if (call->given[FUZZ_REPLAY] &&
	    (call->given[FUZZ_BENCH] || call->given[FUZZ_INPUT]))
		return usage_error(call, error,
		    "--replay goes with neither --input nor --bench");
	if (call->given[FUZZ_BENCH] && !call->given[FUZZ_INPUT])
		return usage_error(
		    call, error, "--bench needs an --input to run");
	if ((call->given[FUZZ_WORKERS] || call->given[FUZZ_JSON]) &&
	    !call->given[FUZZ_BENCH])
		return usage_error(
		    call, error, "--workers and --json are for --bench");
	if ((call->given[FUZZ_RANGE] || call->given[FUZZ_BLOCKS]) &&
	    has_no_blocks(call))
		return usage_error(call, error,
		    "--range and --blocks are for --coverage block or edge");
	if (has_blocks(call) && !call->given[FUZZ_RANGE] &&
	    !call->given[FUZZ_BLOCKS])
		return usage_error(call, error,
		    "--coverage %s of what? --range or --blocks says it",
		    call->value[FUZZ_COVERAGE]);
	if (call->given[FUZZ_COVERED] && (under_afl || call->given[FUZZ_BENCH]))
		return usage_error(
		    call, error, "--covered is for --input and --replay alone");
	if (call->given[FUZZ_COVERED] && !has_blocks(call))
		return usage_error(call, error,
		    "--covered needs --coverage block or edge: others know no "
		    "blocks");
	if (under_afl || call->given[FUZZ_REPLAY] || call->given[FUZZ_INPUT])
		return 0;
	return usage_error(call, error,
	    "nothing to run: start it by afl-fuzz, or give --input or "
	    "--replay");
}

/* --- the session --- */

static int
open_target(const struct invocation *call, struct fuzz_target *target,
    struct lf_error *error)
{
	unsigned long memory = 0;
	int rc = 0;

	if (!call->given[FUZZ_PROGRAM])
		return fuzz_target_domain(call->words[0], target, error);
	if (call->given[FUZZ_MEMORY])
		rc = option_number(
		    call, FUZZ_MEMORY, MEMORY_MIN, MEMORY_MAX, &memory, error);
	return rc == 0 ? fuzz_target_program(call->value[FUZZ_PROGRAM],
			     (unsigned)memory, target, error)
		       : rc;
}

int
fuzz_setup_init(struct fuzz_setup *setup, const struct invocation *call,
    struct lf_error *error)
{
	struct fuzz_target *target = &setup->target;
	struct fuzz_probes *probes = &setup->probes;
	int rc;

	probes->words = (struct fuzz_probe_words){
	    .ranges = call->value[FUZZ_RANGE],
	    .blocks = call->value[FUZZ_BLOCKS],
	    .symbols = call->value[FUZZ_SYMBOLS],
	    .sinks = call->value[FUZZ_SINK],
	    .stops = call->value[FUZZ_STOP],
	    .reports = call->value[FUZZ_REPORTS],
	};
	rc = open_target(call, target, error);
	if (rc == 0)
		rc = fuzz_probes_symbols(probes, target, error);
	if (rc == 0)
		rc = take_options(call, target, &setup->options, error);
	if (rc == 0)
		rc = fuzz_probes_take(probes, target, &setup->options, error);
	return rc;
}

static int
take_prefix(const char *path, struct lf_fuzz *fuzz, struct lf_error *error)
{
	struct fuzz_file prefix = {.bytes = NULL};
	int rc;

	if (path == NULL)
		return 0;
	rc = fuzz_file_read(path, &prefix, error);
	if (rc == 0)
		rc = lf_fuzz_prefix(fuzz, prefix.bytes, prefix.len, error);
	fuzz_file_done(&prefix);
	return rc;
}

int
fuzz_setup_open(const struct fuzz_setup *setup, const struct invocation *call,
    struct lf_fuzz **ret_fuzz, struct lf_error *error)
{
	struct lf_fuzz *fuzz;
	int rc =
	    lf_fuzz_open(setup->target.snapshot, &setup->options, &fuzz, error);

	if (rc < 0)
		return rc;
	rc = take_prefix(call->value[FUZZ_PREFIX], fuzz, error);
	if (rc < 0) {
		lf_fuzz_close(fuzz);
		return rc;
	}
	*ret_fuzz = fuzz;
	return 0;
}

void
fuzz_setup_done(struct fuzz_setup *setup)
{
	fuzz_probes_done(&setup->probes);
	fuzz_target_done(&setup->target);
}
