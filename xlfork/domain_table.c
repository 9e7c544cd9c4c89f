/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What forkd says of domains, as tables and lines.
 */
#include "xlfork/domain_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/sys.h"
#include "xlfork/output.h"

enum {
	COLUMN_ID,
	COLUMN_NAME,
	COLUMN_STATE,
	COLUMN_MEMORY,
	COLUMN_VCPUS,
	COLUMN_BACKEND,
	COLUMN_OWN_PAGES,
	COLUMN_PARENT,
	COLUMN_REASON,
	COLUMN_COUNT,
};

static const char *
text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static int64_t
number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *
state_color(const char *state)
{
	static const struct {
		const char *state, *color;
	} colors[] = {
	    {"running", "green"},
	    {"paused", "yellow"},
	    {"frozen", "cyan"},
	    {"crashed", "red"},
	};
	size_t i;

	for (i = 0; i < sizeof(colors) / sizeof(colors[0]); i++)
		if (strcmp(colors[i].state, state) == 0)
			return colors[i].color;
	return "";
}

static void
fill_line(struct output *out, struct output_line *line, const json_t *domain)
{
	const json_t *parent = json_object_get(domain, "parent");
	const char *state = text_of(domain, "state");
	char size[OUTPUT_SIZE_MAX];
	uint64_t memory = (uint64_t)number_of(domain, "memory");

	output_cell(out, line, COLUMN_ID, "%" PRId64, number_of(domain, "id"));
	if (text_of(domain, "name") != NULL)
		output_cell(
		    out, line, COLUMN_NAME, "%s", text_of(domain, "name"));
	if (state != NULL) {
		output_cell(out, line, COLUMN_STATE, "%s", state);
		output_color(out, line, COLUMN_STATE, state_color(state));
	}
	if (output_is_json(out))
		output_cell(out, line, COLUMN_MEMORY, "%" PRIu64, memory);
	else
		output_cell(
		    out, line, COLUMN_MEMORY, "%s", output_size(memory, size));
	output_cell(
	    out, line, COLUMN_VCPUS, "%" PRId64, number_of(domain, "vcpus"));
	if (text_of(domain, "backend") != NULL)
		output_cell(out, line, COLUMN_BACKEND, "%s",
		    text_of(domain, "backend"));
	if (json_object_get(domain, "own-pages") != NULL)
		output_cell(out, line, COLUMN_OWN_PAGES, "%" PRId64,
		    number_of(domain, "own-pages"));
	if (json_is_integer(parent))
		output_cell(out, line, COLUMN_PARENT, "%" PRId64,
		    (int64_t)json_integer_value(parent));
	if (text_of(domain, "reason") != NULL)
		output_cell(
		    out, line, COLUMN_REASON, "%s", text_of(domain, "reason"));
}

/*
 * Where row `index` has its parent, among the rows before it or after it; the
 * number of rows when it has none in the list.
 */
static size_t
parent_row(const json_t *domains, size_t index)
{
	const json_t *parent =
	    json_object_get(json_array_get(domains, index), "parent");
	size_t i, count = json_array_size(domains);

	for (i = 0; json_is_integer(parent) && i < count; i++)
		if (i != index && number_of(json_array_get(domains, i), "id") ==
				      json_integer_value(parent))
			return i;
	return count;
}

/* Adds row `index` below its parent, which is added first. */
static struct output_line *
add_row(struct output *out, const json_t *domains, struct output_line **lines,
    size_t index, bool tree, unsigned depth)
{
	size_t parent, count = json_array_size(domains);
	struct output_line *above = NULL;

	if (lines[index] != NULL)
		return lines[index];
	parent = parent_row(domains, index);
	/* The limit ends a circle, which a sane forkd never says. */
	if (tree && parent < count && depth < count)
		above = add_row(out, domains, lines, parent, tree, depth + 1);
	if (lines[index] == NULL) {
		lines[index] = output_line(out, above);
		fill_line(out, lines[index], json_array_get(domains, index));
	}
	return lines[index];
}

