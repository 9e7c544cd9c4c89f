/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Linux guest with two vCPUs run up to addresses, by both methods: it
 * stands exactly there, nothing of the stub is left, and it goes on.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "qemu/run_until.h"
#include "tcg/linux_guest.h"

#define TIMEOUT_MS 300000

static struct linux_guest guest;

static uint64_t
address_in(const char *kallsyms, const char *symbol)
{
	char wanted[64];
	const char *at;

	snprintf(wanted, sizeof(wanted), " %s\n", symbol);
	at = strstr(kallsyms, wanted);
	cr_assert_not_null(at, "no %s", symbol);
	while (at > kallsyms && at[-1] != '\n')
		at--;
	return strtoull(at, NULL, 16);
}

/* A register of a vCPU from the human monitor, a source of its own. */
static uint64_t
monitor_register(unsigned vcpu, const char *name)
{
	json_t *answer = NULL;
	const char *at;
	uint64_t value;

	cr_assert_eq(qmp_execute(guest.qmp, "human-monitor-command",
			 json_pack("{s:s, s:i}", "command-line",
			     "info registers", "cpu-index", (int)vcpu),
			 &answer, NULL),
	    0);
	at = strstr(json_string_value(answer), name);
	cr_assert_not_null(at);
	value = strtoull(at + strlen(name), NULL, 16);
	json_decref(answer);
	return value;
}

static void
check_nothing_is_left(void)
{
	json_t *list = NULL, *chardev;
	size_t i;

	cr_assert_eq(
	    qmp_execute(guest.qmp, "query-chardev", NULL, &list, NULL), 0);
	json_array_foreach(list, i, chardev)
	{
		const char *label =
		    json_string_value(json_object_get(chardev, "label"));

		cr_assert_str_neq(label, "xlfork-gdb");
	}
	json_decref(list);
}

static bool
is_running(void)
{
	json_t *status = NULL;
	bool running;

	cr_assert_eq(
	    qmp_execute(guest.qmp, "query-status", NULL, &status, NULL), 0);
	running = json_is_true(json_object_get(status, "running"));
	json_decref(status);
	return running;
}

static void
go_on(void)
{
	cr_assert_eq(qmp_execute(guest.qmp, "cont", NULL, NULL, NULL), 0);
}

/* The kernel's text: no byte of a method may stay in it. */
static uint64_t
hash_of_text(uint64_t from, uint64_t to)
{
	uint64_t hash = 0xcbf29ce484222325, gpa = 0;
	char line[64];
	char *text = NULL;

	snprintf(line, sizeof(line), "gva2gpa 0x%" PRIx64, from);
	cr_assert_eq(qmp_hmp(guest.qmp, line, &text, NULL), 0);
	cr_assert_eq(sscanf(text, "gpa: %" SCNx64, &gpa), 1, "%s", text);
	free(text);
	cr_assert_lt(gpa + (to - from), (uint64_t)LINUX_GUEST_RAM);
	for (uint64_t i = gpa; i < gpa + (to - from); i++)
		hash = (hash ^ guest.ram[i]) * 0x100000001b3;
	return hash;
}

static void
arrives(uint64_t address, enum run_until_method method)
{
	struct run_until_options options = {
	    .address = address, .method = method, .timeout_ms = TIMEOUT_MS};
	struct run_until_result result;
	struct lf_error error;

	cr_assert_eq(run_until(guest.qmp, &options, &result, &error), 1, "%s",
	    error.message);
	cr_assert_eq(result.arrivals, 1);
	cr_assert_lt(result.vcpu, 2);
	cr_assert(!is_running());
	cr_assert_eq(monitor_register(result.vcpu, "RIP="), address);
	cr_assert_eq(monitor_register(result.vcpu, "CR3="), result.cr3);
	check_nothing_is_left();

	/* Again, only in that address space; then in one that is none. */
	options.match_cr3 = true;
	options.cr3 = result.cr3 | 0xfff;
	cr_assert_eq(run_until(guest.qmp, &options, &result, &error), 1, "%s",
	    error.message);
	cr_assert_eq(result.cr3 >> 12, options.cr3 >> 12);
	cr_assert_eq(monitor_register(result.vcpu, "RIP="), address);
	go_on();
}

