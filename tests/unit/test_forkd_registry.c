/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd's registry and its files: names and ids, transitions, what another
 * format's forkd left, overlays and images.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "forkd/registry.h"
#include "forkd/rundir.h"
#include "lib/fault.h"
#include "lib/scratch.h"
#include "unit/forkd_scene.h"

Test(registry, domains_come_back_from_their_files_and_ids_grow)
{
	struct registry registry;
	struct lf_error error;
	struct domain *domain;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	scene_add(&registry, "one", 0);
	domain = scene_add(&registry, "two", 1);
	domain->established = true;
	cr_assert_eq(registry_add_file(
			 domain, &domain->overlays, "/tmp/overlay", &error),
	    0);
	cr_assert_eq(
	    registry_report(domain, CONTROL_CRASHED, "why", &error), 1);
	cr_assert_eq(registry_save(domain, &error), 0);
	domain = scene_add(&registry, "three", 0);
	registry_remove(domain);
	registry_done(&registry);

	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	cr_assert_eq(registry_load(&registry, scene_no_report, &error), 0);
	cr_assert_eq(registry.count, 2);
	domain = registry_find_id(&registry, 2);
	cr_assert_str_eq(domain->config->name, "two");
	cr_assert_eq(domain->state, CONTROL_CRASHED);
	cr_assert_str_eq(domain->reason, "why");
	cr_assert_eq(domain->parent, 1);
	cr_assert(domain->established);
	cr_assert(file_list_has(&domain->overlays, "/tmp/overlay"));
	/* A number is not used again, though its domain is gone. */
	cr_assert_eq(scene_add(&registry, "four", 0)->id, 4);
	registry_done(&registry);
	scratch_remove();
}

static struct lf_error reported;
static unsigned report_count;

static void
take_report(const struct lf_error *error)
{
	reported = *error;
	report_count++;
}

/* Puts other text in place of a domain's file. */
static void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	fputs(text, file);
	cr_assert_eq(fclose(file), 0);
}

static const char *const foreign_files[] = {
    ("{\"version\": 3, \"config\": {\"name\": \"two\"}, "
     "\"launch-config\": {\"name\": \"late\"}}"),
    "{\"version\": 2, \"config\": {\"name\": \"two\"}}",
    "",
    "{\"version\"",
    "[]",
};

Test(registry, a_domain_of_another_format_is_left_alone_with_its_id_and_name)
{
	size_t i;

	for (i = 0; i < sizeof(foreign_files) / sizeof(*foreign_files); i++) {
		struct registry registry;
		struct lf_error error;
		struct domain *domain;
		char file[160], dir[128], other[160];
		bool named = strstr(foreign_files[i], "two") != NULL;
		struct stat st;

		scratch_make();
		report_count = 0;
		cr_assert_eq(
		    registry_init(&registry, scratch, 0700, &error), 0);
		scene_add(&registry, "one", 0);
		domain = scene_add(&registry, "two", 0);
		snprintf(dir, sizeof(dir), "%s", domain->dir);
		snprintf(file, sizeof(file), "%s/domain.json", dir);
		snprintf(other, sizeof(other), "%s/overlay", dir);
		registry_done(&registry);
		write_file(file, foreign_files[i]);
		write_file(other, "");

		cr_assert_eq(
		    registry_init(&registry, scratch, 0700, &error), 0);
		cr_assert_eq(registry_load(&registry, take_report, &error), 0,
		    "%zu: %s", i, error.message);
		cr_assert_eq(report_count, 1);
		cr_assert_not_null(
		    strstr(reported.message, file), "%s", reported.message);
		cr_assert_not_null(
		    strstr(reported.message, "run the forkd that wrote it, or "
					     "remove '"),
		    "%s", reported.message);
		cr_assert_eq(stat(file, &st), 0);
		cr_assert_eq((size_t)st.st_size, strlen(foreign_files[i]));
		cr_assert_eq(stat(other, &st), 0);
		cr_assert_eq(registry.count, 1);
		cr_assert_null(registry_find_id(&registry, 2));
		cr_assert_eq(registry_check_name(&registry, "two", &error),
		    named ? -EEXIST : 0);
		cr_assert_eq(registry_check_name(&registry, "late", &error),
		    i == 0 ? -EEXIST : 0);
		cr_assert_eq(scene_add(&registry, "three", 0)->id, 3);
		registry_done(&registry);

		/* Somebody removes it: the number is not used again. */
		rundir_remove_tree(dir);
		snprintf(dir, sizeof(dir), "%s/domains/3", scratch);
		rundir_remove_tree(dir);
		cr_assert_eq(
		    registry_init(&registry, scratch, 0700, &error), 0);
		cr_assert_eq(
		    registry_load(&registry, scene_no_report, &error), 0);
		cr_assert_gt(registry.next_id, 2);
		registry_done(&registry);
		scratch_remove();
	}
}

