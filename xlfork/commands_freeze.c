/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * freeze, also at an address. Symbol tables are read here, with the rights of
 * who runs xlfork, and forkd is told an address. The guest kernel's own symbols
 * are looked up where the guest's memory is, in its domain process.
 */
#include "xlfork/commands_freeze.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfork/symbols.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "control/messages.h"
#include "xlfork/output.h"
#include "xlfork/session.h"

DEFINE_CLEANUP(struct lf_symbols *, lf_symbols_free);
#define cleanup_symbols cleanup(lf_symbols_free_p)

enum {
	FREEZE_AT,
	FREEZE_SYMBOLS,
	FREEZE_SLIDE,
	FREEZE_CR3,
	FREEZE_COUNT,
	FREEZE_TIMEOUT,
	FREEZE_JSON,
};

/* Without --timeout; forkd's own default is the same. */
#define TIMEOUT_SECONDS 60
#define CR3_MAX         ((UINT64_C(1) << 52) - 1)

const struct option_spec freeze_options[] = {
    [FREEZE_AT] = {0, "at", "SYMBOL|ADDRESS",
	"let the guest run until a virtual CPU arrives there, and freeze it "
	"before that instruction",
	false},
    [FREEZE_SYMBOLS] = {0, "symbols", "guest|FILE",
	"where symbols are: in the guest's memory, its Linux kernel's own, or "
	"in nm's output, a copy of the guest's /proc/kallsyms, or an ELF file",
	false},
    [FREEZE_SLIDE] = {0, "slide", "OFFSET",
	"added to the file's addresses: how far KASLR moved the kernel", false},
    [FREEZE_CR3] = {0, "cr3", "ADDRESS",
	"only with this page table; any process without this option", false},
    [FREEZE_COUNT] = {0, "count", "COUNT", "at the COUNTth arrival", false},
    [FREEZE_TIMEOUT] = {0, "timeout", "SECONDS",
	"give up after that, the domain runs on; 60 without this option",
	false},
    [FREEZE_JSON] = {'j', "json", NULL, "print JSON", false},
    OPTION_END,
};

/* A number as lf_symbols_resolve() takes it, and perhaps a sign. */
static int
number_option(const struct invocation *call, unsigned option, uint64_t max,
    bool sign, uint64_t *ret_number, struct lf_error *error)
{
	const char *text = call->value[option];
	bool negative = sign && text[0] == '-';

	if (lf_symbols_resolve(NULL, text + negative, ret_number, NULL) < 0 ||
	    *ret_number > max)
		return usage_error(call, error,
		    "--%s '%.32s' is not a number from 0 to 0x%" PRIx64
		    ", decimal or with 0x",
		    call->command->options[option].name, text, max);
	if (negative)
		*ret_number = -*ret_number;
	return 0;
}

/* The names of the kernel that runs in the guest, as it has them itself. */
static bool
of_guest(const struct invocation *call)
{
	return call->given[FREEZE_SYMBOLS] &&
	       strcmp(call->value[FREEZE_SYMBOLS], "guest") == 0;
}

/* Options that say more about --at make no sense without it. */
static int
check_options(const struct invocation *call, struct lf_error *error)
{
	unsigned i;

	for (i = FREEZE_SYMBOLS; i <= FREEZE_TIMEOUT; i++)
		if (call->given[i] && !call->given[FREEZE_AT])
			return usage_error(call, error,
			    "--%s goes with --at, which is missing",
			    freeze_options[i].name);
	if (call->given[FREEZE_SLIDE] && !call->given[FREEZE_SYMBOLS])
		return usage_error(call, error,
		    "--slide goes with --symbols: addresses are not moved");
	if (call->given[FREEZE_SLIDE] && of_guest(call))
		return usage_error(call, error,
		    "--slide goes with a file: the guest's own symbols are "
		    "where its kernel is");
	if (of_guest(call) &&
	    strlen(call->value[FREEZE_AT]) > CONTROL_SYMBOL_BYTES_MAX)
		return usage_error(call, error,
		    "--at: no symbol is longer than %u bytes",
		    CONTROL_SYMBOL_BYTES_MAX);
	return 0;
}

/* What --at means, as an address. */
static int
find_address(const struct invocation *call, uint64_t *ret_address,
    struct lf_error *error)
{
	cleanup_symbols struct lf_symbols *symbols = NULL;
	const char *at = call->value[FREEZE_AT];
	uint64_t slide = 0;
	int rc = 0;

