/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd's files: the run directory, its lock and sockets; headers of images
 * that others may have written.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/qcow2.h"
#include "forkd/rundir.h"
#include "lib/fault.h"
#include "lib/scratch.h"

/* --- directories --- */

Test(rundir, what_is_not_ours_alone_is_refused)
{
	struct lf_error error;
	char path[64], other[64];

	scratch_make();
	snprintf(path, sizeof(path), "%s/run", scratch);
	cr_assert_eq(rundir_make(path, 0700, false, &error), 0);
	cr_assert_eq(rundir_make(path, 0700, false, &error), 0);
	cr_assert_eq(chmod(path, 0777), 0);
	cr_assert_eq(rundir_make(path, 0700, false, &error), -EPERM);
	cr_assert_not_null(
	    strstr(error.message, "can be written by others (mode 0777)"));
	cr_assert_eq(chmod(path, 0700), 0);
	snprintf(other, sizeof(other), "%s/file", scratch);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	cr_assert_eq(rundir_make(other, 0700, false, &error), -ENOTDIR);
	snprintf(other, sizeof(other), "%s/link", scratch);
	cr_assert_eq(symlink(path, other), 0);
	cr_assert_eq(rundir_make(other, 0700, false, &error), -ENOTDIR);
	snprintf(other, sizeof(other), "%s/a/b/c", scratch);
	cr_assert_eq(rundir_make(other, 0700, false, &error), -ENOENT);
	cr_assert_eq(rundir_make(other, 0700, true, &error), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chown(path, 1234, 1234), 0);
		cr_assert_eq(rundir_make(path, 0700, false, &error), -EPERM);
		cr_assert_not_null(
		    strstr(error.message, "belongs to user 1234"));
	}
	scratch_remove();
}

/* What another process gets that wants the lock: an errno. */
static int
lock_in_child(void)
{
	struct lf_error error;
	int fd, status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(-rundir_lock(scratch, &fd, &error));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

Test(rundir, the_lock_is_held_by_one)
{
	struct lf_error error;
	int one;

	scratch_make();
	cr_assert_eq(rundir_lock(scratch, &one, &error), 0);
	cr_assert_eq(lock_in_child(), EWOULDBLOCK);
	close(one);
	cr_assert_eq(lock_in_child(), 0);
	scratch_remove();
}

Test(rundir, a_child_does_not_keep_the_lock_of_a_forkd_that_died)
{
	struct lf_error error;
	pid_t child;
	int one;

	scratch_make();
	cr_assert_eq(rundir_lock(scratch, &one, &error), 0);
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	close(one);
	cr_expect_eq(lock_in_child(), 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	scratch_remove();
}

Test(rundir, a_socket_replaces_a_socket_but_no_file)
{
	struct lf_error error;
	char path[64];
	struct stat st;
	int sock;

	scratch_make();
	snprintf(path, sizeof(path), "%s/socket", scratch);
	cr_assert_eq(rundir_listen(path, 1, 0600, &sock, &error), 0);
	close(sock);
	cr_assert_eq(rundir_listen(path, 1, 0600, &sock, &error), 0);
	close(sock);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	unlink(path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	cr_assert_eq(rundir_listen(path, 1, 0600, &sock, &error), -EEXIST);
	scratch_remove();
}

Test(rundir, a_file_is_replaced_whole_or_not_at_all)
{
	scratch_make();
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		json_t *value = json_pack("{s:i}", "n", (int)fault.round);
		json_t *back = NULL;
		char path[64];
		int rc;

		snprintf(path, sizeof(path), "%s/file", scratch);
		rc = rundir_write_json(path, value, &error);
		fault_end(&fault);
		json_decref(value);
		if (fault.hit)
			cr_assert_lt(rc, 0, "%s unseen", fault.name);
		else
			cr_assert_eq(rc, 0);
		/* Until the last round the file is not there. */
		rc = rundir_read_json(path, &back, &error);
		cr_assert_eq(rc, fault.hit ? -ENOENT : 0);
		json_decref(back);
	}
	scratch_remove();
}

/* --- an operation with each call failing in turn --- */

Test(faults, a_directory_is_made_and_checked_or_the_reason_is_told)
{
	char path[64];

	scratch_make();
	snprintf(path, sizeof(path), "%s/a/b", scratch);
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		int rc = rundir_make(path, 0700, true, &error);

		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "%s: %d", fault.name, rc);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	scratch_remove();
}

Test(faults, a_socket_listens_or_nothing_is_open)
{
	char path[64];

	scratch_make();
	snprintf(path, sizeof(path), "%s/socket", scratch);
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		int sock = -1;
		int rc = rundir_listen(path, 1, 0600, &sock, &error);

		fault_end(&fault);
		/* lstat() failing stands for: no old socket is there. */
		if (fault.hit && strcmp(fault.name, "lstat") == 0 && rc == 0)
			close(sock);
		else if (fault.hit)
			cr_assert_lt(rc, 0, "%s unseen", fault.name);
		else
			cr_assert_eq(close(sock), 0);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	scratch_remove();
}

Test(faults, the_lock_is_taken_or_nothing_is_open)
{
	scratch_make();
	FAULT_LOOP(fault)
	{
		struct lf_error error = {0};
		int fd = -1, rc = rundir_lock(scratch, &fd, &error);

		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "%s: %d", fault.name, rc);
		if (rc == 0)
			close(fd);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
	}
	scratch_remove();
}

