/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * base/: errors, bounded reader and writer, framing, writing, passing of
 * descriptors.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libfork/libfork.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fdpass.h"
#include "base/frame.h"
#include "base/io.h"
#include "base/reader.h"
#include "base/sys.h"
#include "base/writer.h"
#include "lib/fault.h"

Test(error, outside_data_cannot_break_the_line)
{
	struct lf_error error;

	cr_assert_eq(
	    error_set(&error, EINVAL, "name '%s'", "a\nb\x1b[31m"), -EINVAL);
	cr_assert_str_eq(error.message, "name 'a?b?[31m'");
	cr_assert_eq(error.code, -EINVAL);
}

Test(error, prefix_goes_before_the_inner_message)
{
	struct lf_error error;
	int rc = error_sys(&error, ENOENT, "cannot open 'x'");

	cr_assert_eq(error_prefix(&error, rc, "domain '%s'", "d1"), -ENOENT);
	cr_assert_str_eq(error.message,
	    "domain 'd1': cannot open 'x': No such file or directory");
}

Test(error, an_overlong_message_is_cut_not_overrun)
{
	struct lf_error error;
	char name[2 * LF_ERROR_MESSAGE_MAX];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	error_sys(&error, EIO, "%s", name);
	cr_assert_eq(strlen(error.message), LF_ERROR_MESSAGE_MAX - 1);
	error_prefix(&error, -EIO, "%s", name);
	cr_assert_eq(strlen(error.message), LF_ERROR_MESSAGE_MAX - 1);
}

Test(reader, every_read_is_bounded_and_a_failed_one_moves_nothing)
{
	static const uint8_t bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05};
	struct lf_error error;
	struct reader r;
	uint32_t u32;
	uint16_t u16;

	reader_init(&r, bytes, sizeof(bytes), "section 'apic'");
	cr_assert_eq(reader_be32(&r, "lvt", &u32, &error), 0);
	cr_assert_eq(u32, 0x01020304);
	cr_assert_eq(reader_be16(&r, "esr", &u16, &error), -EBADMSG);
	cr_assert_str_eq(error.message,
	    "section 'apic': field 'esr': 2 bytes wanted, 1 left at 0x4");
	cr_assert_eq(reader_left(&r), 1);
}

Test(reader, a_counted_string_with_nul_or_too_long_is_refused)
{
	static const uint8_t nul[] = {3, 'a', 0, 'b'};
	static const uint8_t cut[] = {9, 'a'};
	struct lf_error error;
	struct reader r;
	char name[3];

	reader_init(&r, nul, sizeof(nul), "s");
	cr_assert_eq(
	    reader_counted_string(&r, "id", name, 8, &error), -EBADMSG);
	cr_assert_eq(
	    reader_counted_string(&r, "id", name, sizeof(name), &error),
	    -EBADMSG);
	cr_assert_eq(r.pos, 0);
	reader_init(&r, cut, sizeof(cut), "s");
	cr_assert_eq(
	    reader_counted_string(&r, "id", name, sizeof(name), &error),
	    -EBADMSG);
	cr_assert_eq(r.pos, 0);
}

Test(writer, writes_what_the_reader_reads)
{
	struct lf_error error;
	struct writer w;
	struct reader r;
	char name[16];
	uint64_t u64;

	writer_init(&w);
	writer_counted_string(&w, "pc.ram");
	writer_be64(&w, 0x0102030405060708);
	cr_assert_eq(writer_status(&w, &error), 0);
	reader_init(&r, w.data, w.len, "buffer");
	cr_assert_eq(
	    reader_counted_string(&r, "name", name, sizeof(name), &error), 0);
	cr_assert_str_eq(name, "pc.ram");
	cr_assert_eq(reader_be64(&r, "value", &u64, &error), 0);
	cr_assert_eq(u64, 0x0102030405060708);
	cr_assert_eq(reader_left(&r), 0);
	writer_done(&w);
}

Test(writer, a_lost_byte_is_reported_at_the_end)
{
	FAULT_LOOP(fault)
	{
		struct writer w;
		int i, rc;

		writer_init(&w);
		for (i = 0; i < 1000; i++)
			writer_be64(&w, i);
		rc = writer_status(&w, NULL);
		fault_end(&fault);
		cr_assert_eq(rc, fault.hit ? -ENOMEM : 0);
		writer_done(&w);
	}
}

static struct {
	char taken[8];
	size_t len;
	int calls;
} sink;

/* Takes two bytes at a time, is interrupted each second time; has room for 6.
 */
