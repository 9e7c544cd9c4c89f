/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Device models that wait for forks of a guest that needs no boot: which
 * launches they serve, what becomes of those that die, and that nothing is
 * left of a pool.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "domain/backend.h"
#include "domain/qemu_domain.h"
#include "lib/fault.h"
#include "lib/guest_vm.h"
#include "snapshot/snapshot.h"

TestSuite(dm_pool, .init = guest_setup, .fini = guest_teardown, .timeout = 120);

static struct lf_error error;
#define OK(call) cr_assert_eq((call), 0, "%s: %s", #call, error.message)

/* A frozen parent with a disk, and a configuration for its forks. */
struct family {
	struct lf_domain_config *config, *forks;
	struct lf_domain *parent;
	struct lf_snapshot *snapshot;
	char *serial; /* of the forks */
};

static struct family
family_make(void)
{
	struct family f = {.config = guest_bootless("parent")};
	cleanup_free char *disk = guest_path("disk.raw");
	struct lf_disk *added = NULL;

	guest_shell("truncate -s 1M %s", disk);
	OK(lf_domain_config_add_disk(f.config, &added, &error));
	OK(lf_domain_config_set(&added->path, disk, &error));
	OK(lf_domain_create(f.config, guest_launcher(), &f.parent, &error));
	OK(lf_domain_unpause(f.parent, &error));
	free(guest_wait_text(f.config->serial.path, "tick 2\n"));
	OK(lf_domain_freeze(f.parent, &f.snapshot, &error));
	f.serial = guest_path("forks.serial");
	OK(lf_domain_config_copy(
	    ((struct qemu_domain *)f.parent->impl)->config, &f.forks, &error));
	OK(lf_domain_config_set(&f.forks->name, "any", &error));
	OK(lf_domain_config_set(&f.forks->serial.path, f.serial, &error));
	return f;
}

static void
family_end(struct family *f)
{
	lf_snapshot_unref(f->snapshot);
	lf_domain_free(f->parent);
	lf_domain_config_free(f->forks);
	lf_domain_config_free(f->config);
	free(f->serial);
}

static int
try_fork(struct family *f, const char *name, struct lf_dm_pool *pool,
    const struct lf_domain_config *config, struct lf_domain **ret)
{
	struct lf_fork_options options = guest_fork_options(name);

	options.config = config;
	options.dm_pool = pool;
	return lf_domain_fork(f->snapshot, &options, ret, &error);
}

static struct lf_domain *
fork_of(struct family *f, const char *name, struct lf_dm_pool *pool,
    const struct lf_domain_config *config)
{
	struct lf_domain *fork = NULL;

	OK(try_fork(f, name, pool, config, &fork));
	return fork;
}

static unsigned
overlays(void)
{
	cleanup_free char *pattern = guest_path("*.qcow2");
	glob_t found = {0};
	unsigned count = 0;

	if (glob(pattern, 0, NULL, &found) == 0)
		count = (unsigned)found.gl_pathc;
	globfree(&found);
	return count;
}

#define assert_served(pool) \
	cr_assert_null(lf_dm_pool_miss(pool), "%s", lf_dm_pool_miss(pool))
#define assert_missed(pool, why)                                             \
	do {                                                                 \
		cr_assert_not_null(lf_dm_pool_miss(pool));                   \
		cr_assert_not_null(strstr(lf_dm_pool_miss(pool), why), "%s", \
		    lf_dm_pool_miss(pool));                                  \
	} while (0)