static bool
any_has(const json_t *domains, const char *key)
{
	size_t i;

	for (i = 0; i < json_array_size(domains); i++)
		if (json_object_get(json_array_get(domains, i), key) != NULL)
			return true;
	return false;
}

int
domain_table_print(
    FILE *stream, const json_t *domains, unsigned flags, struct lf_error *error)
{
	struct output_column columns[COLUMN_COUNT] = {
	    [COLUMN_ID] = {"ID", OUTPUT_NUMBER, false},
	    [COLUMN_NAME] = {"NAME", OUTPUT_TEXT, false},
	    [COLUMN_STATE] = {"STATE", OUTPUT_TEXT, false},
	    [COLUMN_MEMORY] = {"MEMORY", OUTPUT_NUMBER, false},
	    [COLUMN_VCPUS] = {"VCPUS", OUTPUT_NUMBER, false},
	    [COLUMN_BACKEND] = {"BACKEND", OUTPUT_TEXT, false},
	    [COLUMN_OWN_PAGES] = {"OWN-PAGES", OUTPUT_NUMBER,
		!any_has(domains, "own-pages")},
	    [COLUMN_PARENT] = {"PARENT", OUTPUT_NUMBER, false},
	    [COLUMN_REASON] = {"REASON", OUTPUT_LONG, false},
	};
	bool tree = (flags & DOMAIN_TABLE_TREE) != 0;
	bool json = (flags & DOMAIN_TABLE_JSON) != 0;
	cleanup_output struct output *out = NULL;
	cleanup_free struct output_line **lines = NULL;
	size_t i, count = json_array_size(domains);
	size_t shown = COLUMN_COUNT;

	/* A last column that says nothing is not worth its place. */
	if (!json && !any_has(domains, "reason"))
		shown =
		    any_has(domains, "parent") ? COLUMN_REASON : COLUMN_PARENT;
	if (tree)
		columns[COLUMN_NAME].kind = OUTPUT_TREE;
	lines = sys.calloc(count + 1, sizeof(*lines));
	out = output_new(
	    stream, "domains", columns, shown, json ? OUTPUT_JSON : 0);
	if (out == NULL || lines == NULL)
		return error_nomem(error);
	for (i = 0; i < count; i++)
		add_row(out, domains, lines, i, tree, 0);
	return output_print(out, error);
}

/*
 * Texts may quote what QEMU or a domain process said: control characters must
 * not reach the terminal.
 */
