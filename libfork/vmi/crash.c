/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Collecting what there is to know of a crash.
 */
#include "vmi/crash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "insn/insn.h"
#include "vmi/crash_context.h"
#include "vmi/kernel.h"
#include "vmi/space.h"
#include "vmi/stack.h"

/* Lines of the guest's log in a report. */
#define LOG_LINES 25

/* Frames that the id is made of. */
#define ID_FRAMES 3

/* Instructions before the one at which it stands; a function is decoded from
 * its begin for them, but not more than so much of it. */
#define CODE_BEFORE    5
#define FUNCTION_BYTES 8192UL

/* --- code --- */

/* One instruction's text: its length, or 0. */
static size_t
disassemble(
    const struct vmi_space *space, uint64_t address, struct crash_code *ret)
{
	uint8_t bytes[INSN_MAX];
	size_t len = sizeof(bytes);
	int n;

	while (len > 0 && vmi_space_read(space, address, bytes, len, NULL) < 0)
		len--;
	if (len == 0)
		return 0;
	ret->address = address;
	n = insn_text(
	    INSN_64, bytes, len, address, ret->text, sizeof(ret->text), NULL);
	return n > 0 ? (size_t)n : 0;
}

static void
add_code(struct lf_crash *crash, const struct crash_code *code)
{
	if (crash->code_count == CRASH_CODE_MAX) {
		memmove(crash->code, crash->code + 1,
		    sizeof(crash->code) - sizeof(crash->code[0]));
		crash->code_count--;
	}
	crash->code[crash->code_count++] = *code;
}

/* From the function's begin up to RIP: the last few are kept. */
static void
collect_before(struct lf_crash *crash, const struct vmi_space *space)
{
	uint64_t rip = crash->regs.rip, at;
	struct lf_symbol symbol;
	struct crash_code code;
	size_t len;

	if (lf_symbols_find(crash->symbols, rip, &symbol) < 0 ||
	    rip - symbol.address > FUNCTION_BYTES)
		return;
	for (at = symbol.address; at < rip; at += len) {
		len = disassemble(space, at, &code);
		if (len == 0)
			break;
		add_code(crash, &code);
		if (crash->code_count > CODE_BEFORE) {
			memmove(crash->code, crash->code + 1,
			    CODE_BEFORE * sizeof(crash->code[0]));
			crash->code_count--;
		}
	}
	/* It was not met: those before were others. */
	if (at != rip)
		crash->code_count = 0;
}

static void
collect_code(struct lf_crash *crash, const struct vmi_space *space)
{
	uint64_t at = crash->regs.rip;
	struct crash_code code;
	size_t len;

	if (crash->symbols != NULL)
		collect_before(crash, space);
	while (crash->code_count < CRASH_CODE_MAX &&
	       (len = disassemble(space, at, &code)) > 0) {
		add_code(crash, &code);
		at += len;
	}
}

/* --- the id --- */

static uint64_t
mix(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *byte = bytes;

	while (len-- > 0)
		hash = (hash ^ *byte++) * 0x100000001b3ULL;
	return hash;
}

/* Numbers of a text differ from crash to crash: process ids, addresses. */
static uint64_t
mix_kind(uint64_t hash, const char *what)
{
	for (; *what != '\0'; what++) {
		if (what[0] == '0' && what[1] == 'x') {
			what += strspn(what + 2, "0123456789abcdefABCDEF") + 1;
			continue;
		}
		if (*what < '0' || *what > '9')
			hash = mix(hash, what, 1);
	}
	return hash;
}

static uint64_t
mix_place(uint64_t hash, const struct lf_symbols *symbols, uint64_t address)
{
	struct lf_symbol symbol;

	if (symbols != NULL && lf_symbols_find(symbols, address, &symbol) == 0)
		return mix(hash, symbol.name, strlen(symbol.name) + 1);
	return mix(hash, &address, sizeof(address));
}

/*
 * An endless recursion is one cause at any depth, and what lies on the stack
 * where nothing calls is anything: a function that repeats counts once.
 */
static void
make_id(struct lf_crash *crash)
{
	uint64_t hash = mix_kind(0xcbf29ce484222325ULL, crash->what);
	uint64_t last, next;
	size_t i, used = 0;

	hash = mix_place(hash, crash->symbols, crash->regs.rip);
	last = mix_place(0, crash->symbols, crash->regs.rip);
	for (i = 0; i < crash->frame_count && used < ID_FRAMES; i++) {
		/* The call is before it, at a function's end too. */
		next = mix_place(0, crash->symbols, crash->frames[i] - 1);
		if (next == last)
			continue;
		last = next;
		hash = mix(hash, &next, sizeof(next));
		used++;
	}
	snprintf(crash->id, sizeof(crash->id), "%016" PRIx64, hash);
}

/* --- all of it --- */

static int
collect(struct lf_crash *crash, struct lf_domain *domain,
    const struct lf_crash_options *options, struct lf_error *error)
{
	struct vmi_space space;
	char *byte;
	int rc;

	snprintf(crash->what, sizeof(crash->what), "%s", options->what);
	crash->symbols = options->symbols;
	rc = lf_vcpu_read_regs(domain, options->vcpu, &crash->vcpu, error);
	if (rc == 0)
		rc = vmi_space_init(&space, domain, options->vcpu, error);
	if (rc < 0)
		return rc;
	crash->regs = crash->vcpu;
	crash->from_sink =
	    crash_context_regs(&space, options->context, &crash->regs);
	collect_code(crash, &space);
	rc = vmi_stack(&space, &crash->regs, crash->frames, LF_CRASH_FRAMES_MAX,
	    &crash->chained, error);
	if (rc < 0)
		return rc;
	crash->frame_count = (size_t)rc;
	if (options->kernel != NULL)
		kernel_look_at(options->kernel, domain);
	if (options->kernel != NULL &&
	    lf_kernel_log(options->kernel, LOG_LINES, &crash->log, NULL) < 0)
		crash->log = NULL;
	/* The guest's words: JSON takes UTF-8 only. */
	for (byte = crash->log; byte != NULL && *byte != '\0'; byte++)
		if (*byte & 0x80)
			*byte = '?';
	make_id(crash);
	return crash_write(crash, error);
}

int
lf_crash_new(struct lf_domain *domain, const struct lf_crash_options *options,
    struct lf_crash **ret_crash, struct lf_error *error)
{
	struct lf_crash *crash = sys.calloc(1, sizeof(*crash));
	int rc;

	if (crash == NULL)
		return error_nomem(error);
	rc = collect(crash, domain, options, error);
	crash->symbols = NULL;
	if (rc < 0) {
		lf_crash_free(crash);
		return rc;
	}
	*ret_crash = crash;
	return 0;
}

void
lf_crash_free(struct lf_crash *crash)
{
	if (crash == NULL)
		return;
	free(crash->log);
	free(crash->text);
	free(crash->json);
	free(crash);
}

const char *
lf_crash_id(const struct lf_crash *crash)
{
	return crash->id;
}

const char *
lf_crash_text(const struct lf_crash *crash)
{
	return crash->text;
}

const char *
lf_crash_json(const struct lf_crash *crash)
{
	return crash->json;
}
