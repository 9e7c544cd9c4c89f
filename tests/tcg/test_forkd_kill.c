/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SIGKILL for each of forkd's processes, at any step: what is left belongs to
 * a listed domain, everything else goes on and obeys.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/count.h"
#include "lib/forkd_account.h"
#include "lib/forkd_test.h"
#include "lib/guest_vm.h"

TestSuite(
    forkd_kill, .init = forkd_setup, .fini = forkd_teardown, .timeout = 600);

static void
kill_process(unsigned id, const char *member)
{
	cr_assert_eq(kill((pid_t)forkd_number(id, member), SIGKILL), 0);
}

/* Clock ticks that a process has used. */
static unsigned long
used_ticks(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	stat = fopen(path, "re");
	cr_assert_not_null(stat);
	cr_assert_eq(fscanf(stat,
			 "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u "
			 "%*u %*u %lu %lu",
			 &user, &system),
	    2);
	fclose(stat);
	return user + system;
}

/* Somebody who sleeps, as busy as the machine may be. */
static void
check_idle(pid_t pid)
{
	unsigned long before = used_ticks(pid);

	sleep(1);
	cr_assert_leq(used_ticks(pid) - before, 2);
}

Test(forkd_kill, a_qemu_leaves_a_crashed_domain_and_no_other_notices)
{
	char *serial = guest_path("b.serial");
	unsigned a, b;

	forkd_start(NULL);
	a = forkd_create(guest_bootless("a"));
	b = forkd_create(guest_bootless("b"));
	kill_process(a, "qemu-pid");
	forkd_wait_state(a, "crashed");
	cr_assert_str_eq(forkd_text(a, "reason"), "QEMU ended: it was killed");
	check_idle((pid_t)forkd_number(a, "pid"));
	forkd_wait_tick(serial, forkd_wait_tick(serial, 0));
	forkd_do("pause", b);
	forkd_refuses("unpause", forkd_domain(a), -EBADFD,
	    "is crashed (QEMU ended: it was killed)");
	forkd_do("destroy", a);
	forkd_do("destroy", b);
	forkd_check_empty();
	free(serial);
}

Test(forkd_kill, a_domain_process_takes_its_qemu_along_and_is_listed)
{
	unsigned a, fork;

	forkd_start(NULL);
	a = forkd_create(guest_bootless("a"));
	fork = forkd_fork(a);
	forkd_wait_processes(5);
	kill_process(fork, "pid");
	forkd_wait_state(fork, "crashed");
	cr_assert_str_eq(forkd_text(fork, "reason"),
	    "its domain process was killed by signal 9");
	forkd_wait_processes(3);
	/* Its lease is over: the parent may run. */
	forkd_do("unpause", a);
	kill_process(a, "pid");
	forkd_wait_state(a, "crashed");
	forkd_wait_processes(1);
	forkd_do("destroy", fork);
	forkd_do("destroy", a);
	forkd_check_empty();
}

Test(forkd_kill, a_new_forkd_adopts_what_the_old_one_had)
{
	char *serial = guest_path("b.serial");
	unsigned a, b, fork, tick;

	forkd_start(NULL);
	a = forkd_create(guest_bootless("a"));
	b = forkd_create(guest_bootless("b"));
	fork = forkd_fork(a);
	forkd_kill();
	tick = forkd_wait_tick(serial, 0);
	/* Nobody is needed for a guest to go on. */
	forkd_wait_tick(serial, tick);
	forkd_start(NULL);
	cr_assert_str_eq(forkd_text(a, "state"), "frozen");
	cr_assert_str_eq(forkd_text(b, "state"), "running");
	cr_assert_eq(forkd_number(fork, "parent"), a);
	forkd_refuses("unpause", forkd_domain(a), -EBUSY, "held by 1 fork");
	forkd_do("pause", b);
	forkd_do("unpause", b);
	/* It can still start programs for them. */
	cr_assert_eq(forkd_fork(a), 4);
	cr_assert_eq(forkd_fork(fork), 5);
	/* Again, this time in good order. */
	forkd_stop();
	forkd_start(NULL);
	forkd_do("destroy", 5);
	forkd_do("destroy", 4);
	forkd_do("destroy", fork);
	forkd_do("unpause", a);
	forkd_do("destroy", a);
	forkd_do("destroy", b);
	forkd_check_empty();
	free(serial);
}

