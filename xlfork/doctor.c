/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of findings.
 */
#include "xlfork/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "xlfork/output.h"

struct doctor {
	struct output *out;
	char missing[256]; /* vital things, as a list */
};

enum {
	COLUMN_STATUS,
	COLUMN_WHAT,
	COLUMN_FOUND,
	COLUMN_COUNT,
};

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
doctor_add(
    struct doctor *doctor, const char *what, const struct finding *finding)
{
	static const struct {
		const char *name, *color;
	} grades[] = {
	    [GRADE_GOOD] = {"good", "green"},
	    [GRADE_LIMITED] = {"limited", "yellow"},
	    [GRADE_MISSING] = {"missing", "red"},
	};
	struct output_line *line = output_line(doctor->out, NULL);
	size_t used = strlen(doctor->missing);

	output_cell(doctor->out, line, COLUMN_STATUS, "%s",
	    grades[finding->grade].name);
	output_color(
	    doctor->out, line, COLUMN_STATUS, grades[finding->grade].color);
	output_cell(doctor->out, line, COLUMN_WHAT, "%s", what);
	output_cell(doctor->out, line, COLUMN_FOUND, "%s", finding->text);
	if (finding->grade == GRADE_MISSING && finding->vital)
		snprintf(doctor->missing + used, sizeof(doctor->missing) - used,
		    "%s%s", used > 0 ? ", " : "", what);
}

int
doctor_run(FILE *stream, bool json, struct lf_error *error)
{
	static const struct output_column columns[COLUMN_COUNT] = {
	    [COLUMN_STATUS] = {"STATUS", OUTPUT_TEXT},
	    [COLUMN_WHAT] = {"WHAT", OUTPUT_TEXT},
	    [COLUMN_FOUND] = {"FOUND", OUTPUT_LONG},
	};
	cleanup_output struct output *out = NULL;
	struct doctor doctor = {.missing = ""};
	int rc;

	out = output_new(stream, "checks", columns, COLUMN_COUNT,
	    json ? OUTPUT_JSON : OUTPUT_NO_HEADER);
	if (out == NULL)
		return error_nomem(error);
	doctor.out = out;
	check_kvm(&doctor);
	check_programs(&doctor);
	check_kernel(&doctor);
	check_limits(&doctor);
	rc = output_print(out, error);
	if (rc == 0 && doctor.missing[0] != '\0')
		return error_set(error, ENOENT,
		    "nothing works without what is missing here: %s",
		    doctor.missing);
	return rc;
}
