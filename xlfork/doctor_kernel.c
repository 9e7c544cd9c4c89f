/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What doctor looks at in the kernel: its version, userfaultfd, and how it
 * handles memory.
 */
#include "xlfork/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sys.h"
#include "xlfork/proc_file.h"

/* The oldest kernel that has everything used here. */
#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif

static void
check_version(struct findings *findings)
{
	struct finding f = {.vital = false};
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) < 0 ||
	    sscanf(name.release, "%d.%d", &major, &minor) != 2)
		finding_set(&f, GRADE_LIMITED,
		    "version unknown; %d.%d or "
		    "later is needed",
		    KERNEL_MAJOR, KERNEL_MINOR);
	else if (major > KERNEL_MAJOR ||
		 (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
		finding_set(&f, GRADE_GOOD, "Linux %s", name.release);
	else
		finding_set(&f, GRADE_LIMITED,
		    "Linux %s is older than %d.%d, which xlfork is made for; "
		    "install a newer kernel",
		    name.release, KERNEL_MAJOR, KERNEL_MINOR);
	findings_add(findings, "kernel", &f);
}

/* Write-protection of memory files is what forks want of it. */
static void
check_userfaultfd(struct findings *findings)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct finding f = {.vital = false};
	cleanup_close int fd = -1;

	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0 && errno == ENOSYS)
		finding_set(&f, GRADE_MISSING,
		    "this kernel has none; "
		    "CONFIG_USERFAULTFD=y brings it");
	else if (fd < 0)
		finding_set(&f, GRADE_LIMITED,
		    "not for this user (%s); "
		    "sysctl vm.unprivileged_userfaultfd=1 allows it",
		    strerror(errno));
	else if (sys.ioctl(fd, UFFDIO_API, &api) < 0)
		finding_set(
		    &f, GRADE_LIMITED, "cannot be used: %s", strerror(errno));
	else if ((api.features & UFFD_FEATURE_WP_HUGETLBFS_SHMEM) == 0)
		finding_set(&f, GRADE_LIMITED,
		    "cannot write-protect memory "
		    "files; Linux 5.19 or later can");
	else
		finding_set(&f, GRADE_GOOD, "write-protects memory files");
	findings_add(findings, "userfaultfd", &f);
}

static void
check_overcommit(struct findings *findings)
{
	struct finding f = {.vital = false};
	long mode = -1;

	proc_number("/proc/sys/vm/overcommit_memory", &mode);
	if (mode == 2)
		finding_set(&f, GRADE_LIMITED,
		    "vm.overcommit_memory is 2: every fork counts with all of "
		    "its parent's memory; set it to 0 for many forks");
	else
		finding_set(&f, GRADE_GOOD,
		    "vm.overcommit_memory is %ld: a fork counts with what it "
		    "writes",
		    mode);
	findings_add(findings, "overcommit", &f);
}

/* The word in brackets: "always [madvise] never". */
static void
chosen_word(const char *text, char *word, size_t size)
{
	const char *begin = strchr(text, '[');
	const char *end = begin != NULL ? strchr(begin, ']') : NULL;

	if (end != NULL)
		snprintf(word, size, "%.*s", (int)(end - begin - 1), begin + 1);
	else
		snprintf(word, size, "unknown");
}

static void
check_huge_pages(struct findings *findings)
{
	static const char thp[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	struct finding f = {.vital = false};
	char text[256], word[32];
	long reserved = 0;

	if (proc_text(thp, text, sizeof(text)) < 0)
		finding_set(&f, GRADE_GOOD, "this kernel has none");
	else {
		chosen_word(text, word, sizeof(word));
		if (strcmp(word, "always") == 0)
			finding_set(&f, GRADE_LIMITED,
			    "'always': a fork that writes one byte may get a "
			    "copy of 2M; 'echo madvise > %s' as root saves "
			    "memory",
			    thp);
		else
			finding_set(&f, GRADE_GOOD, "'%s'", word);
	}
	findings_add(findings, "transparent huge pages", &f);

	proc_number("/proc/sys/vm/nr_hugepages", &reserved);
	if (reserved > 0)
		finding_set(&f, GRADE_LIMITED,
		    "%ld are reserved, and forks cannot use them; 'sysctl "
		    "vm.nr_hugepages=0' gives the memory back",
		    reserved);
	else
		finding_set(&f, GRADE_GOOD, "none reserved, none used");
	findings_add(findings, "huge pages", &f);
}

static void
check_cgroup(struct findings *findings)
{
	struct finding f = {.vital = false};
	struct stat st;

	if (sys.stat("/sys/fs/cgroup/cgroup.controllers", &st) == 0)
		finding_set(&f, GRADE_GOOD, "version 2");
	else if (sys.stat("/sys/fs/cgroup/memory", &st) == 0)
		finding_set(&f, GRADE_LIMITED,
		    "version 1: works, but shared memory is not counted "
		    "once; boot with systemd.unified_cgroup_hierarchy=1");
	else
		finding_set(&f, GRADE_LIMITED,
		    "not mounted at /sys/fs/cgroup: domains cannot be given "
		    "limits of their own");
	findings_add(findings, "cgroup", &f);
}

void
check_kernel(struct findings *findings)
{
	check_version(findings);
	check_userfaultfd(findings);
	check_overcommit(findings);
	check_huge_pages(findings);
	check_cgroup(findings);
}