Test(forkd_kill, domains_that_died_without_a_forkd_are_listed_as_crashed)
{
	unsigned a, b, c;
	pid_t process, qemu;

	forkd_start(NULL);
	a = forkd_create(guest_bootless("a"));
	b = forkd_create(guest_bootless("b"));
	c = forkd_create(guest_bootless("c"));
	process = (pid_t)forkd_number(a, "pid");
	qemu = (pid_t)forkd_number(b, "qemu-pid");
	forkd_kill();
	kill(process, SIGKILL);
	kill(qemu, SIGKILL);
	forkd_start(NULL);
	forkd_wait_state(a, "crashed");
	/* Gone, or a zombie that does not answer: whoever reaps decides. */
	cr_assert_eq(
	    strncmp(forkd_text(a, "reason"), "its domain process ", 19), 0,
	    "%s", forkd_text(a, "reason"));
	forkd_wait_state(b, "crashed");
	cr_assert_str_eq(forkd_text(b, "reason"), "QEMU ended: it was killed");
	cr_assert_str_eq(forkd_text(c, "state"), "running");
	/* The QEMU of a was ended; b's domain process waits for the end. */
	forkd_wait_processes(1 + 1 + 2);
	forkd_do("destroy", a);
	forkd_do("destroy", b);
	forkd_do("destroy", c);
	forkd_check_empty();
}

/* --- domains that nobody adopts --- */

Test(forkd_kill, domains_whose_run_directory_is_gone_end_with_all_they_have)
{
	struct lf_domain_config *config = guest_bootless("a");
	unsigned a;

	/* The fork has an overlay, which it cannot ask anybody to remove. */
	guest_add_disk(config, "disk");
	forkd_start(NULL);
	a = forkd_create(config);
	forkd_fork(a);
	forkd_create(guest_bootless("b"));
	forkd_wait_processes(1 + 3 * 2);
	forkd_kill();
	guest_shell("rm -rf %s/run", guest_dir());
	/* No forkd can find them again. */
	forkd_wait_processes(0);
}

Test(forkd_kill, domains_end_when_nobody_adopts_them_in_the_time_they_have)
{
	static const char *const options[] = {"--adopt-within", "1", NULL};
	unsigned a, fork;

	forkd_start(options);
	a = forkd_create(guest_bootless("a"));
	fork = forkd_fork(a);
	forkd_kill();
	forkd_wait_processes(0);
	forkd_start(options);
	forkd_wait_state(a, "crashed");
	cr_assert_eq(
	    strncmp(forkd_text(a, "reason"), "its domain process ", 19), 0,
	    "%s", forkd_text(a, "reason"));
	forkd_wait_state(fork, "crashed");
	forkd_do("destroy", fork);
	forkd_do("destroy", a);
	forkd_check_empty();
}

Test(forkd_kill, a_domain_that_was_adopted_in_time_goes_on)
{
	static const char *const options[] = {"--adopt-within", "8", NULL};
	char *serial = guest_path("a.serial");
	unsigned a;

	forkd_start(options);
	a = forkd_create(guest_bootless("a"));
	forkd_kill();
	forkd_start(options);
	/* Longer than it would have waited. */
	sleep(9);
	cr_assert_str_eq(forkd_text(a, "state"), "running");
	forkd_wait_tick(serial, forkd_wait_tick(serial, 0));
	forkd_do("destroy", a);
	forkd_check_empty();
	free(serial);
}

/* --- at any step --- */

static json_t *
create_arguments(void)
{
	struct lf_domain_config *config = guest_bootless("a");
	json_t *arguments =
	    json_pack("{s:o}", "config", forkd_config_value(config));

	lf_domain_config_free(config);
	return arguments;
}

/* The steps of a creation or of a fork take this long, here. */
#define STEPS_US 160000

static unsigned long
step_us(void)
{
	return STEPS_US / test_count(12, 160);
}

Test(forkd_kill, forkd_at_any_step_of_a_creation)
{
	unsigned long us;

	for (us = 0; us < STEPS_US; us += step_us()) {
		pid_t aside;

		forkd_start(NULL);
		aside = forkd_call_aside("create", create_arguments());
		usleep((useconds_t)us);
		forkd_kill();
		waitpid(aside, NULL, 0);
		forkd_start(NULL);
		forkd_check_accounts();
		forkd_destroy_all();
		forkd_kill();
	}
}

