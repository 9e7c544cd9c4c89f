/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * snapshot/: the builder, manifests, sending and receiving. No KVM.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libfork/snapshot.h>

#include "cpu/state.h"
#include "lib/fault.h"
#include "snapshot/manifest.h"
#include "snapshot/regs.h"
#include "snapshot/snapshot.h"
#include "snapshot/vcpu_json.h"

#define MIB 1048576UL

static struct lf_error error;

static struct lf_snapshot_builder *
builder_new(void)
{
	struct lf_snapshot_builder *builder;

	cr_assert_eq(lf_snapshot_builder_new(&builder, &error), 0);
	cr_assert_eq(lf_snapshot_builder_add_buffer(
			 builder, "bytes", 5, 1 * MIB, &error),
	    0);
	cr_assert_eq(lf_snapshot_builder_add_buffer(
			 builder, "more", 4, 64 * 1024, &error),
	    1);
	return builder;
}

static struct lf_snapshot *
snapshot_of_parts(void)
{
	struct lf_snapshot_builder *builder = builder_new();
	struct lf_vcpu_regs regs = {.rip = 0xfff0, .cr0 = 0x10};
	struct lf_snapshot *snapshot;

	cr_assert_eq(
	    lf_snapshot_builder_add_range(builder, 0, 0xa0000, 0, 0, 0, &error),
	    0);
	cr_assert_eq(lf_snapshot_builder_add_range(builder, 0xc0000, 0x10000, 1,
			 0, LF_RANGE_READONLY, &error),
	    0);
	cr_assert_eq(lf_snapshot_builder_add_vcpu(builder, &regs, &error), 0);
	regs.rip = 0xffffffff81000000;
	cr_assert_eq(lf_snapshot_builder_add_vcpu(builder, &regs, &error), 0);
	cr_assert_eq(lf_snapshot_builder_finish(builder, &snapshot, &error), 0);
	cr_assert_eq(
	    lf_snapshot_builder_finish(builder, &snapshot, &error), -EINVAL);
	cr_assert_str_eq(error.message, "the builder has been finished");
	lf_snapshot_builder_free(builder);
	return snapshot;
}

Test(builder, what_does_not_fit_is_refused_and_named)
{
	struct lf_snapshot_builder *builder = builder_new();
	struct lf_vcpu_regs regs = {0};
	struct lf_snapshot *snapshot;

	cr_assert_eq(
	    lf_snapshot_builder_finish(builder, &snapshot, &error), -EINVAL);
	cr_assert_str_eq(error.message, "a snapshot without memory");
	cr_assert_eq(
	    lf_snapshot_builder_add_range(builder, 0, 0x1000, 7, 0, 0, &error),
	    0);
	cr_assert_eq(
	    lf_snapshot_builder_finish(builder, &snapshot, &error), -EINVAL);
	cr_assert_str_eq(error.message, "a snapshot without vCPUs");
	cr_assert_eq(lf_snapshot_builder_add_vcpu(builder, &regs, &error), 0);
	cr_assert_eq(
	    lf_snapshot_builder_finish(builder, &snapshot, &error), -EINVAL);
	cr_assert_str_eq(error.message, "range at 0x0: there is no file 7");
	cr_assert_eq(lf_snapshot_builder_add_range(
			 builder, 0x2000, 0x1000, 0, 0, 6, &error),
	    -EINVAL);
	cr_assert_str_eq(error.message, "unknown flags 0x6 of a range");
	cr_assert_eq(
	    lf_snapshot_builder_add_buffer(builder, "12", 2, 1000, &error),
	    -EINVAL);
	lf_snapshot_builder_free(builder);

	builder = builder_new();
	cr_assert_eq(lf_snapshot_builder_add_vcpu(builder, &regs, &error), 0);
	cr_assert_eq(
	    lf_snapshot_builder_add_range(builder, 0, 0x20000, 1, 0, 0, &error),
	    0);
	cr_assert_eq(
	    lf_snapshot_builder_finish(builder, &snapshot, &error), -EINVAL);
	cr_assert_str_eq(error.message,
	    "range 0x0+0x20000 at offset 0x0 goes beyond the end of file 1 "
	    "(0x10000 bytes)");
	lf_snapshot_builder_free(builder);
	lf_snapshot_builder_free(NULL);
}

