/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing reports of crashes. A report that cannot be written is said once and
 * is no reason to end the fuzzing.
 */
#include "xlfork/fuzz_reports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/sys.h"
#include "xlfork/report.h"

/* What afl-fuzz calls the directory of this instance. */
#define ENV_OUT_DIR "__AFL_OUT_DIR"

int
fuzz_reports_init(struct fuzz_reports *reports, const char *dir,
    const struct lf_symbols *symbols, struct lf_kernel *kernel,
    struct lf_error *error)
{
	static char own[4096];
	struct stat st;

	*reports = (struct fuzz_reports){
	    .dir = dir, .symbols = symbols, .kernel = kernel};
	if (dir == NULL && getenv(ENV_OUT_DIR) != NULL) {
		snprintf(own, sizeof(own), "%s/reports", getenv(ENV_OUT_DIR));
		reports->dir = own;
	}
	if (reports->dir == NULL || sys.mkdir(reports->dir, 0777) == 0)
		return 0;
	if (errno != EEXIST)
		return error_sys(
		    error, errno, "cannot make '%s'", reports->dir);
	if (sys.stat(reports->dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(
		    error, ENOTDIR, "'%s' is no directory", reports->dir);
	return 0;
}

static int
write_file(const struct fuzz_reports *reports, const char *id,
    const char *ending, const void *bytes, size_t len)
{
	cleanup_close int fd = -1;
	char path[4200];
	int rc;

	snprintf(path, sizeof(path), "%s/%s.%s", reports->dir, id, ending);
	fd = sys.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return 0;
	rc = fd < 0 ? -errno : io_write_all(fd, bytes, len);
	if (rc == 0)
		return 0;
	/* Half a report would be taken for a whole one by the next run. */
	if (fd >= 0)
		unlink(path);
	report("cannot write '%s': %s", path, strerror(-rc));
	return -1;
}

static bool
is_known(struct fuzz_reports *reports, const char *id)
{
	size_t i;

	for (i = 0; i < reports->count; i++)
		if (strcmp(reports->ids[i], id) == 0)
			return true;
	if (reports->count == FUZZ_REPORTS_MAX)
		return true;
	strcpy(reports->ids[reports->count++], id);
	return false;
}

void
fuzz_reports_on_crash(void *opaque, struct lf_fuzz *fuzz,
    const struct lf_fuzz_outcome *outcome, const void *input, size_t len)
{
	struct fuzz_reports *reports = opaque;
	struct lf_crash *crash;
	struct lf_error error;
	const char *text, *json;

	if (reports->dir == NULL)
		return;
	if (lf_fuzz_crash(fuzz, outcome, reports->symbols, reports->kernel,
		&crash, &error) < 0) {
		report("no report of a crash: %s", error.message);
		return;
	}
	if (!is_known(reports, lf_crash_id(crash))) {
		text = lf_crash_text(crash);
		json = lf_crash_json(crash);
		if (write_file(reports, lf_crash_id(crash), "txt", text,
			strlen(text)) < 0 ||
		    write_file(reports, lf_crash_id(crash), "json", json,
			strlen(json)) < 0 ||
		    write_file(
			reports, lf_crash_id(crash), "input", input, len) < 0)
			reports->dir = NULL;
	}
	lf_crash_free(crash);
}
