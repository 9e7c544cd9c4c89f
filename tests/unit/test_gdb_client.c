/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu/ gdb client: packets byte by byte, and conversations with a stub whose
 * answers are written into the socket beforehand.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib/fault.h"
#include "qemu/gdb_client.h"
#include "qemu/gdb_packet.h"

#define HELLO "PacketSize=1000;qXfer:features:read+", "vCont;c;C;s;S"

Test(gdb_packet, a_packet_has_its_checksum_and_escapes)
{
	char buf[64], payload[GDB_PACKET_MAX];
	size_t len, used;
	int n;

	n = gdb_packet_write("m1000,4", 7, buf, sizeof(buf));
	cr_assert_eq(n, 11);
	cr_assert_arr_eq(buf, "$m1000,4#8e", 11);
	n = gdb_packet_write("a$b#c}d*", 8, buf, sizeof(buf));
	cr_assert_gt(n, 0);
	cr_assert_eq(gdb_packet_read(buf, n, payload, &len, &used, NULL), 1);
	cr_assert_eq(len, 8);
	cr_assert_eq(used, (size_t)n);
	cr_assert_str_eq(payload, "a$b#c}d*");
	cr_assert_eq(gdb_packet_write("abc", 3, buf, 10), -EMSGSIZE);
}

Test(gdb_packet, run_lengths_are_expanded)
{
	char payload[GDB_PACKET_MAX];
	size_t len, used;

	cr_assert_eq(
	    gdb_packet_read("+$0* #7a++$", 11, payload, &len, &used, NULL), 1);
	cr_assert_str_eq(payload, "0000");
	cr_assert_eq(used, 8);
}

Test(gdb_packet, half_a_packet_waits_and_a_wrong_one_is_refused)
{
	static const struct {
		const char *bytes, *message;
		int rc;
	} cases[] = {
	    {"", NULL, 0},
	    {"+++", NULL, 0},
	    {"$OK", NULL, 0},
	    {"$OK#9", NULL, 0},
	    {"$OK#9b", "gdb stub: a packet with checksum '9b', 0x9a expected",
		-EBADMSG},
	    {"$OK#xy", "gdb stub: a packet with checksum 'xy', 0x9a expected",
		-EBADMSG},
	    {"OK#9a", "gdb stub: byte 0x4f where a packet should begin",
		-EBADMSG},
	    {"$*!#4b", "gdb stub: a packet that cannot be unpacked", -EBADMSG},
	    {"$}#7d", "gdb stub: a packet that cannot be unpacked", -EBADMSG},
	};
	char payload[GDB_PACKET_MAX];
	struct lf_error error;
	size_t len, used, i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(
		    gdb_packet_read(cases[i].bytes, strlen(cases[i].bytes),
			payload, &len, &used, &error),
		    cases[i].rc, "'%s'", cases[i].bytes);
		if (cases[i].rc < 0)
			cr_expect_str_eq(error.message, cases[i].message);
		cr_assert_leq(used, strlen(cases[i].bytes));
	}
}

Test(gdb_packet, an_endless_packet_is_refused)
{
	static char bytes[GDB_PACKET_MAX + 1];
	char payload[GDB_PACKET_MAX];
	size_t len, used;

	memset(bytes, 'a', sizeof(bytes));
	bytes[0] = '$';
	cr_assert_eq(gdb_packet_read(
			 bytes, GDB_PACKET_MAX - 1, payload, &len, &used, NULL),
	    0);
	cr_assert_eq(
	    gdb_packet_read(bytes, sizeof(bytes), payload, &len, &used, NULL),
	    -EBADMSG);
}