/* --- image headers --- */

/* Version 3, backing file "b" with format "raw", 1 MiB. */
static const uint8_t header[] = {
    'Q',
    'F',
    'I',
    0xfb,
    0,
    0,
    0,
    3, /* magic, version */
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    128,
    0,
    0,
    0,
    1, /* name at 128, 1 byte */
    0,
    0,
    0,
    16,
    0,
    0,
    0,
    0,
    0,
    0x10,
    0,
    0, /* clusters, size */
    [100] = 0,
    0,
    0,
    104, /* header length */
    0xe2,
    0x79,
    0x2a,
    0xca,
    0,
    0,
    0,
    3,
    'r',
    'a',
    'w', /* format */
    [128] = 'b',
};

static int
read_header(
    const uint8_t *bytes, size_t len, struct qcow2 *ret, struct lf_error *error)
{
	cleanup_close int fd = memfd_create("image", MFD_CLOEXEC);

	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	return qcow2_read(fd, "image", ret, error);
}

Test(qcow2, size_and_backing_file_are_read)
{
	struct lf_error error;
	struct qcow2 q;

	cr_assert_eq(read_header(header, sizeof(header), &q, &error), 1);
	cr_assert_eq(q.bytes, 1 << 20);
	cr_assert_str_eq(q.backing, "b");
	cr_assert_str_eq(q.format, "raw");
	cr_assert_eq(read_header((const uint8_t *)"raw", 3, &q, &error), 0);
	cr_assert_eq(read_header(NULL, 0, &q, &error), 0);
}

Test(qcow2, a_header_cut_anywhere_or_with_any_byte_changed_is_bounded)
{
	struct lf_error error;
	struct qcow2 q;
	size_t i;
	int rc;

	for (i = 4; i < sizeof(header); i++) {
		rc = read_header(header, i, &q, &error);
		cr_assert_eq(rc, -EBADMSG, "cut at %zu: %d", i, rc);
	}
	for (i = 0; i < sizeof(header); i++) {
		uint8_t bytes[sizeof(header)];
		int value;

		memcpy(bytes, header, sizeof(header));
		for (value = 0; value < 256; value += 5) {
			bytes[i] = (uint8_t)value;
			rc = read_header(bytes, sizeof(bytes), &q, &error);
			cr_assert(rc == 0 || rc == 1 || rc == -EBADMSG);
			cr_assert_leq(strlen(q.backing), QCOW2_NAME_MAX);
		}
	}
}