static ssize_t
write_little(int fd, const void *bytes, size_t len)
{
	size_t n = len < 2 ? len : 2;

	(void)fd;
	if (sink.calls++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	if (sink.len + n > 6) {
		errno = ENOSPC;
		return -1;
	}
	memcpy(sink.taken + sink.len, bytes, n);
	sink.len += n;
	return (ssize_t)n;
}

Test(io, all_is_written_in_pieces_and_across_signals)
{
	sys.write = write_little;
	cr_expect_eq(io_write_all(-1, "12345", 5), 0);
	cr_expect_str_eq(sink.taken, "12345");
	cr_expect_eq(io_write_all(-1, "67", 2), -ENOSPC);
}

Test(io, who_reads_no_more_is_known_without_writing)
{
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_expect(io_has_reader(fds[1]));
	close(fds[0]);
	cr_expect_not(io_has_reader(fds[1]));
	close(fds[1]);
	cr_expect(io_has_reader(STDERR_FILENO));
}

/* Criterion needs its own streams. */
Test(io, closed_standard_streams_keep_their_numbers)
{
	char byte = 0;
	int status;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		close(STDIN_FILENO);
		close(STDOUT_FILENO);
		status = io_hold_standard() == 0 && dup(STDERR_FILENO) > 2 &&
			 read(STDIN_FILENO, &byte, 1) < 0 && errno == EBADF &&
			 write(STDOUT_FILENO, &byte, 1) < 0 && errno == EBADF;
		_exit(status ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}

static int
next_of(struct frame_reader *r, const char *bytes, json_t **ret_object,
    struct lf_error *error)
{
	cr_assert_eq(frame_append(r, bytes, strlen(bytes), error), 0);
	return frame_next(r, ret_object, error);
}

Test(frame, objects_come_out_however_the_bytes_were_cut)
{
	static const char text[] =
	    "\r\n{\"a\": \"}\\\"{\", \"b\": [{}]}{\"c\":1}\n";
	struct frame_reader r;
	struct lf_error error;
	json_t *object;
	int found = 0;
	size_t i;

	frame_reader_init(&r, 100);
	for (i = 0; i < sizeof(text) - 1; i++) {
		int rc;

		frame_append(&r, text + i, 1, &error);
		rc = frame_next(&r, &object, &error);
		cr_assert_geq(rc, 0, "%s", error.message);
		if (rc == 1) {
			found++;
			cr_assert_not_null(
			    json_object_get(object, found == 1 ? "b" : "c"));
			json_decref(object);
		}
	}
	cr_assert_eq(found, 2);
	frame_reader_done(&r);
}

Test(frame, oversized_and_malformed_messages_are_errors)
{
	struct frame_reader r;
	struct lf_error error;
	json_t *object;

	frame_reader_init(&r, 10);
	cr_assert_eq(
	    next_of(&r, "{\"a\":\"0123456789", &object, &error), -EMSGSIZE);
	frame_reader_done(&r);
	cr_assert_eq(next_of(&r, "[1]", &object, &error), -EBADMSG);
	frame_reader_done(&r);
	cr_assert_eq(next_of(&r, "{\"a\"]", &object, &error), -EBADMSG);
	frame_reader_done(&r);
}

Test(fdpass, descriptors_arrive_with_the_bytes)
{
	cleanup_close int one = -1, other = -1, file = -1, got = -1;
	struct lf_error error;
	char buf[8];
	size_t count;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	one = sv[0];
	other = sv[1];
	file = memfd_create("test", MFD_CLOEXEC);
	cr_assert_eq(fdpass_send(one, "hello", 5, &file, 1, &error), 5);
	cr_assert_eq(
	    fdpass_receive(other, buf, sizeof(buf), &got, 1, &count, &error),
	    5);
	cr_assert_eq(count, 1);
	cr_assert_eq(fcntl(got, F_GETFD), FD_CLOEXEC);
}

Test(fdpass, more_descriptors_than_wanted_are_all_closed)
{
	cleanup_close int one = -1, other = -1, file = -1;
	struct lf_error error;
	int fds[3], got[2], sv[2], before;
	size_t count;
	char buf[8];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	one = sv[0];
	other = sv[1];
	file = memfd_create("test", MFD_CLOEXEC);
	fds[0] = fds[1] = fds[2] = file;
	before = fault_open_descriptors();
	cr_assert_eq(fdpass_send(one, "x", 1, fds, 3, &error), 1);
	cr_assert_eq(
	    fdpass_receive(other, buf, sizeof(buf), got, 2, &count, &error),
	    -EBADMSG);
	cr_assert_eq(fault_open_descriptors(), before);
}

Test(version, is_the_packages)
{
	cr_assert_str_eq(lf_version(), PACKAGE_VERSION);
}