Test(gdb_packet, registers_are_counted_outside_of_comments)
{
	static const char xml[] = "<reg name=\"rax\" regnum=\"4\"/>"
				  "<!-- <reg name=\"ss_base\"/> -->"
				  "<reg bitsize=\"64\" name=\"rbx\"/>"
				  "<reg name=\"rip\"/>"
				  "<reg name=\"cr0\" regnum=\"30\"/>"
				  "<reg name=\"cr3\"/><!-- <reg name=\"x\"/>";
	static const char includes[] =
	    "<target><!-- <xi:include href=\"no.xml\"/> -->"
	    "<xi:include href=\"core.xml\"/><xi:include href=\"b.xml\"/>";
	char name[16];
	size_t position = 0;
	unsigned next = 0;

	cr_assert_eq(gdb_packet_find_register(xml, "rbx", &next), 5);
	next = 0;
	cr_assert_eq(gdb_packet_find_register(xml, "rip", &next), 6);
	next = 0;
	cr_assert_eq(gdb_packet_find_register(xml, "cr3", &next), 31);
	next = 0;
	cr_assert_eq(gdb_packet_find_register(xml, "x", &next), -ENOENT);
	cr_assert_eq(
	    gdb_packet_next_include(includes, &position, name, sizeof(name)),
	    0);
	cr_assert_str_eq(name, "core.xml");
	cr_assert_eq(
	    gdb_packet_next_include(includes, &position, name, sizeof(name)),
	    0);
	cr_assert_str_eq(name, "b.xml");
	cr_assert_eq(
	    gdb_packet_next_include(includes, &position, name, sizeof(name)),
	    -ENOENT);
}

/* The stub's end; what the client has sent is read from it. */
static int stub = -1;

/* Writes packets that will be the answers, in this order. */
static void
answers(const char *const *texts, size_t count)
{
	char wire[GDB_PACKET_MAX];
	size_t i;

	for (i = 0; i < count; i++) {
		int n = gdb_packet_write(
		    texts[i], strlen(texts[i]), wire + 1, sizeof(wire) - 1);

		cr_assert_gt(n, 0);
		wire[0] = '+';
		cr_assert_eq(write(stub, wire, n + 1), n + 1);
	}
}

