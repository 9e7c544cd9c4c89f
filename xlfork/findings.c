/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xlfork/findings.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/error.h"

enum {
	COLUMN_STATUS,
	COLUMN_WHAT,
	COLUMN_FOUND,
	COLUMN_COUNT,
};

int
findings_init(
    struct findings *findings, FILE *stream, bool json, struct lf_error *error)
{
	static const struct output_column columns[COLUMN_COUNT] = {
	    [COLUMN_STATUS] = {"STATUS", OUTPUT_TEXT, false},
	    [COLUMN_WHAT] = {"WHAT", OUTPUT_TEXT, false},
	    [COLUMN_FOUND] = {"FOUND", OUTPUT_LONG, false},
	};

	findings->missing[0] = '\0';
	findings->out = output_new(stream, "checks", columns, COLUMN_COUNT,
	    json ? OUTPUT_JSON : OUTPUT_NO_HEADER);
	return findings->out != NULL ? 0 : error_nomem(error);
}

void
findings_done(struct findings *findings)
{
	output_free(findings->out);
}

void
finding_set(struct finding *finding, enum grade grade, const char *format, ...)
{
	va_list args;

	finding->grade = grade;
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

void
findings_add(
    struct findings *findings, const char *what, const struct finding *finding)
{
	static const struct {
		const char *name, *color;
	} grades[] = {
	    [GRADE_GOOD] = {"good", "green"},
	    [GRADE_LIMITED] = {"limited", "yellow"},
	    [GRADE_MISSING] = {"missing", "red"},
	};
	struct output_line *line = output_line(findings->out, NULL);
	size_t used = strlen(findings->missing);

	output_cell(findings->out, line, COLUMN_STATUS, "%s",
	    grades[finding->grade].name);
	output_color(
	    findings->out, line, COLUMN_STATUS, grades[finding->grade].color);
	output_cell(findings->out, line, COLUMN_WHAT, "%s", what);
	output_cell(findings->out, line, COLUMN_FOUND, "%s", finding->text);
	if (finding->grade == GRADE_MISSING && finding->vital)
		snprintf(findings->missing + used,
		    sizeof(findings->missing) - used, "%s%s",
		    used > 0 ? ", " : "", what);
}

int
findings_print(struct findings *findings, struct lf_error *error)
{
	int rc = output_print(findings->out, error);

	if (rc == 0 && findings->missing[0] != '\0')
		return error_set(error, ENOENT,
		    "nothing works without what is missing here: %s",
		    findings->missing);
	return rc;
}