static void __attribute__((format(printf, 2, 0)))
print_args(FILE *stream, const char *format, va_list args)
{
	char text[4096];
	char *c;

	vsnprintf(text, sizeof(text), format, args);
	for (c = text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	fputs(text, stream);
}

static void __attribute__((format(printf, 2, 3)))
print_safe(FILE *stream, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_args(stream, format, args);
	va_end(args);
}

/* Lines "key:  value", the values below each other. */
static void __attribute__((format(printf, 3, 4)))
info_line(FILE *stream, const char *key, const char *format, ...)
{
	va_list args;

	fprintf(stream, "%-14s ", key);
	va_start(args, format);
	print_args(stream, format, args);
	va_end(args);
	fputc('\n', stream);
}

static void
info_text(FILE *stream, const json_t *info, const char *label, const char *key)
{
	const char *text = text_of(info, key);

	if (text != NULL)
		info_line(stream, label, "%s", text);
}

static void
info_memory(FILE *stream, const json_t *info)
{
	char total[OUTPUT_SIZE_MAX], own[OUTPUT_SIZE_MAX],
	    shared[OUTPUT_SIZE_MAX];

	output_size((uint64_t)number_of(info, "memory"), total);
	if (json_object_get(info, "memory-private") == NULL) {
		info_line(stream, "memory:", "%s", total);
		return;
	}
	output_size((uint64_t)number_of(info, "memory-private"), own);
	output_size((uint64_t)number_of(info, "memory-shared"), shared);
	info_line(stream, "memory:", "%s", total);
	info_line(stream,
	    "in use:", "%s of its own (with that of its QEMU), %s shared", own,
	    shared);
}

static void
info_holders(FILE *stream, const json_t *info)
{
	const json_t *holders = json_object_get(info, "holders");
	const char *label = "held by:";
	size_t i;

	for (i = 0; i < json_array_size(holders); i++) {
		const json_t *holder = json_array_get(holders, i);
		const char *name = text_of(holder, "name");

		if (json_object_get(holder, "process") != NULL)
			info_line(stream, label, "process %" PRId64,
			    number_of(holder, "process"));
		else
			info_line(stream, label, "domain %" PRId64 " %s",
			    number_of(holder, "id"), name != NULL ? name : "");
		label = "";
	}
}

static void
info_forwards(FILE *stream, const json_t *info)
{
	const json_t *forwards = json_object_get(info, "forwards");
	const char *label = "forwards:";
	size_t i;

	for (i = 0; i < json_array_size(forwards); i++) {
		const json_t *f = json_array_get(forwards, i);
		const char *protocol = text_of(f, "protocol");
		const char *host = text_of(f, "host");

		if (host != NULL)
			info_line(stream, label, "%s %s -> %" PRId64,
			    protocol != NULL ? protocol : "tcp", host,
			    number_of(f, "guest"));
		else
			info_line(stream, label,
			    "%s port %" PRId64 " -> %" PRId64,
			    protocol != NULL ? protocol : "tcp",
			    number_of(f, "host"), number_of(f, "guest"));
		label = "";
	}
}

static void
info_strings(
    FILE *stream, const json_t *info, const char *label, const char *key)
{
	const json_t *list = json_object_get(info, key);
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text != NULL)
			info_line(stream, label, "%s", text);
		label = "";
	}
}

static void
info_time(FILE *stream, const json_t *info)
{
	const json_t *created = json_object_get(info, "created");
	char text[64];
	struct tm tm;
	time_t when;

	if (json_is_string(created)) {
		info_text(stream, info, "created:", "created");
		return;
	}
	if (!json_is_number(created))
		return;
	when = (time_t)json_number_value(created);
	if (localtime_r(&when, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) > 0)
		info_line(stream, "created:", "%s", text);
}

/* What it stopped at, where that was a device access. */
static void
info_access(FILE *stream, const json_t *info)
{
	const json_t *access = json_object_get(info, "access");
	const char *kind = text_of(access, "kind");
	const char *address = text_of(access, "address");
	const char *direction = text_of(access, "direction");
	const char *data = text_of(access, "data");

	if (kind == NULL || address == NULL || direction == NULL)
		return;
	info_line(stream, "access:", "%s %s %s, size %" PRId64 "%s%s", kind,
	    address, direction, number_of(access, "size"),
	    data != NULL ? ", data " : "", data != NULL ? data : "");
}

/* Four registers a line, in the order in which they come. */
static void
info_registers(FILE *stream, const json_t *info)
{
	const json_t *list = json_object_get(info, "registers");
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		json_t *vcpu = json_array_get(list, i), *value;
		char label[32], line[256] = "";
		const char *name;
		size_t used = 0, count = 0;

		snprintf(label, sizeof(label), "vCPU %" PRId64 ":",
		    number_of(vcpu, "vcpu"));
		json_object_foreach(vcpu, name, value)
		{
			if (!json_is_string(value))
				continue;
			used +=
			    (size_t)snprintf(line + used, sizeof(line) - used,
				"%s%.12s=%.24s", used > 0 ? " " : "", name,
				json_string_value(value));
			if (++count % 4 != 0)
				continue;
			info_line(stream, label, "%s", line);
			label[0] = line[0] = '\0';
			used = 0;
		}
		if (used > 0)
			info_line(stream, label, "%s", line);
	}
}

static void
info_state(FILE *stream, const json_t *info)
{
	const char *state = text_of(info, "state");
	const char *reason = text_of(info, "reason");

	if (state != NULL && reason != NULL)
		info_line(stream, "state:", "%s (%s)", state, reason);
	else
		info_text(stream, info, "state:", "state");
}