#define ANSWERS(...)                                \
	answers((const char *const[]){__VA_ARGS__}, \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static int
connect_client(struct gdb_client **ret_client, struct lf_error *error)
{
	int ends[2];

	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	stub = ends[1];
	ANSWERS(HELLO);
	return gdb_client_new(ends[0], 200, ret_client, error);
}

/* What the client sent since the last time. */
static const char *
sent(void)
{
	static char buf[4096];
	ssize_t n = recv(stub, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

Test(gdb_client, a_register_is_found_by_name_in_the_description)
{
	cleanup(gdb_client_free_p) struct gdb_client *client = NULL;
	struct lf_error error;
	uint64_t value = 0;

	cr_assert_eq(connect_client(&client, &error), 0, "%s", error.message);
	cr_assert_str_eq(
	    sent(), "$qSupported:xmlRegisters=i386#c1+$vCont?#49+");
	ANSWERS("l<xi:include href=\"core.xml\"/>", "m<reg name=\"rax\"/>",
	    "l<reg name=\"rip\"/>", "OK", "f03e009bffffffff", "0100");
	cr_assert_eq(gdb_client_read_register(client, 2, "rip", &value, &error),
	    0, "%s", error.message);
	cr_assert_eq(value, 0xffffffff9b003ef0);
	cr_assert_not_null(strstr(sent(), "$Hg2#e1+$p1#a1+"));
	cr_assert_eq(
	    gdb_client_read_register(client, 2, "rip", &value, &error), 0);
	cr_assert_eq(value, 1);
	cr_assert_str_eq(sent(), "$p1#a1+", "numbers are remembered");
	close(stub);
}

Test(gdb_client, memory_goes_in_parts_and_what_is_not_mapped_is_an_error)
{
	cleanup(gdb_client_free_p) struct gdb_client *client = NULL;
	static char big[2 * GDB_MEMORY_MAX + 1];
	uint8_t buf[GDB_MEMORY_MAX + 2];
	struct lf_error error;

	cr_assert_eq(connect_client(&client, &error), 0);
	memset(big, 'a', 2 * GDB_MEMORY_MAX);
	sent();
	ANSWERS("OK", big, "0102", "E14", "00");
	cr_assert_eq(
	    gdb_client_read_memory(client, 1, 0x1000, buf, sizeof(buf), &error),
	    0, "%s", error.message);
	cr_assert_eq(buf[0], 0xaa);
	cr_assert_eq(buf[GDB_MEMORY_MAX], 1);
	cr_assert_eq(buf[GDB_MEMORY_MAX + 1], 2);
	cr_assert_str_eq(sent(), "$Hg1#e0+$m1000,400#ee+$m1400,2#90+");
	cr_assert_eq(
	    gdb_client_read_memory(client, 1, 0x10, buf, 4, &error), -EFAULT);
	cr_assert_str_eq(error.message, "gdb stub: no memory at 0x10");
	cr_assert_eq(
	    gdb_client_read_memory(client, 1, 0x10, buf, 4, &error), -EBADMSG);
	sent();
	ANSWERS("OK", "OK", "OK", "E14");
	cr_assert_eq(gdb_client_write_memory(
			 client, GDB_PHYSICAL, 0x20, "\xeb\xfe", 2, &error),
	    0);
	cr_assert_str_eq(sent(), "$Qqemu.PhyMemMode:1#77+$M20,2:ebfe#d9+");
	cr_assert_eq(
	    gdb_client_write_memory(client, 1, 0x20, "\xeb\xfe", 2, &error),
	    -EFAULT);
	close(stub);
}

Test(gdb_client, a_stop_that_comes_in_between_is_kept)
{
	cleanup(gdb_client_free_p) struct gdb_client *client = NULL;
	struct lf_error error;
	struct gdb_stop stop;

	cr_assert_eq(connect_client(&client, &error), 0);
	cr_assert_eq(gdb_client_wait_stop(client, 0, &stop, &error), 0);
	ANSWERS("T05thread:p01.03;", "OK");
	cr_assert_eq(gdb_client_insert_breakpoint(client, 0x1234, &error), 0);
	cr_assert_eq(gdb_client_wait_stop(client, 0, &stop, &error), 1);
	cr_assert_eq(stop.kind, 'T');
	cr_assert_eq(stop.signal, 5);
	cr_assert_eq(stop.thread, 3);
	cr_assert_eq(gdb_client_wait_stop(client, 0, &stop, &error), 0);
	ANSWERS("W00");
	cr_assert_eq(gdb_client_wait_stop(client, 100, &stop, &error), 1);
	cr_assert_eq(stop.kind, 'W');
	close(stub);
}

Test(gdb_client, threads_come_in_several_answers)
{
	cleanup(gdb_client_free_p) struct gdb_client *client = NULL;
	struct lf_error error;
	uint32_t threads[4];

	cr_assert_eq(connect_client(&client, &error), 0);
	ANSWERS("m01,02", "m03", "l", "m01,zz", "m01,02", "m03,04,05", "l");
	cr_assert_eq(gdb_client_threads(client, threads, 4, &error), 3);
	cr_assert_eq(threads[2], 3);
	cr_assert_eq(gdb_client_threads(client, threads, 4, &error), -EBADMSG);
	cr_assert_eq(gdb_client_threads(client, threads, 4, &error), -EFBIG);
	close(stub);
}

Test(gdb_client, silence_refusal_and_the_end_are_told_apart)
{
	cleanup(gdb_client_free_p) struct gdb_client *client = NULL;
	struct lf_error error;
	struct gdb_stop stop;

	cr_assert_eq(connect_client(&client, &error), 0);
	ANSWERS("");
	cr_assert_eq(
	    gdb_client_insert_breakpoint(client, 0x10, &error), -EREMOTEIO);
	cr_assert_str_eq(
	    error.message, "gdb stub: 'Z1,10,1' was answered '', not OK");
	cr_assert_eq(
	    gdb_client_remove_breakpoint(client, 0x10, &error), -ETIMEDOUT);
	cr_assert_str_eq(
	    error.message, "gdb stub: no answer to 'z1,10,1' within 200 ms");
	close(stub);
	cr_assert_eq(gdb_client_detach(client, &error), -EPIPE);
	cr_assert_eq(gdb_client_wait_stop(client, 10, &stop, &error), -EPIPE);
}

Test(gdb_client, every_failing_call_is_an_error_and_leaks_nothing)
{
	struct fault fault = {0};
	struct gdb_client *client;
	struct lf_error error;
	uint64_t value;
	int rc, ends[2];

	for (;;) {
		/* Not calls of what is tested. */
		cr_assert_eq(
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
		    0);
		stub = ends[1];
		ANSWERS(HELLO, "l<reg name=\"rip\"/>", "OK", "00");
		client = NULL;
		if (!fault_next(&fault))
			break;
		rc = gdb_client_new(ends[0], 50, &client, &error);
		if (rc == 0)
			rc = gdb_client_read_register(
			    client, 1, "rip", &value, &error);
		fault_end(&fault);
		cr_assert_eq(rc < 0, fault.hit, "%s", fault.name);
		gdb_client_free(client);
		close(stub);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors - 2);
	}
	close(ends[0]);
	close(ends[1]);
}
