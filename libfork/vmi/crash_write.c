/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash reports as text and as JSON.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/sys.h"
#include "base/writer.h"
#include "snapshot/hex_json.h"
#include "vmi/crash.h"

/* Registers in the order in which they are shown. */
static const struct {
	const char *name;
	size_t offset;
} shown[] = {
#define SHOWN(reg)                                       \
	{                                                \
#reg, offsetof(struct lf_vcpu_regs, reg) \
	}
    SHOWN(rip),
    SHOWN(rflags),
    SHOWN(rsp),
    SHOWN(rbp),
    SHOWN(rax),
    SHOWN(rbx),
    SHOWN(rcx),
    SHOWN(rdx),
    SHOWN(rsi),
    SHOWN(rdi),
    SHOWN(r8),
    SHOWN(r9),
    SHOWN(r10),
    SHOWN(r11),
    SHOWN(r12),
    SHOWN(r13),
    SHOWN(r14),
    SHOWN(r15),
    SHOWN(cr2),
    SHOWN(cr3),
#undef SHOWN
};

#define SHOWN_COUNT (sizeof(shown) / sizeof(shown[0]))

static uint64_t
value_of(const struct lf_vcpu_regs *regs, size_t index)
{
	uint64_t value;

	memcpy(&value, (const char *)regs + shown[index].offset, sizeof(value));
	return value;
}

static void __attribute__((format(printf, 2, 3)))
put(struct writer *writer, const char *format, ...)
{
	char line[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (len >= (int)sizeof(line))
		len = sizeof(line) - 1;
	writer_bytes(writer, line, (size_t)len);
}

/* A function that ends with a call has the address behind it no more. */
static const char *
format_return(
    const struct lf_crash *crash, uint64_t address, char *buf, size_t size)
{
	struct lf_symbol symbol;

	if (crash->symbols == NULL ||
	    lf_symbols_find(crash->symbols, address - 1, &symbol) < 0)
		return lf_symbols_format(crash->symbols, address, buf, size);
	snprintf(buf, size, "%s+0x%" PRIx64 "%s%s%s", symbol.name,
	    address - symbol.address, symbol.module != NULL ? " [" : "",
	    symbol.module != NULL ? symbol.module : "",
	    symbol.module != NULL ? "]" : "");
	return buf;
}

/* --- text --- */

static void
put_regs(
    struct writer *writer, const char *title, const struct lf_vcpu_regs *regs)
{
	size_t i;

	put(writer, "\n%s:\n", title);
	for (i = 0; i < SHOWN_COUNT; i++)
		put(writer, "  %-6s 0x%016" PRIx64 "%s", shown[i].name,
		    value_of(regs, i),
		    i % 3 == 2 || i + 1 == SHOWN_COUNT ? "\n" : "");
}

static void
put_code(struct writer *writer, const struct lf_crash *crash)
{
	char place[160];
	size_t i;

	put(writer, "\nCode:\n");
	for (i = 0; i < crash->code_count; i++)
		put(writer, "  %s %s: %s\n",
		    crash->code[i].address == crash->regs.rip ? "=>" : "  ",
		    lf_symbols_format(crash->symbols, crash->code[i].address,
			place, sizeof(place)),
		    crash->code[i].text);
	if (crash->code_count == 0)
		put(writer, "  none that can be read at 0x%" PRIx64 "\n",
		    crash->regs.rip);
}

static void
put_stack(struct writer *writer, const struct lf_crash *crash)
{
	char place[160];
	size_t i;

	put(writer, "\n%s:\n",
	    crash->chained
		? "Callers, by frame pointers"
		: "Return addresses on the stack (some may be left from "
		  "calls that have returned)");
	for (i = 0; i < crash->frame_count; i++)
		put(writer, "  0x%016" PRIx64 " %s\n", crash->frames[i],
		    format_return(
			crash, crash->frames[i], place, sizeof(place)));
	if (crash->frame_count == 0)
		put(writer, "  none\n");
}

static int
write_text(struct lf_crash *crash, struct lf_error *error)
{
	struct writer writer;
	char place[160];
	int rc;

	writer_init(&writer);
	put(&writer, "Crash: %s\nId: %s\nAt: %s\n", crash->what, crash->id,
	    lf_symbols_format(
		crash->symbols, crash->regs.rip, place, sizeof(place)));
	put_regs(&writer,
	    crash->from_sink ? "Registers of what went wrong" : "Registers",
	    &crash->regs);
	put_code(&writer, crash);
	put_stack(&writer, crash);
	if (crash->from_sink)
		put_regs(&writer, "Registers at the sink", &crash->vcpu);
	if (crash->log != NULL) {
		put(&writer, "\nEnd of the guest's log:\n");
		writer_bytes(&writer, crash->log, strlen(crash->log));
	}
	writer_u8(&writer, '\0');
	rc = writer_status(&writer, error);
	if (rc < 0) {
		writer_done(&writer);
		return rc;
	}
	crash->text = (char *)writer.data;
	return 0;
}

/* --- JSON --- */

static json_t *
place_json(uint64_t address, const char *place)
{
	return json_pack(
	    "{s:o, s:s}", "address", hex_number_write(address), "place", place);
}

static json_t *
regs_json(const struct lf_vcpu_regs *regs)
{
	json_t *object = json_object();
	size_t i;

	for (i = 0; i < SHOWN_COUNT; i++)
		json_object_set_new(
		    object, shown[i].name, hex_number_write(value_of(regs, i)));
	return object;
}

static json_t *
code_json(const struct lf_crash *crash)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < crash->code_count; i++)
		json_array_append_new(
		    array, json_pack("{s:o, s:s}", "address",
			       hex_number_write(crash->code[i].address), "text",
			       crash->code[i].text));
	return array;
}

static json_t *
stack_json(const struct lf_crash *crash)
{
	json_t *array = json_array();
	char place[160];
	size_t i;

	for (i = 0; i < crash->frame_count; i++)
		json_array_append_new(
		    array, place_json(crash->frames[i],
			       format_return(crash, crash->frames[i], place,
				   sizeof(place))));
	return array;
}

static int
write_json(struct lf_crash *crash, struct lf_error *error)
{
	json_t *object;
	char place[160];
	size_t len;

	object = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:s*}", "id",
	    crash->id, "what", crash->what, "at",
	    place_json(
		crash->regs.rip, lf_symbols_format(crash->symbols,
				     crash->regs.rip, place, sizeof(place))),
	    "registers", regs_json(&crash->regs), "code", code_json(crash),
	    "stack", stack_json(crash), "stack_from",
	    crash->chained ? "frame pointers" : "scan", "log", crash->log);
	crash->json = json_text(object, JSON_INDENT(1), &len);
	json_decref(object);
	return crash->json != NULL ? 0 : error_nomem(error);
}

int
crash_write(struct lf_crash *crash, struct lf_error *error)
{
	int rc = write_text(crash, error);

	return rc == 0 ? write_json(crash, error) : rc;
}
