/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What forkd says it has, and what is there.
 */
#include "lib/forkd_account.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/forkd_test.h"

/* What belongs to the domains of a list, and what is there. */
struct account {
	unsigned domains, processes, forks;
	unsigned there, directories, overlays, memory_files;
};

/* A fork without device model is in its parent's process. */
static bool
has_own_process(const json_t *list, size_t index)
{
	const json_t *rows = json_object_get(list, "domains"), *pid, *other;
	size_t i;

	pid = json_object_get(json_array_get(rows, index), "pid");
	for (i = 0; pid != NULL && i < index; i++) {
		other = json_object_get(json_array_get(rows, i), "pid");
		if (other != NULL && json_equal(pid, other))
			return false;
	}
	return pid != NULL;
}

static void
take_account(struct account *a)
{
	json_t *list = forkd_call("list", NULL), *row;
	size_t i;

	*a = (struct account){.processes = 1};
	json_array_foreach(json_object_get(list, "domains"), i, row)
	{
		a->domains++;
		a->processes += has_own_process(list, i);
		a->processes += json_object_get(row, "qemu-pid") != NULL;
		a->forks += json_object_get(row, "parent") != NULL;
	}
	json_decref(list);
	a->there = forkd_processes();
	a->directories = forkd_directories();
	a->overlays = forkd_overlays();
	a->memory_files = forkd_memory_files();
}

void
forkd_check_accounts(void)
{
	struct account a;
	int tries;

	for (tries = 0; tries < 1000; tries++) {
		take_account(&a);
		if (a.there == a.processes && a.directories == a.domains &&
		    a.overlays <= a.forks && a.memory_files == 0)
			return;
		usleep(20000);
	}
	cr_assert(false,
	    "%u domains: %u processes for %u, %u directories, %u overlays for "
	    "%u forks, %u memory files in forkd",
	    a.domains, a.there, a.processes, a.directories, a.overlays, a.forks,
	    a.memory_files);
}

/* The first domain of the list; 0: there is none. */
static unsigned
first_domain(void)
{
	json_t *list = forkd_call("list", NULL);
	const json_t *row = json_array_get(json_object_get(list, "domains"), 0);
	unsigned id = (unsigned)json_integer_value(json_object_get(row, "id"));

	json_decref(list);
	return id;
}

void
forkd_destroy_all(void)
{
	unsigned id;
	int tries, status;

	for (tries = 0; (id = first_domain()) != 0; tries++) {
		json_t *arguments = forkd_domain(id);

		json_object_set_new(arguments, "recursive", json_true());
		/* One that goes already, by itself, refuses it. */
		waitpid(forkd_call_aside("destroy", arguments), &status, 0);
		cr_assert_lt(tries, 200, "domain %u stays", id);
		usleep(status != 0 ? 20000 : 0);
	}
	forkd_check_empty();
}