Test(dm_pool, a_waiting_device_model_serves_a_fork_with_its_arguments)
{
	struct family f = family_make();
	struct lf_dm_pool *pool = NULL;
	struct lf_domain *a, *b, *c;
	uint32_t tick = 0;
	char next[32];

	OK(lf_memory_read(f.parent, 0x7000, &tick, sizeof(tick), &error));
	snprintf(next, sizeof(next), "tick %u\n", tick + 2);
	OK(lf_dm_pool_new(
	    f.snapshot, guest_launcher(), f.forks, 2, &pool, &error));
	cr_assert_eq(lf_dm_pool_waiting(pool), 0);
	cr_assert_eq(guest_children(), 1);
	cr_assert_eq(lf_dm_pool_fill(pool, &error), 2, "%s", error.message);
	cr_assert_eq(guest_children(), 3);
	cr_assert_eq(overlays(), 2);

	/* Whatever its name is; it goes on where the parent stands. */
	OK(lf_domain_config_set(&f.forks->name, "a", &error));
	a = fork_of(&f, NULL, pool, f.forks);
	assert_served(pool);
	cr_assert_eq(guest_children(), 3);
	cr_assert_eq(lf_dm_pool_waiting(pool), 1);
	cr_assert_str_eq(((struct qemu_domain *)a->impl)->config->name, "a");
	OK(lf_domain_unpause(a, &error));
	{
		cleanup_free char *text = guest_wait_text(f.serial, next);

		cr_assert_null(strstr(text, "BOOTED"));
		ticks_check(text);
	}

	/* Other arguments: a cold start. */
	b = fork_of(&f, "b", pool, NULL);
	assert_missed(pool, "'serial' differs");
	cr_assert_eq(lf_dm_pool_waiting(pool), 1);
	cr_assert_eq(guest_children(), 4);
	lf_domain_free(b);

	/* The second serves, too; then there is none, until it is filled. */
	b = fork_of(&f, NULL, pool, f.forks);
	assert_served(pool);
	c = fork_of(&f, NULL, pool, f.forks);
	assert_missed(pool, "no device model waits");
	cr_assert_eq(guest_children(), 4);
	cr_assert_eq(lf_dm_pool_fill(pool, &error), 2, "%s", error.message);

	/* What was served is a domain like any other. */
	OK(lf_domain_pause(a, &error));
	OK(lf_domain_reset(a, &error));
	lf_domain_free(a);
	lf_domain_free(b);
	lf_domain_free(c);
	cr_assert_eq(overlays(), 2);
	/* The pool holds the snapshot. */
	lf_snapshot_unref(take_ptr(f.snapshot));
	cr_assert_eq(lf_domain_thaw(f.parent, &error), -EBUSY);
	lf_dm_pool_free(pool);
	cr_assert_eq(overlays(), 0);
	cr_assert_eq(guest_children(), 1);
	OK(lf_domain_thaw(f.parent, &error));
	OK(lf_domain_unpause(f.parent, &error));
	family_end(&f);
}

Test(dm_pool, the_default_serves_forks_without_a_configuration)
{
	cleanup_config struct lf_domain_config *config =
	    guest_bootless("parent");
	struct family f = {.config = config};
	cleanup_snapshot struct lf_snapshot *snapshot = NULL;
	cleanup_domain struct lf_domain *parent = NULL, *fork = NULL;
	struct lf_dm_pool *pool = NULL;

	/* Nothing in the arguments is called after the fork. */
	config->serial.type = LF_SERIAL_PTY;
	OK(lf_domain_config_set(&config->serial.path, NULL, &error));
	OK(lf_domain_create(config, guest_launcher(), &parent, &error));
	OK(lf_domain_freeze(parent, &snapshot, &error));
	f.snapshot = snapshot;
	OK(lf_dm_pool_new(snapshot, guest_launcher(), NULL, 1, &pool, &error));
	cr_assert_eq(lf_dm_pool_fill(pool, &error), 1, "%s", error.message);
	fork = fork_of(&f, "x", pool, NULL);
	assert_served(pool);
	lf_dm_pool_free(pool);
}