Test(regs, users_registers_and_the_tables_are_the_same)
{
	struct lf_vcpu_regs regs, back;
	struct cpu_sregs sregs;
	struct cpu_regs gprs;
	uint8_t *bytes = (uint8_t *)&regs;
	size_t i;

	/* Every bit that has a place on the other side, pattern by pattern. */
	for (i = 0; i < sizeof(regs); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	regs.cs.access = 0xa0fb;
	regs.ss.access = 0xc0f3;
	regs.ds.access = 0xc093;
	regs.es.access = 0x0000;
	regs.fs.access = 0x10f3;
	regs.gs.access = 0xc0f2;
	regs.tr.access = 0x008b;
	regs.ldt.access = 0x0082;
	regs_to_state(&regs, &gprs, &sregs);
	cr_assert(sregs.es.unusable);
	cr_assert(!sregs.cs.unusable && sregs.cs.l && !sregs.cs.db);
	regs_from_state(&gprs, &sregs, &back);
	cr_assert_eq(back.r15, regs.r15);
	cr_assert_eq(memcmp(&back.cs.base, &regs.cs.base, 8), 0);
	cr_assert_eq(back.cs.access, regs.cs.access);
	cr_assert_eq(back.fs.access, regs.fs.access);
	cr_assert_eq(back.ldt.access, regs.ldt.access);
	cr_assert_eq(back.idt.limit, regs.idt.limit);
	cr_assert_eq(back.apic_base, regs.apic_base);
	cr_assert_eq(back.cr8, regs.cr8);
}

Test(vcpu_json, a_full_state_comes_back_as_it_was)
{
	struct cpu_state *state = cpu_state_new(4096), *back;
	struct lf_error why = {0};
	json_t *object;
	uint32_t i;

	state->groups = CPU_GROUP_ALL;
	for (i = 0; i < sizeof(state->regs) / 8; i++)
		((uint64_t *)&state->regs)[i] = ~0UL - i;
	state->sregs.cs = (struct cpu_segment){.base = 0xffff800000000000,
	    .limit = 0xffffffff,
	    .selector = 0x33,
	    .type = 11,
	    .present = 1,
	    .dpl = 3,
	    .s = 1,
	    .l = 1,
	    .g = 1};
	state->sregs.efer = 0xd01;
	state->xsave.bytes[4095] = 0xa5;
	state->lapic.present = 1;
	state->lapic.regs[0x320] = 0x31;
	state->nested.size = 128;
	state->debugregs.dr7 = 0x401;
	state->tsc.tsc = 123456789;
	state->tsc.offset = ~0UL;
	state->events.interrupt.shadow = CPU_SHADOW_STI;
	for (i = 0; i < 20; i++)
		cr_assert_eq(cpu_state_set_msr(
				 state, 0xc0000080 + i, ~0UL / (i + 1), NULL),
		    0);
	object = vcpu_json_write(state);
	cr_assert_not_null(object);
	cr_assert_eq(vcpu_json_read(object, &back, &why), 0, "%s", why.message);
	cr_assert_eq(cpu_state_compare(state, back, CPU_GROUP_ALL, &why), 0,
	    "%s", why.message);
	cr_assert_eq(back->tsc.tsc, 123456789);
	cr_assert_eq(back->tsc.offset, ~0UL);
	cpu_state_free(back);

	/* Each missing or malformed field is named. */
	json_object_set_new(object, "regs.rax", json_string("0xzz"));
	cr_assert_eq(vcpu_json_read(object, &back, &why), -EBADMSG);
	cr_assert_not_null(strstr(why.message, "'regs.rax'"));
	json_object_set_new(object, "regs.rax", json_string("0x1"));
	json_object_set_new(object, "lapic", json_string("00"));
	cr_assert_eq(vcpu_json_read(object, &back, &why), -EBADMSG);
	cr_assert_str_eq(
	    why.message, "field 'lapic' is not 1024 hexadecimal bytes");
	json_array_append_new(
	    json_object_get(object, "groups"), json_string("soul"));
	cr_assert_eq(vcpu_json_read(object, &back, &why), -EBADMSG);
	cr_assert_str_eq(why.message, "unknown group of state 'soul'");
	json_decref(object);
	cpu_state_free(state);
}

/* --- manifests --- */

/*
 * KVM reads as many bytes as the state says it has, and those of a nested
 * guest lie behind the header, where we have none.
 */
Test(vcpu_json, a_nested_guest_in_a_state_is_refused)
{
	static const struct {
		const char *field, *value;
	} bad[] = {
	    {"nested.size", "0x1080"},
	    {"nested.size", "0x10"},
	    {"nested.flags", "0x1"},
	};
	struct cpu_state *state = cpu_state_new(0), *back;
	size_t i;

	state->groups = CPU_GROUP_NESTED;
	state->nested.size = sizeof(state->nested);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *object = vcpu_json_write(state);

		cr_assert_eq(vcpu_json_read(object, &back, &error), 0, "%s",
		    error.message);
		cpu_state_free(back);
		cr_assert_not_null(json_object_get(object, bad[i].field));
		json_object_set_new(
		    object, bad[i].field, json_string(bad[i].value));
		cr_assert_eq(vcpu_json_read(object, &back, &error), -EBADMSG,
		    "%s %s", bad[i].field, bad[i].value);
		cr_assert_str_eq(error.message,
		    "field 'nested' is not the state of a vCPU outside of "
		    "nested guests");
		json_decref(object);
	}
	cpu_state_free(state);
}

