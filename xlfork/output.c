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

/* Narrower than this, a long text is not wrapped. */
#define WRAP_MIN 20

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
	int rc;
	struct libscols_column *c =
	    scols_table_new_column(out->table, column->header, 0,
		flags[column->kind] | (column->hidden ? SCOLS_FL_HIDDEN : 0));

	if (c == NULL)
		return -ENOMEM;
	rc = scols_column_set_json_type(c, column->kind == OUTPUT_NUMBER
					       ? SCOLS_JSON_NUMBER
					       : SCOLS_JSON_STRING);
	/* libsmartcols breaks inside words; lines are made beforehand. */
	if (rc == 0 && column->kind == OUTPUT_LONG)
		rc = scols_column_set_wrapfunc(
		    c, scols_wrapnl_chunksize, scols_wrapnl_nextchunk, NULL);
	if (rc == 0 && column->kind == OUTPUT_LONG)
		rc = scols_column_set_safechars(c, "\n");
	return rc;
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

/* Characters of a UTF-8 text. */
static size_t
text_width(const char *text)
{
	size_t width = 0;

	for (; text != NULL && *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static const char *
cell_text(struct output *out, size_t line, size_t column)
{
	return scols_cell_get_data(scols_line_get_cell(
	    scols_table_get_line(out->table, line), column));
}

/* What a column takes, its separator included. */
static size_t
column_width(struct output *out, size_t column)
{
	struct libscols_column *c = scols_table_get_column(out->table, column);
	size_t i, width = 0, lines = scols_table_get_nlines(out->table);

	if (!scols_table_is_noheadings(out->table))
		width = text_width(scols_column_get_name(c));
	for (i = 0; i < lines; i++) {
		size_t cell = text_width(cell_text(out, i, column));

		width = cell > width ? cell : width;
	}
	return width + 1;
}

/* Breaks a text between words into lines of `width`, where that is possible. */
static void
break_lines(char *text, size_t width)
{
	char *line = text, *space = NULL, *c;

	for (c = text; *c != '\0'; c++) {
		if (*c == ' ')
			space = c;
		if ((size_t)(c - line) >= width && space != NULL) {
			*space = '\n';
			line = space + 1;
			space = NULL;
		}
	}
}

/* On a terminal the last column, if its text is long, gets what is left. */
static int
wrap_last_column(struct output *out)
{
	size_t columns = scols_table_get_ncols(out->table), i, used = 0;
	size_t total = scols_table_get_termwidth(out->table);
	struct libscols_column *last =
	    scols_table_get_column(out->table, columns - 1);

	if (!scols_column_is_wrap(last))
		return 0;
	for (i = 0; i + 1 < columns; i++)
		used += column_width(out, i);
	for (i = 0; i < scols_table_get_nlines(out->table); i++) {
		const char *text = cell_text(out, i, columns - 1);
		char *broken;

		if (text == NULL)
			continue;
		broken = sys.strdup(text);
		if (broken == NULL)
			return -ENOMEM;
		break_lines(
		    broken, total > used + WRAP_MIN ? total - used : WRAP_MIN);
		if (scols_line_refer_data(scols_table_get_line(out->table, i),
			columns - 1, broken) < 0) {
			free(broken);
			return -ENOMEM;
		}
	}
	return 0;
}

int
output_print(struct output *out, struct lf_error *error)
{
	if (!out->json && isatty(fileno(out->stream)) &&
	    wrap_last_column(out) < 0)
		out->failed = true;
	if (out->failed)
		return error_nomem(error);
	if (scols_print_table(out->table) < 0 || fflush(out->stream) != 0)
		return output_unwritten("the table", error);
	return 0;
}

int
output_unwritten(const char *what, struct lf_error *error)
{
	return error_sys(
	    error, errno != 0 ? errno : EIO, "cannot write %s", what);
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