	if (call->given[FREEZE_SLIDE])
		rc = number_option(
		    call, FREEZE_SLIDE, UINT64_MAX, true, &slide, error);
	if (rc < 0)
		return rc;
	if (!call->given[FREEZE_SYMBOLS]) {
		rc = lf_symbols_resolve(NULL, at, ret_address, error);
		return rc == -ENOENT
			   ? usage_error(call, error,
				 "--at '%.64s' is no address; --symbols says "
				 "where symbols are",
				 at)
			   : rc;
	}
	rc = lf_symbols_open(
	    call->value[FREEZE_SYMBOLS], slide, &symbols, error);
	if (rc == 0)
		rc = lf_symbols_resolve(symbols, at, ret_address, error);
	return rc < 0 ? error_prefix(error, rc, "freeze") : 0;
}

static int
freeze_arguments(const struct invocation *call, unsigned long timeout,
    json_t **ret_arguments, struct lf_error *error)
{
	cleanup_json json_t *arguments = NULL;
	unsigned long count = 1;
	uint64_t address = 0, cr3 = 0;
	const char *at = call->value[FREEZE_AT];
	char text[24];
	int rc;

	rc = check_options(call, error);
	if (rc == 0 && call->given[FREEZE_COUNT])
		rc = option_number(
		    call, FREEZE_COUNT, 1, INT32_MAX, &count, error);
	if (rc == 0 && call->given[FREEZE_CR3])
		rc = number_option(
		    call, FREEZE_CR3, CR3_MAX, false, &cr3, error);
	if (rc == 0 && at != NULL && !of_guest(call)) {
		rc = find_address(call, &address, error);
		snprintf(text, sizeof(text), "0x%" PRIx64, address);
		at = text;
	}
	if (rc == 0)
		rc =
		    session_domain("domain", call->words[0], &arguments, error);
	if (rc < 0)
		return rc;
	if (at != NULL) {
		if (json_object_set_new(arguments, "at", json_string(at)) < 0)
			return error_set(error, EINVAL,
			    "freeze: '%.64s' is no symbol: names are UTF-8 "
			    "text",
			    at);
		json_object_set_new(
		    arguments, "guest-symbols", json_boolean(of_guest(call)));
		json_object_set_new(
		    arguments, "arrivals", json_integer((json_int_t)count));
		json_object_set_new(
		    arguments, "timeout", json_integer((json_int_t)timeout));
	}
	if (call->given[FREEZE_CR3])
		json_object_set_new(
		    arguments, "cr3", json_integer((json_int_t)cr3));
	*ret_arguments = take_ptr(arguments);
	return 0;
}

/* "vCPU 1 at 0xffffffff810a1230 (do_exit), CR3 0x2798000, arrival 1" */
static int
print_arrival(
    const struct invocation *call, const json_t *result, struct lf_error *error)
{
	json_int_t vcpu, cr3, arrivals;
	const char *address;

	if (json_unpack((json_t *)result, "{s:I, s:s, s:I, s:I}", "vcpu", &vcpu,
		"address", &address, "cr3", &cr3, "arrivals", &arrivals) < 0)
		return error_set(error, EBADMSG,
		    "forkd's answer to 'freeze' does not say which vCPU "
		    "arrived");
	printf("vCPU %" PRId64 " at %s", (int64_t)vcpu, address);
	if (call->given[FREEZE_SYMBOLS])
		printf(" (%s)", call->value[FREEZE_AT]);
	printf(", CR3 0x%" PRIx64 ", arrival %" PRId64 "\n", (uint64_t)cr3,
	    (int64_t)arrivals);
	return 0;
}

int
command_freeze(const struct invocation *call, struct lf_error *error)
{
	cleanup_session struct session s = {.client = NULL};
	cleanup_json json_t *result = NULL;
	unsigned long timeout = TIMEOUT_SECONDS;
	json_t *arguments = NULL;
	int rc = 0;

	if (call->given[FREEZE_TIMEOUT])
		rc = option_number(call, FREEZE_TIMEOUT, 1,
		    CONTROL_FREEZE_SECONDS_MAX, &timeout, error);
	if (rc == 0)
		rc = freeze_arguments(call, timeout, &arguments, error);
	if (rc < 0)
		return rc;
	rc = session_open(&s, false, error);
	if (rc < 0) {
		json_decref(arguments);
		return rc;
	}
	s.work_ms = SESSION_WORK_MS + (int)timeout * 1000;
	rc = session_call(&s, "freeze", arguments,
	    call->given[FREEZE_AT] ? "waiting for the guest to arrive"
				   : "freezing",
	    NULL, &result, error);
	if (rc < 0)
		return rc;
	if (call->given[FREEZE_JSON]) {
		if (json_dumpf(result, stdout, JSON_INDENT(3)) < 0 ||
		    fputc('\n', stdout) == EOF)
			return output_unwritten("the answer", error);
		return 0;
	}
	return call->given[FREEZE_AT] ? print_arrival(call, result, error) : 0;
}