Test(manifest, a_snapshot_comes_back_as_it_was)
{
	struct lf_snapshot *snapshot = snapshot_of_parts(), *back;
	json_t *manifest = manifest_write(snapshot), *again;
	int fds[MANIFEST_FILES_MAX];
	size_t count = manifest_files(snapshot, fds);

	cr_assert_eq(count, 2);
	cr_assert_eq(manifest_read(manifest, fds, count, &back, &error), 0,
	    "%s", error.message);
	again = manifest_write(back);
	cr_assert(json_equal(manifest, again));
	cr_assert_eq(lf_snapshot_vcpus(back), 2);
	cr_assert_eq(lf_snapshot_memory_bytes(back), 0xb0000);
	cr_assert_eq(back->map.ranges[1].flags, MEMORY_READONLY);
	lf_snapshot_unref(back);

	cr_assert_eq(manifest_read(manifest, fds, 1, &back, &error), -EBADMSG);
	cr_assert_str_eq(error.message,
	    "manifest: the file for file 1 was not sent, only 1 were");
	json_decref(manifest);
	json_decref(again);
	lf_snapshot_unref(snapshot);
}

Test(manifest, each_wrong_value_is_refused_by_name)
{
	static const struct {
		const char *key, *json, *message;
	} cases[] = {
	    {"format", "2",
		"manifest: 'format' is missing or no number up to 1"},
	    {"map", "{}",
		"manifest: 'map' is missing or no array of up to 4096"},
	    {"map", "[{\"gpa\":-4096}]",
		"manifest: 'gpa' is missing or no number up to "
		"9223372036854775807"},
	    {"map", "[{\"gpa\":0,\"length\":4096,\"offset\":0,\"file\":9}]",
		"range at 0x0: there is no file 9"},
	    {"map", "[{\"gpa\":1,\"length\":4096,\"offset\":0,\"file\":0}]",
		"range 0x1+0x1000 at offset 0x0 is not made of whole pages"},
	    {"files", "[1048576]", "range at 0xc0000: there is no file 1"},
	    {"files", "[1048576,1073741824]",
		"memory 'file 1' has 65536 bytes, 1073741824 are wanted"},
	    {"blocks",
		"[{\"id\":\"ram\",\"file\":0,\"offset\":0,"
		"\"length\":9999999,\"page_size\":4096}]",
		"RAM block 'ram' (0x0+0x98967f) lies outside of file 0"},
	    {"delta", "{\"size\":4096,\"runs\":[]}",
		"manifest: the file for the delta was not sent, only 2 were"},
	    {"irqchip", "\"none of them\"",
		"manifest: unknown irqchip 'none of them'"},
	    {"vcpu_count", "3", "manifest: 3 vCPUs, but the states of 2"},
	    {"vcpus", "[{\"groups\":[\"regs\"]},{}]",
		"manifest: vCPU 0: field 'regs.rax' is missing or no "
		"hexadecimal number"},
	    {"cpuid", "[[1,2,3,4,5,6,4294967296]]",
		"'cpuid': leaf 0 has a bad word 6"},
	    {"devstate", "100",
		"manifest: the file for the device stream was not sent, only "
		"2 were"},
	};
	struct lf_snapshot *snapshot = snapshot_of_parts(), *back;
	int fds[MANIFEST_FILES_MAX];
	size_t count = manifest_files(snapshot, fds), i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *manifest = manifest_write(snapshot);

		json_object_set_new(manifest, cases[i].key,
		    json_loads(cases[i].json, JSON_DECODE_ANY, NULL));
		cr_assert_lt(manifest_read(manifest, fds, count, &back, &error),
		    0, "case %zu", i);
		cr_assert_str_eq(error.message, cases[i].message);
		json_decref(manifest);
	}
	lf_snapshot_unref(snapshot);
}