/* Each arrival is announced before it happens: the count is seen outside. */
static void
arrives_the_fourth_time(uint64_t address, enum run_until_method method)
{
	struct run_until_options options = {.address = address,
	    .method = method,
	    .count = 4,
	    .timeout_ms = TIMEOUT_MS};
	struct run_until_result result;
	struct lf_error error;
	char text[1024];

	/* Told while it stands, it cannot be faster than we are. */
	cr_assert_eq(qmp_execute(guest.qmp, "stop", NULL, NULL, NULL), 0);
	linux_guest_send(&guest,
	    "for i in 1 2 3 4 5 6; do echo call $i; hostname h$i; done");
	cr_assert_eq(run_until(guest.qmp, &options, &result, &error), 1, "%s",
	    error.message);
	cr_assert_eq(result.arrivals, 4);
	cr_assert_eq(monitor_register(result.vcpu, "RIP="), address);
	linux_guest_output(&guest, 200, text, sizeof(text));
	cr_assert_not_null(strstr(text, "call 3"), "%s", text);
	cr_assert_null(strstr(text, "call 5"), "%s", text);
	go_on();
	cr_assert_eq(
	    linux_guest_run(&guest, "hostname", text, sizeof(text)), 0);
	cr_assert_str_eq(text, "h6\n");
}

static void
never_arrives(uint64_t address, enum run_until_method method)
{
	struct run_until_options options = {
	    .address = address, .method = method, .timeout_ms = 300};
	struct run_until_result result;
	struct lf_error error;
	char wanted[160], text[64];

	snprintf(wanted, sizeof(wanted),
	    "0x%" PRIx64 " was reached 0 of 1 times within 300 ms; the guest "
	    "runs on",
	    address);
	cr_assert_eq(
	    run_until(guest.qmp, &options, &result, &error), -ETIMEDOUT);
	cr_assert_str_eq(error.message, wanted);
	cr_assert(is_running());
	check_nothing_is_left();

	/* An address that no vCPU has. */
	options.address = 0xffffffff00000000;
	cr_assert_eq(
	    run_until(guest.qmp, &options, &result, &error), -ETIMEDOUT);
	cr_assert(is_running());

	/* Given up in the middle; a second one meanwhile is refused. */
	{
		cleanup(run_until_free_p) struct run_until *run = NULL;
		struct run_until *other = NULL;

		options.address = address;
		options.timeout_ms = -1;
		cr_assert_eq(run_until_start(guest.qmp, &options, &run, &error),
		    0, "%s", error.message);
		cr_assert_eq(run_until_step(run, &result, &error), 0);
		cr_assert_eq(
		    run_until_start(guest.qmp, &options, &other, &error),
		    -EREMOTEIO);
		cr_assert_null(other);
		cr_assert(is_running());
		cr_assert_eq(run_until_step(run, &result, &error), 0);
	}
	cr_assert(is_running());
	check_nothing_is_left();
	cr_assert_eq(
	    linux_guest_run(&guest, "echo alive", text, sizeof(text)), 0);
	cr_assert_str_eq(text, "alive\n");
}

static void
ends_while_it_is_awaited(void)
{
	struct run_until_options options = {
	    .address = 0xffffffff00000000, .timeout_ms = TIMEOUT_MS};
	struct run_until_result result;
	struct lf_error error;

	linux_guest_send(&guest, "(usleep 300000; poweroff -f) &");
	cr_assert_eq(run_until(guest.qmp, &options, &result, &error), -EPIPE);
	cr_assert_neq(error.message[0], '\0');
}

Test(run_until, a_linux_guest_stops_where_it_is_told, .timeout = 600)
{
	uint64_t syscall, sethostname, init, stext, etext, hash;
	size_t len;
	char *text;
	int method;

	linux_guest_start(&guest, linux_guest_on_kvm() ? 1 : 2, "");
	text = linux_guest_file(&guest, "/proc/kallsyms", &len);
	syscall = address_in(text, "do_syscall_64");
	sethostname = address_in(text, "__x64_sys_sethostname");
	init = address_in(text, "kallsyms_init");
	stext = address_in(text, "_stext");
	etext = address_in(text, "_etext");
	free(text);
	linux_guest_run(&guest, "(while usleep 50000; do :; done) &", NULL, 0);
	cr_assert_eq(qmp_execute(guest.qmp, "stop", NULL, NULL, NULL), 0);
	hash = hash_of_text(stext, etext);
	go_on();
	/* The lab's KVM reports no breakpoints; that is what the loop is for.
	 */
	for (method = linux_guest_on_kvm() ? RUN_UNTIL_LOOP
					   : RUN_UNTIL_BREAKPOINT;
	     method <= RUN_UNTIL_LOOP; method++) {
		arrives(syscall, method);
		arrives_the_fourth_time(sethostname, method);
		never_arrives(init, method);
		cr_assert_eq(
		    qmp_execute(guest.qmp, "stop", NULL, NULL, NULL), 0);
		cr_assert_eq(hash_of_text(stext, etext), hash,
		    "method %d changed the guest's code", method);
		go_on();
	}
	if (!linux_guest_on_kvm())
		ends_while_it_is_awaited();
	linux_guest_stop(&guest);
}