Test(registry, a_fork_in_the_process_of_a_domain_left_alone_is_left_alone)
{
	struct registry registry;
	struct lf_error error;
	struct domain *host, *fork;
	char host_file[160], fork_file[160], overlay[128];
	struct stat st;

	scratch_make();
	report_count = 0;
	snprintf(overlay, sizeof(overlay), "%s/overlay", scratch);
	write_file(overlay, "");
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	host = scene_add(&registry, "host", 0);
	snprintf(host_file, sizeof(host_file), "%s/domain.json", host->dir);
	cr_assert_eq(registry_add(&registry, scene_config("fork"), 1, host,
			 &fork, &error),
	    0);
	snprintf(fork_file, sizeof(fork_file), "%s/domain.json", fork->dir);
	cr_assert_eq(
	    registry_add_file(fork, &fork->overlays, overlay, &error), 0);
	scene_add(&registry, "other", 0);
	registry_done(&registry);
	write_file(host_file, foreign_files[0]);

	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	cr_assert_eq(registry_load(&registry, take_report, &error), 0);
	cr_assert_eq(report_count, 2);
	cr_assert_not_null(strstr(reported.message,
			       "domain 2 is left alone, its id and name stay "
			       "taken: it lives in the process of domain 1"),
	    "%s", reported.message);
	cr_assert_eq(registry.count, 1);
	cr_assert_eq(registry.kept.count, 2);
	cr_assert_null(registry_find_id(&registry, 2));
	cr_assert_not_null(registry_find_id(&registry, 3));
	cr_assert_eq(registry_check_name(&registry, "fork", &error), -EEXIST);
	cr_assert_eq(stat(fork_file, &st), 0);
	cr_assert_eq(stat(overlay, &st), 0);
	cr_assert_eq(scene_add(&registry, "four", 0)->id, 4);
	registry_done(&registry);
	scratch_remove();
}

static const struct {
	const char *file;
	bool holds;
} foreign_forks[] = {
    {"{\"version\": 3, \"parent\": 1}", true},
    {"{\"version\": 3, \"parent\": 3}", false},
    /* What says nothing would hold all. */
    {"", false},
    {"{\"version\": 3, \"parent\": \"one\"}", false},
};

Test(registry, a_domain_left_alone_holds_the_domain_that_it_was_forked_from)
{
	size_t i;

	for (i = 0; i < sizeof(foreign_forks) / sizeof(*foreign_forks); i++) {
		struct registry registry;
		struct lf_error error;
		struct domain *parent, *fork;
		char file[160];

		scratch_make();
		cr_assert_eq(
		    registry_init(&registry, scratch, 0700, &error), 0);
		parent = scene_add(&registry, "parent", 0);
		cr_assert_eq(registry_add(&registry, scene_config("fork"), 1,
				 parent, &fork, &error),
		    0);
		snprintf(file, sizeof(file), "%s/domain.json", fork->dir);
		registry_done(&registry);
		write_file(file, foreign_forks[i].file);

		cr_assert_eq(
		    registry_init(&registry, scratch, 0700, &error), 0);
		cr_assert_eq(registry_load(&registry, take_report, &error), 0);
		parent = registry_find_id(&registry, 1);
		cr_assert_eq(
		    registry_kept_check_forks(&registry.kept, parent, &error),
		    foreign_forks[i].holds ? -EBUSY : 0, "row %zu", i);
		cr_assert_eq(registry_check_holders(parent, &error),
		    foreign_forks[i].holds ? -EBUSY : 0, "row %zu", i);
		if (foreign_forks[i].holds)
			cr_assert_not_null(strstr(error.message, "/domains/2'"),
			    "%s", error.message);
		registry_done(&registry);
		scratch_remove();
	}
}

Test(registry, a_domain_that_never_got_its_file_is_removed)
{
	struct registry registry;
	struct lf_error error;
	char dir[128], file[160];
	struct stat st;

	scratch_make();
	report_count = 0;
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	snprintf(dir, sizeof(dir), "%s/domains/1", scratch);
	cr_assert_eq(mkdir(dir, 0700), 0);
	snprintf(file, sizeof(file), "%s/domain.json.new", dir);
	write_file(file, "{\"version\"");
	cr_assert_eq(registry_load(&registry, take_report, &error), 0);
	cr_assert_eq(report_count, 1);
	cr_assert_lt(stat(dir, &st), 0);
	cr_assert_eq(registry.kept.count, 0);
	cr_assert_eq(scene_add(&registry, "two", 0)->id, 2);
	registry_done(&registry);
	scratch_remove();
}

static const struct {
	const char *name, *message;
	int rc;
} bad_names[] = {
    {"one",
	"the name 'one' is taken by domain 1; choose another, or destroy that "
	"domain",
	-EEXIST},
    {"17", "the name '17' is a number, which would be taken for an id",
	-EINVAL},
};

