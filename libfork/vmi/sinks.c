/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sinks by name. The groups have functions of kernels from 5.10 on, each as
 * early as it is certain that something went wrong: before the kernel writes to
 * a console, which a fork without device model does not have.
 */
#include <libfork/crash.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static const struct {
	const char *group;
	const char *name;
	enum lf_sink_context context;
} linux_sinks[] = {
    {LF_SINKS_OOPS, "panic", LF_SINK_TEXT},
    {LF_SINKS_OOPS, "page_fault_oops", LF_SINK_REGS_1},
    {LF_SINKS_OOPS, "die", LF_SINK_REGS_2},
    {LF_SINKS_OOPS, "die_addr", LF_SINK_REGS_2},
    {LF_SINKS_OOPS, "oops_begin", LF_SINK_PLAIN},
    {LF_SINKS_OOPS, "__stack_chk_fail", LF_SINK_PLAIN},
    {LF_SINKS_OOPS, "fortify_panic", LF_SINK_TEXT},
    {LF_SINKS_OOPS, "__fortify_panic", LF_SINK_PLAIN},
    {LF_SINKS_OOPS, "usercopy_abort", LF_SINK_TEXT},
    {LF_SINKS_KASAN, "kasan_report", LF_SINK_PLAIN},
    {LF_SINKS_KASAN, "kasan_report_invalid_free", LF_SINK_PLAIN},
    {LF_SINKS_KASAN, "kfence_report_error", LF_SINK_PLAIN},
    {LF_SINKS_KASAN, "kmsan_report", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_add_overflow", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_sub_overflow", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_mul_overflow", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_negate_overflow", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_divrem_overflow", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_type_mismatch", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_type_mismatch_v1", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_out_of_bounds", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_shift_out_of_bounds", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_builtin_unreachable", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_load_invalid_value", LF_SINK_PLAIN},
    {LF_SINKS_UBSAN, "__ubsan_handle_alignment_assumption", LF_SINK_PLAIN},
    /* Faults, at once; abort() and the like, when they kill. */
    {LF_SINKS_USER, "force_sig_fault", LF_SINK_SIGNAL},
    {LF_SINKS_USER, "force_sig", LF_SINK_SIGNAL},
    {LF_SINKS_USER, "force_sigsegv", LF_SINK_SIGNAL},
    {LF_SINKS_USER, "do_coredump", LF_SINK_SIGINFO},
};

#define LINUX_SINKS (sizeof(linux_sinks) / sizeof(linux_sinks[0]))

static int
add(const char *name, uint64_t address, enum lf_sink_context context,
    struct lf_sink *sinks, size_t *count, struct lf_error *error)
{
	struct lf_sink *sink;
	size_t i;

	for (i = 0; i < *count; i++)
		if (sinks[i].address == address)
			return 0;
	if (*count == LF_SINKS_MAX)
		return error_set(
		    error, E2BIG, "more than %d sinks", LF_SINKS_MAX);
	sink = &sinks[(*count)++];
	sink->address = address;
	sink->context = context;
	snprintf(sink->name, sizeof(sink->name), "%s", name);
	return 0;
}

static void
say_missing(const char *name, char *missing, size_t size)
{
	size_t len = missing != NULL ? strlen(missing) : 0;

	if (missing != NULL && len + 1 < size)
		snprintf(missing + len, size - len, "%s%s", len > 0 ? " " : "",
		    name);
}

static bool
is_group(const char *text)
{
	size_t i;

	if (strcmp(text, LF_SINKS_LINUX) == 0)
		return true;
	for (i = 0; i < LINUX_SINKS; i++)
		if (strcmp(text, linux_sinks[i].group) == 0)
			return true;
	return false;
}

static int
add_group(const char *group, const struct lf_symbols *symbols,
    struct lf_sink *sinks, size_t *count, char *missing, size_t size,
    struct lf_error *error)
{
	bool all = strcmp(group, LF_SINKS_LINUX) == 0;
	size_t i, found = 0;
	int rc = 0;

	if (symbols == NULL)
		return error_set(error, ENOENT,
		    "sinks '%s' are found by symbols, and there are none",
		    group);
	for (i = 0; i < LINUX_SINKS && rc == 0; i++) {
		struct lf_symbol symbol;

		if (!all && strcmp(linux_sinks[i].group, group) != 0)
			continue;
		if (lf_symbols_lookup(
			symbols, linux_sinks[i].name, &symbol, NULL) < 0) {
			say_missing(linux_sinks[i].name, missing, size);
			continue;
		}
		found++;
		rc = add(linux_sinks[i].name, symbol.address,
		    linux_sinks[i].context, sinks, count, error);
	}
	if (rc == 0 && found == 0)
		rc = error_set(error, ENOENT,
		    "none of the sinks '%s' is among the symbols: are they a "
		    "Linux kernel's?",
		    group);
	return rc;
}

/* One of the groups' functions named alone has its context, too. */
static enum lf_sink_context
context_of(const char *name)
{
	size_t i;

	for (i = 0; i < LINUX_SINKS; i++)
		if (strcmp(linux_sinks[i].name, name) == 0)
			return linux_sinks[i].context;
	return LF_SINK_PLAIN;
}

int
lf_sinks_add(const char *text, const struct lf_symbols *symbols,
    struct lf_sink *sinks, size_t *count, char *missing, size_t size,
    struct lf_error *error)
{
	uint64_t address;
	int rc;

	if (missing != NULL && size > 0)
		missing[0] = '\0';
	if (is_group(text))
		return add_group(
		    text, symbols, sinks, count, missing, size, error);
	rc = lf_symbols_resolve(symbols, text, &address, error);
	return rc == 0
		   ? add(text, address, context_of(text), sinks, count, error)
		   : rc;
}
