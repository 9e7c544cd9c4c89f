/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine on KVM: snapshots from a caller's own files, whose memory is
 * shared where nobody can write it and copied where somebody can; references;
 * a process without KVM, and one that can open nothing any more.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/sys.h"
#include "kvm/engine.h"
#include "lib/count.h"

#define RAM (8 * MIB)

TestSuite(engine_parts, .init = engine_need_kvm);

/* --- files --- */

static char copied[LF_ERROR_MESSAGE_MAX];

static void
keep_log(void *opaque, enum lf_log_level level, const char *message)
{
	(void)opaque;
	if (level >= LF_LOG_INFO)
		snprintf(copied, sizeof(copied), "%s", message);
}

/* The micro-guest's memory, and the registers to begin with. */
static uint8_t *
guest_memory(struct lf_vcpu_regs *regs)
{
	struct lf_snapshot *snapshot = engine_writing(RAM);
	struct lf_domain *domain = engine_fork(snapshot);
	uint8_t *bytes = malloc(RAM);

	OK(lf_memory_read(domain, 0, bytes, RAM, &error));
	OK(lf_vcpu_read_regs(domain, 0, regs, &error));
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
	return bytes;
}

static int
file_of_memory(bool on_disk, unsigned seals, struct lf_vcpu_regs *regs)
{
	char path[] = "/tmp/test-parts.XXXXXX";
	uint8_t *bytes = guest_memory(regs);
	int fd;

	fd = on_disk
		 ? mkostemp(path, O_CLOEXEC)
		 : memfd_create("test-parts", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_geq(fd, 0);
	if (on_disk)
		unlink(path);
	cr_assert_eq(write(fd, bytes, RAM), (ssize_t)RAM);
	free(bytes);
	if (seals != 0)
		cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static struct lf_snapshot *
snapshot_of_file(int fd, const struct lf_vcpu_regs *regs)
{
	struct lf_snapshot_builder *builder;
	struct lf_snapshot *snapshot;

	OK(lf_snapshot_builder_new(&builder, &error));
	cr_assert_eq(lf_snapshot_builder_add_file(builder, fd, RAM, &error), 0);
	OK(lf_snapshot_builder_add_range(builder, 0, RAM, 0, 0, 0, &error));
	OK(lf_snapshot_builder_add_vcpu(builder, regs, &error));
	OK(lf_snapshot_builder_finish(builder, &snapshot, &error));
	cr_assert_eq(
	    lf_snapshot_builder_add_file(builder, fd, RAM, &error), -EINVAL);
	lf_snapshot_builder_free(builder);
	return snapshot;
}

/* Whether this process has the file itself mapped. */
static bool
is_mapped(int fd)
{
	char wanted[64], line[512];
	struct stat st;
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "re");

	cr_assert_eq(fstat(fd, &st), 0);
	snprintf(wanted, sizeof(wanted), " %02x:%02x %lu ", major(st.st_dev),
	    minor(st.st_dev), (unsigned long)st.st_ino);
	while (fgets(line, sizeof(line), maps) != NULL)
		found |= strstr(line, wanted) != NULL;
	fclose(maps);
	return found;
}

/* Writes of the guest and resets, as for memory that came in a buffer. */
static void
check_property(struct lf_snapshot *snapshot)
{
	unsigned long round, rounds = test_count(30, 100000);
	struct lf_domain *domain =
	    engine_fork_verified(snapshot, LF_RESET_ADAPTIVE);

	for (round = 0; round < rounds; round++) {
		engine_random_writes(domain, RAM);
		engine_run_done(domain);
		OK(lf_domain_reset(domain, &error));
	}
	lf_domain_free(domain);
}

Test(engine_parts, files_are_shared_where_nobody_can_write_them_and_else_copied)
{
	static const struct {
		bool on_disk;
		unsigned seals;
		bool shared;
	} cases[] = {
	    {false, F_SEAL_SHRINK | F_SEAL_WRITE, true},
	    {false, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE, true},
	    {false, F_SEAL_WRITE, false}, /* can be cut off */
	    {false, F_SEAL_SHRINK, false},
	    {false, 0, false},
	    {true, 0, false},
	};
	struct lf_snapshot *snapshot;
	struct lf_vcpu_regs regs;
	struct lf_domain *domain;
	size_t i;

	lf_log_set(keep_log, NULL, LF_LOG_DEBUG);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd =
		    file_of_memory(cases[i].on_disk, cases[i].seals, &regs);

		copied[0] = '\0';
		snapshot = snapshot_of_file(fd, &regs);
		domain = engine_fork(snapshot);
		cr_expect_eq(is_mapped(fd), cases[i].shared, "%zu", i);
		if (cases[i].shared)
			cr_expect_str_eq(copied, "", "%zu: %s", i, copied);
		else
			cr_expect_str_eq(copied,
			    "memory 'file 0': others may write it, so its 8 "
			    "MiB are copied",
			    "%zu: %s", i, copied);
		/* Whoever can write it now does the snapshot no harm. */
		if ((cases[i].seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ==
		    0)
			cr_assert_eq(pwrite(fd, "xxxx", 4, MICRO_CODE), 4);
		close(fd);
		engine_run_done(domain);
		lf_domain_free(domain);
		check_property(snapshot);
		cr_assert_eq(lf_snapshot_refs(snapshot), 1);
		lf_snapshot_unref(snapshot);
	}
	lf_log_set(NULL, NULL, LF_LOG_DEBUG);
}

Test(engine_parts, files_that_are_no_memory_are_refused_and_named)
{
	int fd = memfd_create("short", MFD_CLOEXEC), pipes[2];
	struct lf_snapshot_builder *builder;

	OK(lf_snapshot_builder_new(&builder, &error));
	cr_assert_eq(ftruncate(fd, 4096), 0);
	cr_assert_eq(
	    lf_snapshot_builder_add_file(builder, fd, 8192, &error), -EINVAL);
	cr_assert_str_eq(
	    error.message, "memory 'file 0' has 4096 bytes, 8192 are wanted");
	cr_assert_eq(
	    lf_snapshot_builder_add_file(builder, fd, 100, &error), -EINVAL);
	cr_assert_eq(pipe(pipes), 0);
	cr_assert_eq(
	    lf_snapshot_builder_add_file(builder, pipes[0], 4096, &error),
	    -EINVAL);
	cr_assert_eq(lf_snapshot_builder_add_file(builder, -1, 4096, &error),
	    -EBADF, "%s", error.message);
	lf_snapshot_builder_free(builder);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

/* --- references --- */

Test(engine_parts, a_snapshot_lives_as_long_as_anybody_holds_it)
{
	struct lf_snapshot *snapshot = engine_touching(4, 4 * MIB);
	struct lf_domain *domain;
	uint64_t pages;

	cr_assert_eq(lf_snapshot_ref(snapshot), snapshot);
	cr_assert_eq(lf_snapshot_refs(snapshot), 2);
	cr_assert_eq(lf_snapshot_vcpus(snapshot), 1);
	cr_assert_eq(lf_snapshot_memory_bytes(snapshot), 4 * MIB);
	domain = engine_fork(snapshot);
	cr_assert_eq(lf_snapshot_refs(snapshot), 3);
	cr_assert_eq(lf_domain_origin(domain), snapshot);
	cr_assert_eq(lf_domain_backend(domain), LF_BACKEND_KVM);
	lf_snapshot_unref(snapshot);
	lf_snapshot_unref(snapshot);
	/* The fork's is the last. */
	engine_run_done(domain);
	OK(lf_domain_own_pages(domain, &pages, &error));
	cr_assert_geq(pages, 4);
	cr_assert_leq(pages, 4 + 4, "%lu pages", pages);
	OK(lf_domain_reset(domain, &error));
	cr_assert_eq(lf_snapshot_refs(lf_domain_origin(domain)), 1);
	lf_domain_free(domain);
}

/* --- what cannot be --- */

Test(engine_parts, options_that_cannot_be_are_refused_by_name)
{
	static const struct {
		struct lf_fork_options options;
		int code;
		const char *message;
	} cases[] = {
	    {{.interrupts = 9}, -EINVAL,
		"fork option interrupts has the unknown value 9"},
	    {{.io_policy = 9}, -EINVAL,
		"fork option io_policy has the unknown value 9"},
	    {{.reset_method = 9}, -EINVAL,
		"fork option reset_method has the unknown value 9"},
	    {{.reset_groups = LF_RESET_ALL + 1}, -EINVAL,
		"fork option reset_groups: 0x80 are no groups"},
	    {{.io_policy = LF_IO_LAUNCH}, -ENOTSUP,
		"the snapshot has no device state that a device model could "
		"be launched from"},
	    {{.ring_entries = 300}, -EINVAL, "300"},
	    {{.ring_entries = 1U << 30}, -EINVAL, "1073741824"},
	    {{.backend = 7}, -ENOTSUP, "there is no backend 7 here"},
	    {{.backend = LF_BACKEND_QEMU}, -EINVAL, "launcher"},
	};
	struct lf_snapshot *snapshot = engine_touching(4, 4 * MIB);
	struct lf_domain *domain = NULL;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(lf_domain_fork(
				 snapshot, &cases[i].options, &domain, &error),
		    cases[i].code, "%zu: %s", i, error.message);
		cr_expect_not_null(strstr(error.message, cases[i].message),
		    "%zu: %s", i, error.message);
		cr_expect_null(domain);
	}
	cr_assert_eq(lf_snapshot_refs(snapshot), 1);
	lf_snapshot_unref(snapshot);
}

Test(engine_parts, what_a_fork_does_not_have_is_named)
{
	struct lf_snapshot *snapshot = engine_touching(4, 4 * MIB);
	struct lf_domain *domain = engine_fork(snapshot);
	struct lf_launch_options launch = {.devstate_fd = -1};
	struct lf_vcpu_regs regs;
	char bytes[16], *json;

	cr_assert_eq(lf_vcpu_read_regs(domain, 1, &regs, &error), -EINVAL);
	cr_assert_not_null(
	    strstr(error.message, "no vCPU 1"), "%s", error.message);
	OK(lf_vcpu_read_regs(domain, 0, &regs, &error));
	cr_assert_eq(lf_vcpu_write_regs(domain, 1, &regs, &error), -EINVAL);
	cr_assert_eq(
	    lf_memory_read(domain, 4 * MIB - 8, bytes, 16, &error), -EFAULT);
	cr_assert_str_eq(
	    error.message, "guest-physical address 0x400000 is no memory");
	cr_assert_eq(lf_memory_write(
			 domain, 4 * MIB - 8, "0123456789abcdef", 16, &error),
	    -EFAULT);
	OK(lf_memory_read(domain, 4 * MIB - 8, bytes, 8, &error));
	cr_assert_arr_eq(bytes, "\0\0\0\0\0\0\0\0", 8);
	cr_assert_eq(lf_domain_answer(domain, "a", 1, &error), -EINVAL);
	cr_assert_eq(lf_domain_shutdown(domain, &error), -ENOTSUP);
	cr_assert_eq(lf_domain_describe(domain, &json, &error), -ENOTSUP);
	cr_assert_eq(lf_domain_launch(domain, &launch, &error), -ENOTSUP, "%s",
	    error.message);
	cr_assert_eq(
	    lf_domain_thaw(domain, &error), -EINVAL, "%s", error.message);
	/* None of it did any harm. */
	engine_run_done(domain);
	OK(lf_domain_reset(domain, &error));
	OK(lf_domain_verify(domain, &error));
	lf_domain_free(domain);
	lf_snapshot_unref(snapshot);
}

/* --- what the host lacks --- */

static int refused_code;
static const char *refused_path;
static int (*real_open)(const char *path, int flags, mode_t mode);

static int
refusing_open(const char *path, int flags, mode_t mode)
{
	if (refused_path == NULL || strcmp(path, refused_path) == 0) {
		errno = refused_code;
		return -1;
	}
	return real_open(path, flags, mode);
}

/* No test of this suite has looked at KVM before, each being a process. */
static int
fork_where_opening_fails(const char *path, int code)
{
	struct lf_snapshot *snapshot = engine_touching(4, 4 * MIB);
	struct lf_domain *domain = NULL;
	int rc;

	real_open = sys.open;
	refused_path = path;
	refused_code = code;
	sys.open = refusing_open;
	lf_error_clear(&error);
	rc = lf_domain_fork(snapshot, NULL, &domain, &error);
	if (rc == 0)
		engine_run_done(domain);
	lf_domain_free(domain);
	cr_assert_eq(lf_snapshot_refs(snapshot), 1);
	lf_snapshot_unref(snapshot);
	return rc;
}

Test(host_lacks, a_fork_without_kvm_says_what_to_do)
{
	cr_assert_eq(fork_where_opening_fails("/dev/kvm", ENOENT), -ENOENT);
	cr_assert_str_eq(error.message,
	    "no KVM: /dev/kvm is not there; load the module kvm-intel or "
	    "kvm-amd, and enable virtualization in the firmware");
}

Test(host_lacks, a_fork_without_permission_for_kvm_says_what_to_do)
{
	cr_assert_eq(fork_where_opening_fails("/dev/kvm", EACCES), -EACCES);
	/* Who may depends on the host. */
	cr_assert(
	    strncmp(error.message, "no permission for KVM: user ", 28) == 0 &&
		strstr(error.message, "group") != NULL,
	    "%s", error.message);
}

Test(host_lacks, a_prepared_process_forks_where_nothing_can_be_opened)
{
	const char *why;

	if (access("/dev/kvm", R_OK | W_OK) < 0)
		cr_skip_test("no /dev/kvm, or no permission for it");
	lf_domain_prepare();
	cr_assert_eq(
	    fork_where_opening_fails(NULL, EPERM), 0, "%s", error.message);
	cr_assert(micro_usable(&why));
}