Test(dm_pool, one_that_died_serves_nobody)
{
	struct family f = family_make();
	struct lf_dm_pool *pool = NULL;
	struct lf_domain *fork;
	char path[64], *text;
	pid_t parent = ((struct qemu_domain *)f.parent->impl)->process.pid;

	OK(lf_dm_pool_new(
	    f.snapshot, guest_launcher(), f.forks, 1, &pool, &error));
	cr_assert_eq(lf_dm_pool_fill(pool, &error), 1, "%s", error.message);
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	text = file_text(path);
	for (char *p = strtok(text, " \n"); p != NULL; p = strtok(NULL, " \n"))
		if (atoi(p) != parent) {
			siginfo_t end;

			kill(atoi(p), SIGKILL);
			cr_assert_eq(waitid(P_PID, (id_t)atoi(p), &end,
					 WEXITED | WNOWAIT),
			    0);
		}
	free(text);
	fork = fork_of(&f, NULL, pool, f.forks);
	assert_missed(pool, "no device model waits");
	cr_assert_eq(lf_dm_pool_waiting(pool), 0);
	lf_domain_free(fork);
	cr_assert_eq(lf_dm_pool_fill(pool, &error), 1, "%s", error.message);
	lf_dm_pool_free(pool);
	cr_assert_eq(overlays(), 0);
	family_end(&f);
}

Test(dm_pool, what_can_be_no_pool_is_refused)
{
	struct family f = family_make();
	struct lf_dm_pool *pool = NULL;

	cr_assert_eq(lf_dm_pool_new(
			 f.snapshot, guest_launcher(), NULL, 0, &pool, &error),
	    -EINVAL);
	cr_assert_eq(lf_dm_pool_new(f.snapshot, guest_launcher(), NULL,
			 LF_DM_POOL_MAX + 1, &pool, &error),
	    -EINVAL);
	cr_assert_str_eq(error.message,
	    "a pool has 1 to 64 device models, not 65, and a launcher");
	f.forks->vcpus = 2;
	cr_assert_eq(lf_dm_pool_new(f.snapshot, guest_launcher(), f.forks, 1,
			 &pool, &error),
	    -EINVAL);
	cr_assert_not_null(strstr(error.message, "vcpus"), "%s", error.message);
	f.forks->vcpus = 1;
	/* One overlay is not for two. */
	{
		cleanup_free char *mine = guest_path("mine.img");

		OK(lf_domain_config_set(&f.forks->disks[0].path, mine, &error));
	}
	cr_assert_eq(lf_dm_pool_new(f.snapshot, guest_launcher(), f.forks, 2,
			 &pool, &error),
	    -EINVAL);
	cr_assert_not_null(
	    strstr(error.message, "can be the overlay of one device model, not "
				  "of the 2 of a pool"),
	    "%s", error.message);
	OK(lf_dm_pool_new(
	    f.snapshot, guest_launcher(), f.forks, 1, &pool, &error));
	/* What cannot be started says why. */
	guest_shell("echo text >%s", f.forks->disks[0].path);
	cr_assert_eq(lf_dm_pool_fill(pool, &error), -EEXIST);
	cr_assert_not_null(strstr(error.message, "pool of device models: "),
	    "%s", error.message);
	cr_assert_eq(lf_dm_pool_waiting(pool), 0);
	lf_dm_pool_free(pool);
	cr_assert_eq(guest_children(), 1);
	family_end(&f);
}

Test(dm_pool, every_failing_call_of_a_fill_and_a_launch)
{
	struct family f = family_make();
	unsigned long step = getenv("LF_SOAK") != NULL ? 1 : 17;

	FAULT_LOOP(fault)
	{
		struct lf_dm_pool *pool = NULL;
		struct lf_domain *fork = NULL;
		int rc;

		lf_error_clear(&error);
		rc = lf_dm_pool_new(
		    f.snapshot, guest_launcher(), f.forks, 1, &pool, &error);
		if (rc == 0)
			rc = lf_dm_pool_fill(pool, &error);
		if (rc >= 0)
			rc = try_fork(&f, NULL, pool, f.forks, &fork);
		fault_end(&fault);
		if (rc < 0)
			cr_assert_neq(error.message[0], '\0', "%s, call %lu",
			    fault.name, fault.round);
		lf_domain_free(fork);
		lf_dm_pool_free(pool);
		cr_assert_eq(guest_children(), 1, "%s", fault.name);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors,
		    "%s, call %lu", fault.name, fault.round);
		if (fault.hit)
			fault.round += step - 1;
	}
	family_end(&f);
}
