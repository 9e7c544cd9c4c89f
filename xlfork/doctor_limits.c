/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What doctor looks at beside the kernel's abilities: limits, memory,
 * directories.
 */
#include "xlfork/doctor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "control/paths.h"
#include "xlfork/output.h"
#include "xlfork/proc_file.h"

/*
 * For 1,000 forks. One with a device model costs forkd and the domain processes
 * some ten descriptors and two processes.
 */
#define FILES_WANTED     16384
#define PROCESSES_WANTED 4096

/* The kernel's default; mappings of a process. */
#define MAPS_WANTED 65530

/* Less leaves no room for a guest and its forks. */
#define MEMORY_WANTED (UINT64_C(1) << 30)
#define DISK_WANTED   (UINT64_C(1) << 30)

static void
check_files(struct findings *findings)
{
	struct finding f = {.vital = false};
	struct rlimit limit = {0, 0};

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max >= FILES_WANTED)
		finding_set(
		    &f, GRADE_GOOD, "up to %" PRIu64, (uint64_t)limit.rlim_max);
	else
		finding_set(&f, GRADE_LIMITED,
		    "at most %" PRIu64 " a process, enough for some %" PRIu64
		    " forks; raise the hard limit 'nofile' in "
		    "/etc/security/limits.conf",
		    (uint64_t)limit.rlim_max, (uint64_t)limit.rlim_max / 10);
	findings_add(findings, "open files", &f);
}

static void
check_processes(struct findings *findings)
{
	struct finding f = {.vital = false};
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	getrlimit(RLIMIT_NPROC, &limit);
	if (geteuid() == 0 || limit.rlim_cur == RLIM_INFINITY)
		finding_set(&f, GRADE_GOOD, "no limit");
	else if (limit.rlim_cur >= PROCESSES_WANTED)
		finding_set(
		    &f, GRADE_GOOD, "up to %" PRIu64, (uint64_t)limit.rlim_cur);
	else
		finding_set(&f, GRADE_LIMITED,
		    "at most %" PRIu64 ", a fork takes two and some threads; "
		    "raise 'nproc' in /etc/security/limits.conf",
		    (uint64_t)limit.rlim_cur);
	findings_add(findings, "processes", &f);
}

static void
check_maps(struct findings *findings)
{
	struct finding f = {.vital = false};
	long count = 0;

	proc_number("/proc/sys/vm/max_map_count", &count);
	if (count >= MAPS_WANTED)
		finding_set(&f, GRADE_GOOD, "vm.max_map_count is %ld", count);
	else
		finding_set(&f, GRADE_LIMITED,
		    "vm.max_map_count is %ld: fewer forks of forks fit into a "
		    "process; 'sysctl vm.max_map_count=%d'",
		    count, MAPS_WANTED);
	findings_add(findings, "memory mappings", &f);
}

static void
check_memory(struct findings *findings)
{
	char text[4096], size[OUTPUT_SIZE_MAX];
	struct finding f = {.vital = false};
	unsigned long kib = 0;
	const char *line;

	if (proc_text("/proc/meminfo", text, sizeof(text)) == 0) {
		line = strstr(text, "MemAvailable:");
		if (line != NULL)
			kib = strtoul(line + strlen("MemAvailable:"), NULL, 10);
	}
	output_size((uint64_t)kib * 1024, size);
	if ((uint64_t)kib * 1024 >= MEMORY_WANTED)
		finding_set(&f, GRADE_GOOD, "%s available", size);
	else
		finding_set(
		    &f, GRADE_LIMITED, "%s available: small guests only", size);
	findings_add(findings, "memory", &f);
}

/* The nearest part of a path that exists; cuts the text. */
static void
existing_part(char *path)
{
	struct stat st;
	char *slash;

	while (sys.stat(path, &st) < 0) {
		slash = strrchr(path, '/');
		if (slash == NULL || slash == path) {
			strcpy(path, "/");
			return;
		}
		*slash = '\0';
	}
}

/* A directory that forkd makes when it is not there. */
static void
check_directory(struct findings *findings, const char *what, const char *path,
    uint64_t bytes_wanted)
{
	struct finding f = {.vital = true};
	char existing[4096], size[OUTPUT_SIZE_MAX];
	struct statvfs fs = {.f_bavail = 0};
	struct stat st = {.st_uid = 0};
	bool there;

	snprintf(existing, sizeof(existing), "%s", path);
	existing_part(existing);
	there = strcmp(existing, path) == 0;
	statvfs(existing, &fs);
	output_size((uint64_t)fs.f_bavail * fs.f_frsize, size);
	sys.stat(existing, &st);
	if (access(existing, W_OK | X_OK) < 0)
		finding_set(&f, GRADE_MISSING,
		    "'%s' cannot be %s by this user; make it and give it to "
		    "uid %u",
		    path, there ? "written" : "made", (unsigned)geteuid());
	else if (there && st.st_uid != geteuid())
		finding_set(&f, GRADE_MISSING,
		    "'%s' belongs to uid %u; forkd uses only its own "
		    "user's, remove it",
		    path, (unsigned)st.st_uid);
	else if ((uint64_t)fs.f_bavail * fs.f_frsize < bytes_wanted)
		finding_set(
		    &f, GRADE_LIMITED, "'%s' has room for only %s", path, size);
	else
		finding_set(&f, GRADE_GOOD, "'%s', room for %s%s", path, size,
		    there ? "" : ", made when needed");
	findings_add(findings, what, &f);
}

static void
check_directories(struct findings *findings)
{
	cleanup_free char *run = NULL, *state = NULL;
	struct finding f = {.vital = true};
	struct lf_error error;

	if (control_run_dir(&run, &error) == 0)
		check_directory(findings, "run directory", run, 0);
	else {
		finding_set(&f, GRADE_MISSING, "%s", error.message);
		findings_add(findings, "run directory", &f);
	}
	if (control_state_dir(&state, &error) == 0)
		check_directory(
		    findings, "room for overlays", state, DISK_WANTED);
	else {
		finding_set(&f, GRADE_MISSING, "%s", error.message);
		findings_add(findings, "room for overlays", &f);
	}
}

void
check_limits(struct findings *findings)
{
	check_memory(findings);
	check_files(findings);
	check_processes(findings);
	check_maps(findings);
	check_directories(findings);
}
