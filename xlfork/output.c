/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables by libsmartcols.
 */
#include "xlfork/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <libsmartcols.h>

#include "base/error.h"
#include "base/sys.h"

struct output {
	struct libscols_table *table;
	FILE *stream;
	bool json;
	bool failed;
};

static int
add_column(struct output *out, const struct output_column *column)
{
	static const int flags[] = {
	    [OUTPUT_TEXT] = 0,
	    [OUTPUT_NUMBER] = SCOLS_FL_RIGHT,
	    [OUTPUT_TREE] = SCOLS_FL_TREE,
	    [OUTPUT_LONG] = SCOLS_FL_WRAP,
	};
	struct libscols_column *c = scols_table_new_column(
	    out->table, column->header, 0, flags[column->kind]);

	if (c == NULL)
		return -ENOMEM;
	return scols_column_set_json_type(c, column->kind == OUTPUT_NUMBER
						 ? SCOLS_JSON_NUMBER
						 : SCOLS_JSON_STRING);
}

struct output *
output_new(FILE *stream, const char *name, const struct output_column *columns,
    size_t count, unsigned flags)
{
	cleanup_output struct output *out = sys.calloc(1, sizeof(*out));
	bool terminal = isatty(fileno(stream)) != 0;
	const char *no_color = getenv("NO_COLOR");
	size_t i;

	if (out == NULL)
		return NULL;
	out->stream = stream;
	out->json = (flags & OUTPUT_JSON) != 0;
	out->table = scols_new_table();
	if (out->table == NULL)
		return NULL;
	scols_table_set_stream(out->table, stream);
	scols_table_enable_json(out->table, out->json);
	scols_table_enable_noheadings(
	    out->table, (flags & OUTPUT_NO_HEADER) != 0);
	scols_table_enable_colors(
	    out->table, terminal && (no_color == NULL || no_color[0] == '\0'));
	/* Into a pipe or a file every cell goes whole. */
	if (!terminal)
		scols_table_set_termforce(out->table, SCOLS_TERMFORCE_NEVER);
	if (scols_table_set_name(out->table, name) < 0)
		return NULL;
	for (i = 0; i < count; i++)
		if (add_column(out, &columns[i]) < 0)
			return NULL;
	return take_ptr(out);
}

void
output_free(struct output *out)
{
	if (out == NULL)
		return;
	scols_unref_table(out->table);
	free(out);
}

bool
output_is_json(const struct output *out)
{
	return out->json;
}

/* struct output_line is libsmartcols' line under a name of ours. */
static struct libscols_line *
to_line(struct output_line *line)
{
	return (struct libscols_line *)line;
}

struct output_line *
output_line(struct output *out, struct output_line *parent)
{
	struct libscols_line *line =
	    scols_table_new_line(out->table, to_line(parent));

	if (line == NULL)
		out->failed = true;
	return (struct output_line *)line;
}

void
output_cell(struct output *out, struct output_line *line, unsigned column,
    const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int len;

	if (line == NULL)
		return;
	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0) {
		out->failed = true;
		return;
	}
	if (scols_line_refer_data(to_line(line), column, text) < 0) {
		out->failed = true;
		free(text);
	}
}

void
output_color(struct output *out, struct output_line *line, unsigned column,
    const char *color)
{
	struct libscols_cell *cell;

	if (line == NULL)
		return;
	cell = scols_line_get_cell(to_line(line), column);
	if (cell == NULL || scols_cell_set_color(cell, color) < 0)
		out->failed = true;
}

int
output_print(struct output *out, struct lf_error *error)
{
	if (out->failed)
		return error_nomem(error);
	if (scols_print_table(out->table) < 0 || fflush(out->stream) != 0)
		return error_sys(
		    error, errno != 0 ? errno : EIO, "cannot write the table");
	return 0;
}

const char *
output_size(uint64_t bytes, char buf[OUTPUT_SIZE_MAX])
{
	static const char units[] = {'B', 'K', 'M', 'G', 'T'};
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units)) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(buf, OUTPUT_SIZE_MAX, "%" PRIu64, bytes);
	else if (value < 100 && (uint64_t)(value * 10) % 10 != 0)
		snprintf(buf, OUTPUT_SIZE_MAX, "%.1f%c", value, units[unit]);
	else
		snprintf(buf, OUTPUT_SIZE_MAX, "%.0f%c", value, units[unit]);
	return buf;
}