Test(forkd_kill, forkd_at_any_step_of_a_fork)
{
	unsigned long us;

	for (us = 0; us < STEPS_US; us += step_us()) {
		struct lf_domain_config *config = guest_bootless("a");
		unsigned parent;
		pid_t aside;

		forkd_start(NULL);
		guest_add_disk(config, "disk");
		parent = forkd_create(config);
		aside = forkd_call_aside("fork-vm", forkd_domain(parent));
		usleep((useconds_t)us);
		forkd_kill();
		waitpid(aside, NULL, 0);
		forkd_start(NULL);
		forkd_check_accounts();
		/* The parent is there, and obeys, frozen or not yet. */
		forkd_fork(parent);
		forkd_destroy_all();
		forkd_kill();
	}
}

Test(forkd_kill, forkd_at_any_step_and_no_other_comes)
{
	unsigned long us;

	for (us = 0; us < STEPS_US; us += 2 * step_us()) {
		pid_t aside;

		forkd_start(NULL);
		aside = forkd_call_aside("create", create_arguments());
		usleep((useconds_t)us);
		forkd_kill();
		waitpid(aside, NULL, 0);
		guest_shell("rm -rf %s/run", guest_dir());
		/* Also a QEMU that nobody was told of yet. */
		forkd_wait_processes(0);
	}
}

Test(forkd_kill, forkd_at_any_step_of_a_destruction)
{
	json_t *arguments;
	unsigned long us;

	for (us = 0; us < STEPS_US / 4; us += step_us() / 2) {
		unsigned parent;
		pid_t aside;

		forkd_start(NULL);
		parent = forkd_create(guest_bootless("a"));
		forkd_fork(parent);
		arguments = forkd_domain(parent);
		json_object_set_new(arguments, "recursive", json_true());
		aside = forkd_call_aside("destroy", arguments);
		usleep((useconds_t)us);
		forkd_kill();
		waitpid(aside, NULL, 0);
		forkd_start(NULL);
		forkd_check_accounts();
		forkd_destroy_all();
		forkd_kill();
	}
}

Test(forkd_kill, a_client_at_any_step)
{
	unsigned long us;

	forkd_start(NULL);
	for (us = 0; us < STEPS_US; us += 2 * step_us()) {
		pid_t aside = forkd_call_aside("create", create_arguments());

		usleep((useconds_t)us);
		kill(aside, SIGKILL);
		waitpid(aside, NULL, 0);
		/* What it asked for is done, or was never heard of. */
		usleep(300000);
		forkd_check_accounts();
		forkd_destroy_all();
	}
}

/* Domain `id` of the list, when it has such a process by now; 0. */
static pid_t
find_process(unsigned id, const char *member)
{
	json_t *list = forkd_call("list", NULL), *row;
	pid_t pid = 0;
	size_t i;

	json_array_foreach(json_object_get(list, "domains"), i,
	    row) if ((unsigned)json_integer_value(json_object_get(row, "id")) ==
		     id) pid =
	    (pid_t)json_integer_value(json_object_get(row, member));
	json_decref(list);
	return pid;
}

static void
kill_during_fork(
    unsigned parent, unsigned next, const char *member, unsigned long us)
{
	pid_t aside = forkd_call_aside("fork-vm", forkd_domain(parent));
	pid_t victim = 0;
	int tries;

	for (tries = 0; victim == 0 && tries < 200; tries++) {
		victim = find_process(next, member);
		usleep(1000);
	}
	usleep((useconds_t)us);
	if (victim > 0)
		kill(victim, SIGKILL);
	waitpid(aside, NULL, 0);
	forkd_check_accounts();
}

Test(forkd_kill, the_processes_of_a_fork_at_any_step)
{
	unsigned parent, next;
	unsigned long us;
	int i;

	forkd_start(NULL);
	parent = forkd_create(guest_bootless("a"));
	for (i = 0; i < 2; i++)
		for (us = 0; us < STEPS_US / 2; us += step_us()) {
			next = forkd_fork(parent) + 1;
			kill_during_fork(
			    parent, next, i == 0 ? "pid" : "qemu-pid", us);
			forkd_do("destroy", next - 1);
			if (find_process(next, "id") != 0)
				forkd_do("destroy", next);
		}
	/* None of them is left as a holder. */
	forkd_do("unpause", parent);
	forkd_destroy_all();
}