static void
info_console(FILE *stream, const json_t *info)
{
	const json_t *console = json_object_get(info, "console");
	const char *type = text_of(console, "type");
	const char *path = text_of(console, "path");

	if (type != NULL)
		info_line(stream, "console:", "%s%s%s", type,
		    path != NULL ? " " : "", path != NULL ? path : "");
}

static void
info_accelerator(FILE *stream, const json_t *info)
{
	const char *name = text_of(info, "accelerator");
	const char *reason = text_of(info, "accelerator-reason");

	if (name != NULL && reason != NULL && reason[0] != '\0')
		info_line(stream, "accelerator:", "%s (%s)", name, reason);
	else
		info_text(stream, info, "accelerator:", "accelerator");
}

static void
info_processes(FILE *stream, const json_t *info)
{
	int64_t pid = number_of(info, "pid");
	int64_t qemu = number_of(info, "qemu-pid");

	if (pid != 0)
		info_line(stream, "process:", "%" PRId64, pid);
	if (qemu != 0)
		info_line(stream, "QEMU:", "%" PRId64, qemu);
}

int
domain_info_print(FILE *stream, const json_t *info, struct lf_error *error)
{
	info_line(stream, "id:", "%" PRId64, number_of(info, "id"));
	info_text(stream, info, "name:", "name");
	info_text(stream, info, "uuid:", "uuid");
	info_state(stream, info);
	info_access(stream, info);
	info_time(stream, info);
	if (json_object_get(info, "parent") != NULL)
		info_line(stream, "forked from:", "domain %" PRId64,
		    number_of(info, "parent"));
	info_holders(stream, info);
	info_text(stream, info, "backend:", "backend");
	info_accelerator(stream, info);
	info_text(stream, info, "machine:", "machine");
	info_line(stream, "vcpus:", "%" PRId64, number_of(info, "vcpus"));
	info_memory(stream, info);
	info_console(stream, info);
	info_text(stream, info, "vnc:", "vnc");
	info_forwards(stream, info);
	info_strings(stream, info, "overlays:", "overlays");
	info_processes(stream, info);
	info_registers(stream, info);
	info_strings(stream, info, "log:", "log");
	if (fflush(stream) != 0 || ferror(stream))
		return output_unwritten("the answer", error);
	return 0;
}

void
domain_event_print(FILE *stream, const json_t *event)
{
	const json_t *data = json_object_get(event, "data");
	const json_t *stamp = json_object_get(event, "timestamp");
	const char *name = text_of(event, "event");
	const char *state = text_of(data, "state");
	const char *reason = text_of(data, "reason");
	const char *domain = text_of(data, "name");
	time_t when = (time_t)number_of(stamp, "seconds");
	char clock[16] = "";
	struct tm tm;

	if (localtime_r(&when, &tm) != NULL)
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	print_safe(stream, "%s.%03d domain %" PRId64 " %s ", clock,
	    (int)(number_of(stamp, "microseconds") / 1000 % 1000),
	    number_of(data, "id"), domain != NULL ? domain : "");
	if (name == NULL)
		name = "?";
	if (strcmp(name, "DOMAIN_CREATED") == 0 &&
	    json_object_get(data, "parent") != NULL)
		print_safe(stream, "forked from domain %" PRId64,
		    number_of(data, "parent"));
	else if (strcmp(name, "DOMAIN_CREATED") == 0)
		fputs("created", stream);
	else if (strcmp(name, "DOMAIN_STATE") == 0)
		print_safe(stream, "%s", state != NULL ? state : "?");
	else if (strcmp(name, "DOMAIN_LAUNCHED") == 0)
		fputs("has its device model", stream);
	else if (strcmp(name, "DOMAIN_RENAMED") == 0)
		fputs("has this name now", stream);
	else if (strcmp(name, "DOMAIN_DESTROYED") == 0)
		fputs("gone", stream);
	else
		print_safe(stream, "%s", name);
	if (reason != NULL)
		print_safe(stream, " (%s)", reason);
	fputc('\n', stream);
}