/* --- sending and receiving --- */

Test(transfer, a_snapshot_arrives_and_what_follows_it_stays_in_the_socket)
{
	struct lf_snapshot *snapshot = snapshot_of_parts(), *back;
	int sockets[2];
	char text[8] = "";

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	cr_assert_eq(lf_snapshot_send(sockets[0], snapshot, &error), 0);
	cr_assert_eq(write(sockets[0], "next", 4), 4);
	cr_assert_eq(lf_snapshot_receive(sockets[1], &back, &error), 0, "%s",
	    error.message);
	cr_assert_eq(read(sockets[1], text, sizeof(text)), 4);
	cr_assert_str_eq(text, "next");
	cr_assert_eq(ram_image_read(back->image, 0, 0, text, 6, &error), 0);
	cr_assert_str_eq(text, "bytes");
	lf_snapshot_unref(back);
	lf_snapshot_unref(snapshot);
}

struct sending {
	struct lf_snapshot *snapshot;
	int sock;
};

static void *
send_main(void *opaque)
{
	const struct sending *sending = opaque;

	lf_snapshot_send(sending->sock, sending->snapshot, NULL);
	return NULL;
}

/* Forks of it take the snapshot's lock. */
Test(transfer, who_does_not_read_keeps_nobody_from_forking)
{
	struct lf_snapshot *snapshot = snapshot_of_parts();
	static const char zeros[4096];
	struct ram_image *image;
	pthread_t thread;
	struct sending sending = {.snapshot = snapshot};
	int sockets[2];
	char buf[4096];

	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
	while (write(sockets[0], zeros, sizeof(zeros)) > 0)
		;
	while (write(sockets[0], zeros, 1) > 0)
		;
	sending.sock = sockets[0];
	cr_assert_eq(pthread_create(&thread, NULL, send_main, &sending), 0);
	usleep(50000);
	alarm(20);
	cr_assert_eq(snapshot_image(snapshot, &image, &error), 0);
	alarm(0);
	ram_image_unref(image);
	while (read(sockets[1], buf, sizeof(buf)) > 0)
		;
	close(sockets[1]);
	pthread_join(thread, NULL);
	close(sockets[0]);
	lf_snapshot_unref(snapshot);
}

Test(transfer, rubbish_and_broken_connections_are_errors)
{
	static const struct {
		uint64_t length;
		const char *text, *message;
	} cases[] = {
	    {0, "",
		"cannot receive a snapshot: a manifest of 0 bytes; at most "
		"33554432 are possible"},
	    {1UL << 40, "",
		"cannot receive a snapshot: a manifest of 1099511627776 "
		"bytes; at most 33554432 are possible"},
	    {5, "[1,2]",
		"cannot receive a snapshot: manifest: 'format' is missing or "
		"no number up to 1"},
	    {100, "{}",
		"cannot receive a snapshot: the connection ended 98 bytes too "
		"early"},
	};
	struct lf_snapshot *back;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t length = htobe64(cases[i].length);
		int sockets[2];

		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
		cr_assert_eq(write(sockets[0], &length, 8), 8);
		cr_assert_eq(
		    write(sockets[0], cases[i].text, strlen(cases[i].text)),
		    (ssize_t)strlen(cases[i].text));
		close(sockets[0]);
		cr_assert_lt(lf_snapshot_receive(sockets[1], &back, &error), 0);
		cr_assert_str_eq(error.message, cases[i].message);
		close(sockets[1]);
	}
}

Test(transfer, every_call_may_fail_and_nothing_leaks)
{
	struct lf_snapshot *snapshot = snapshot_of_parts();

	FAULT_LOOP(fault)
	{
		struct lf_snapshot *back = NULL;
		int sockets[2], rc;

		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
		lf_error_clear(&error);
		rc = lf_snapshot_send(sockets[0], snapshot, &error);
		close(sockets[0]);
		if (rc == 0)
			rc = lf_snapshot_receive(sockets[1], &back, &error);
		fault_end(&fault);
		if (rc < 0)
			cr_assert_neq(error.message[0], '\0');
		cr_assert(rc == 0 || fault.hit, "%s", error.message);
		lf_snapshot_unref(back);
		close(sockets[1]);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors,
		    "after %s", fault.name);
	}
	lf_snapshot_unref(snapshot);
}