Test(registry, names_are_unique_and_no_numbers)
{
	struct registry registry;
	struct lf_error error;
	struct domain *domain;
	size_t i;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	scene_add(&registry, "one", 0);
	for (i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
		cr_expect_eq(
		    registry_add(&registry, scene_config(bad_names[i].name), 0,
			NULL, &domain, &error),
		    bad_names[i].rc);
		cr_expect_str_eq(error.message, bad_names[i].message);
	}
	cr_assert_eq(registry.count, 1);
	cr_assert_eq(registry_find(&registry, "1", &domain, &error), 0);
	cr_assert_eq(registry_find(&registry, "one", &domain, &error), 0);
	cr_assert_eq(registry_find(&registry, "2", &domain, &error), -ENOENT);
	cr_assert_eq(registry_find(&registry, "1x", &domain, &error), -ENOENT);
	registry_done(&registry);
	scratch_remove();
}

Test(registry, a_failed_add_leaves_nothing)
{
	struct registry registry;
	struct lf_error error = {0};
	struct domain *domain;
	struct lf_domain_config *config = scene_config("one");
	char path[64];

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	FAULT_LOOP(fault)
	{
		int rc;

		rc = registry_add(&registry, config, 0, NULL, &domain, &error);
		fault_end(&fault);
		snprintf(path, sizeof(path), "%s/domains/%u", scratch,
		    registry.next_id - 1);
		if (!fault.hit) {
			cr_assert_eq(rc, 0);
			cr_assert_eq(access(path, F_OK), 0);
			break;
		}
		cr_assert_lt(rc, 0, "%s unseen", fault.name);
		cr_assert_eq(registry.count, 0);
		cr_assert_eq(access(path, F_OK), -1);
		config = scene_config("one");
	}
	registry_done(&registry);
	scratch_remove();
}

static const struct {
	enum control_state from, to;
	int rc;
} transitions[] = {
    {CONTROL_PAUSED, CONTROL_RUNNING, 1},
    {CONTROL_RUNNING, CONTROL_PAUSED, 1},
    {CONTROL_RUNNING, CONTROL_FROZEN, 1},
    {CONTROL_FROZEN, CONTROL_RUNNING, 1},
    {CONTROL_FROZEN, CONTROL_CRASHED, 1},
    {CONTROL_CRASHED, CONTROL_RUNNING, 1},
    {CONTROL_CRASHED, CONTROL_PAUSED, 1},
    {CONTROL_CRASHED, CONTROL_FROZEN, -EINVAL},
    {CONTROL_RUNNING, CONTROL_RUNNING, 0},
};

Test(registry, reports_are_looked_up_in_the_table_of_transitions)
{
	struct registry registry;
	struct lf_error error;
	struct domain *domain;
	size_t i;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	domain = scene_add(&registry, "one", 0);
	for (i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
		domain->state = transitions[i].from;
		domain->reason[0] = '\0';
		cr_expect_eq(
		    registry_report(domain, transitions[i].to, "", &error),
		    transitions[i].rc, "row %zu", i);
		if (transitions[i].rc < 0)
			cr_expect_eq(domain->state, transitions[i].from);
	}
	registry_done(&registry);
	scratch_remove();
}

Test(registry, an_overlay_goes_with_its_domain_only_from_our_own_directory)
{
	struct registry registry;
	struct lf_error error;
	struct domain *domain;
	char ours[48], beside[64], others[64];

	scratch_make();
	snprintf(ours, sizeof(ours), "%s/overlays", scratch);
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	domain = scene_add(&registry, "one", 0);
	snprintf(beside, sizeof(beside), "%s-mine", ours);
	snprintf(others, sizeof(others), "%s/a", ours);
	cr_assert_eq(file_list_add(&domain->overlays, beside, &error), 0);
	cr_assert_eq(file_list_add(&domain->overlays, others, &error), 0);
	registry_release_overlays(domain, ours);
	cr_assert_eq(domain->overlays.count, 1);
	cr_assert(file_list_has(&domain->overlays, others));
	cr_assert(file_list_has(&domain->named, beside));
	registry_done(&registry);
	scratch_remove();
}

Test(registry, images_of_others_are_not_known)
{
	struct registry registry;
	struct lf_error error;
	struct domain *parent, *fork, *other;
	struct lf_disk *disk;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	parent = scene_add(&registry, "parent", 0);
	cr_assert_eq(
	    lf_domain_config_add_disk(parent->config, &disk, &error), 0);
	disk->path = strdup("/images/base");
	fork = scene_add(&registry, "fork", parent->id);
	other = scene_add(&registry, "other", 0);
	registry_add_file(fork, &fork->overlays, "/overlays/2", &error);
	cr_assert(registry_knows_image(parent, "/images/base"));
	cr_assert(registry_knows_image(fork, "/images/base"));
	cr_assert(registry_knows_image(fork, "/overlays/2"));
	cr_assert_not(registry_knows_image(parent, "/overlays/2"));
	cr_assert_not(registry_knows_image(other, "/images/base"));
	cr_assert_not(registry_knows_image(fork, "/etc/shadow"));
	registry_done(&registry);
	scratch_remove();
}
