/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forkd's parts: what accelerator=auto means, clients, the registry and its
 * files, domains that are adopted and that end.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "forkd/adopt.h"
#include "forkd/client.h"
#include "forkd/daemon.h"
#include "forkd/host.h"
#include "forkd/life.h"
#include "forkd/peer.h"
#include "forkd/registry.h"
#include "forkd/rundir.h"
#include "forkd/spawn.h"
#include "lib/fault.h"
#include "lib/scratch.h"
#include "unit/forkd_scene.h"

/* --- what accelerator=auto means --- */

static const struct {
	enum lf_host_kvm qemu, ours;
	bool kvm;
	const char *reason;
} views[] = {
    {LF_HOST_KVM_HARDWARE, LF_HOST_KVM_HARDWARE, true, "the user's"},
    {LF_HOST_KVM_SOFTWARE, LF_HOST_KVM_SOFTWARE, false, "the user's"},
    {LF_HOST_KVM_ABSENT, LF_HOST_KVM_ABSENT, false, "the user's"},
    /* Permission would change nothing. */
    {LF_HOST_KVM_DENIED, LF_HOST_KVM_SOFTWARE, false, "ours"},
    {LF_HOST_KVM_DENIED, LF_HOST_KVM_BROKEN, false, "ours"},
    {LF_HOST_KVM_DENIED, LF_HOST_KVM_HARDWARE, false,
	"TCG, not KVM: QEMU runs as user 'nobody', who may not open /dev/kvm; "
	"'chgrp kvm /dev/kvm; chmod g+rw /dev/kvm' and start forkd again"},
};

Test(host, what_counts_is_what_the_user_of_qemu_may_do)
{
	struct host_view qemu = {.reason = "the user's"};
	struct host_view ours = {.reason = "ours"};
	char reason[240];
	size_t i;

	for (i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
		qemu.kvm = views[i].qemu;
		ours.kvm = views[i].ours;
		cr_expect_eq(
		    host_judge(&qemu, &ours, "nobody", reason, sizeof(reason)),
		    views[i].kvm, "row %zu", i);
		cr_expect_str_eq(reason, views[i].reason);
	}
	/* No other user than ours: nobody else to ask. */
	qemu.kvm = LF_HOST_KVM_DENIED;
	cr_expect_not(
	    host_judge(&qemu, NULL, "nobody", reason, sizeof(reason)));
	cr_expect_str_eq(reason, "the user's");
}

/* --- clients --- */

static unsigned accepts;

static int
accept_none(int sock, struct sockaddr *addr, socklen_t *len, int flags)
{
	(void)sock;
	(void)addr;
	(void)len;
	(void)flags;
	accepts++;
	errno = EMFILE;
	return -1;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	cr_assert_eq(connect(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return sock;
}

Test(client, a_daemon_without_descriptors_rests_before_it_accepts_again)
{
	struct daemon daemon = {.base = event_base_new()};
	struct lf_error error;
	char path[64];
	int sock, caller;

	scratch_make();
	snprintf(path, sizeof(path), "%s/socket", scratch);
	cr_assert_eq(rundir_listen(path, 4, 0600, &sock, &error), 0);
	daemon.listener = event_new(
	    daemon.base, sock, EV_READ | EV_PERSIST, client_accept, &daemon);
	event_add(daemon.listener, NULL);
	caller = connect_to(path);
	sys.accept4 = accept_none;
	event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert_eq(accepts, 1);
	cr_assert_not(event_pending(daemon.listener, EV_READ, NULL));
	/* The rest is over, and the client still waits. */
	event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert(event_pending(daemon.listener, EV_READ, NULL));
	event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert_eq(accepts, 2);
	event_free(daemon.listener);
	event_base_free(daemon.base);
	close(sock);
	close(caller);
	scratch_remove();
}

/* --- registry --- */

static struct domain *
add(struct registry *registry, const char *name, unsigned parent)
{
	struct domain *domain = NULL;
	struct lf_error error;

	cr_assert_eq(registry_add(registry, scene_config(name), parent, NULL,
			 &domain, &error),
	    0, "%s", error.message);
	return domain;
}

static void
no_report(const struct lf_error *error)
{
	cr_assert(false, "%s", error->message);
}

Test(registry, domains_come_back_from_their_files_and_ids_grow)
{
	struct registry registry;
	struct lf_error error;
	struct domain *domain;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	add(&registry, "one", 0);
	domain = add(&registry, "two", 1);
	domain->established = true;
	cr_assert_eq(registry_add_file(
			 domain, &domain->overlays, "/tmp/overlay", &error),
	    0);
	cr_assert_eq(
	    registry_report(domain, CONTROL_CRASHED, "why", &error), 1);
	cr_assert_eq(registry_save(domain, &error), 0);
	domain = add(&registry, "three", 0);
	registry_remove(domain);
	registry_done(&registry);

	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	cr_assert_eq(registry_load(&registry, no_report, &error), 0);
	cr_assert_eq(registry.count, 2);
	domain = registry_find_id(&registry, 2);
	cr_assert_str_eq(domain->config->name, "two");
	cr_assert_eq(domain->state, CONTROL_CRASHED);
	cr_assert_str_eq(domain->reason, "why");
	cr_assert_eq(domain->parent, 1);
	cr_assert(domain->established);
	cr_assert(file_list_has(&domain->overlays, "/tmp/overlay"));
	/* A number is not used again, though its domain is gone. */
	cr_assert_eq(add(&registry, "four", 0)->id, 4);
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
		add(&registry, "one", 0);
		domain = add(&registry, "two", 0);
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
		cr_assert_eq(add(&registry, "three", 0)->id, 3);
		registry_done(&registry);

		/* Somebody removes it: the number is not used again. */
		rundir_remove_tree(dir);
		snprintf(dir, sizeof(dir), "%s/domains/3", scratch);
		rundir_remove_tree(dir);
		cr_assert_eq(
		    registry_init(&registry, scratch, 0700, &error), 0);
		cr_assert_eq(registry_load(&registry, no_report, &error), 0);
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
	host = add(&registry, "host", 0);
	snprintf(host_file, sizeof(host_file), "%s/domain.json", host->dir);
	cr_assert_eq(registry_add(&registry, scene_config("fork"), 1, host,
			 &fork, &error),
	    0);
	snprintf(fork_file, sizeof(fork_file), "%s/domain.json", fork->dir);
	cr_assert_eq(
	    registry_add_file(fork, &fork->overlays, overlay, &error), 0);
	add(&registry, "other", 0);
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
	cr_assert_eq(add(&registry, "four", 0)->id, 4);
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
		parent = add(&registry, "parent", 0);
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
	cr_assert_eq(add(&registry, "two", 0)->id, 2);
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
	add(&registry, "one", 0);
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
	domain = add(&registry, "one", 0);
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
	domain = add(&registry, "one", 0);
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
	parent = add(&registry, "parent", 0);
	cr_assert_eq(
	    lf_domain_config_add_disk(parent->config, &disk, &error), 0);
	disk->path = strdup("/images/base");
	fork = add(&registry, "fork", parent->id);
	other = add(&registry, "other", 0);
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

/* --- adoption --- */

/* A process that stands for a domain process, and waits for ever. */
static void
start_stand_in(struct domain *domain)
{
	struct spawn_user same = {.change = false};
	char *argv[] = {"sleep", "1000", NULL};
	struct spawn_request request = {
	    .program = "sleep", .argv = argv, .log_fd = -1, .user = &same};
	struct lf_error error;
	int go;

	cr_assert_eq(spawn_begin(&request, &domain->process, &go, &error), 0);
	cr_assert_eq(spawn_go(go, &error), 0);
}

/*
 * A forkd that runs out of something while it takes its domains over must not
 * end one, forget one or believe it dead: the next one tries again.
 */
Test(faults, domains_are_adopted_whole_or_left_to_the_next_forkd)
{
	char path[160];
	struct registry registry;
	struct lf_error error;
	struct domain *domain;
	struct stat st;
	pid_t stand_in;
	int sock;

	scratch_make();
	cr_assert_eq(registry_init(&registry, scratch, 0700, &error), 0);
	domain = add(&registry, "one", 0);
	start_stand_in(domain);
	stand_in = domain->process.pid;
	domain->established = true;
	domain->state = CONTROL_RUNNING;
	domain->reason[0] = '\0';
	cr_assert_eq(registry_save(domain, &error), 0);
	snprintf(path, sizeof(path), "%s/socket", domain->dir);
	cr_assert_eq(rundir_listen(path, 64, 0600, &sock, &error), 0);
	registry_done(&registry);
	FAULT_LOOP(fault)
	{
		struct daemon daemon = {.base = event_base_new()};
		int rc, accepted;

		rc = registry_init(&daemon.registry, scratch, 0700, &error);
		if (rc == 0)
			rc = registry_load(&daemon.registry, no_report, &error);
		if (rc == 0)
			rc = adopt_domain(
			    &daemon, daemon.registry.first, &error);
		fault_end(&fault);
		domain = daemon.registry.first;
		if (fault.hit && strcmp(fault.name, "connect") == 0) {
			/* Refused: it is about to end, and is ended. */
			cr_assert_eq(waitpid(stand_in, NULL, 0), stand_in);
			process_done(&domain->process);
			start_stand_in(domain);
			stand_in = domain->process.pid;
			cr_assert_eq(registry_save(domain, &error), 0);
			rc = -ECONNREFUSED;
		}
		cr_assert_eq(waitpid(stand_in, NULL, WNOHANG), 0,
		    "%s failed: the domain was ended", fault.name);
		cr_assert_eq(stat(path, &st), 0,
		    "%s failed: the domain was removed", fault.name);
		if (!fault.hit)
			cr_assert_eq(rc, 0, "%s", error.message);
		if (rc == 0) {
			cr_assert_eq(daemon.registry.count, 1);
			cr_assert_eq(domain->process.pid, stand_in);
			cr_assert_eq(domain->state, CONTROL_RUNNING);
			cr_assert_not_null(domain->link);
		}
		registry_done(&daemon.registry);
		event_base_free(daemon.base);
		while ((accepted = accept(sock, NULL, NULL)) >= 0)
			close(accepted);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors,
		    "%s failed", fault.name);
	}
	/* Each of them ended with its question open, and ended nothing else. */
	usleep(50000);
	cr_assert_eq(waitpid(stand_in, NULL, WNOHANG), 0);
	kill(stand_in, SIGKILL);
	waitpid(stand_in, NULL, 0);
	close(sock);
	scratch_remove();
}

/* --- forks that were ready before that was on record --- */

static void
describe(void *opaque, struct peer_request *request)
{
	bool knows = *(const bool *)opaque;
	struct lf_error error;

	if (strcmp(request->name, "describe") != 0)
		peer_return(request, json_object(), NULL, 0);
	else if (knows)
		peer_return(request,
		    json_pack("{s:s, s:s, s:b, s:s}", "state", "running",
			"reason", "", "ended", 0, "backend", "kvm"),
		    NULL, 0);
	else {
		error_set(&error, ENOENT, "unknown");
		peer_fail(request, &error);
	}
}

static void
describe_closed(void *opaque, const struct lf_error *why)
{
	(void)opaque;
	(void)why;
}

static const struct peer_ops describing_ops = {
    .request = describe, .closed = describe_closed};

/* One that its host's process knows or not; true when it is there then. */
static bool
adopt_unready(bool knows)
{
	struct daemon daemon = {.base = event_base_new()};
	struct domain *host, *fork;
	struct peer *process;
	struct lf_error error;
	unsigned rounds;
	bool there;
	int sv[2];

	scratch_make();
	daemon.overlay_dir = scratch;
	cr_assert_eq(registry_init(&daemon.registry, scratch, 0700, &error), 0);
	host = add(&daemon.registry, "host", 0);
	host->established = true;
	cr_assert_eq(registry_add(&daemon.registry, scene_config("fork"), 1,
			 host, &fork, &error),
	    0);
	cr_assert_not(fork->device_model);
	start_stand_in(host);
	cr_assert_eq(life_watch(&daemon, host, &error), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(life_link(&daemon, host, sv[0], &error), 0);
	cr_assert_eq(peer_new(daemon.base, sv[1], &describing_ops, &knows,
			 &process, &error),
	    0);
	cr_assert_eq(adopt_domain(&daemon, fork, &error), 0);
	for (rounds = 0; rounds < 1000; rounds++) {
		fork = registry_find_id(&daemon.registry, 2);
		if (fork == NULL || fork->established)
			break;
		event_base_loop(daemon.base, EVLOOP_ONCE);
	}
	cr_assert_lt(rounds, 1000);
	there = fork != NULL;
	if (there) {
		cr_assert_eq(fork->state, CONTROL_RUNNING);
		cr_assert_str_eq(fork->reason, "");
	}
	process_kill(&host->process);
	peer_free(process);
	registry_done(&daemon.registry);
	event_base_free(daemon.base);
	scratch_remove();
	return there;
}

Test(adoption, a_fork_that_its_process_knows_was_ready)
{
	cr_assert(adopt_unready(true));
}

Test(adoption, a_fork_that_its_process_does_not_know_was_not_ready)
{
	cr_assert_not(adopt_unready(false));
}

/* --- ends --- */

static void
say_all(int sock, const char *text)
{
	cr_assert_eq(write(sock, text, strlen(text)), (ssize_t)strlen(text));
}

/* Works until a client has been told `count` times that all went well. */
static void
hear_returns(struct daemon *daemon, int sock, unsigned count)
{
	char text[4096] = "";
	size_t len = 0;

	while (count > 0) {
		const char *at = text;
		unsigned returns = 0;
		ssize_t n;

		event_base_loop(daemon->base, EVLOOP_ONCE);
		n = recv(
		    sock, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
		text[len] = '\0';
		cr_assert_null(strstr(text, "error"), "%s", text);
		while ((at = strstr(at, "return")) != NULL) {
			returns++;
			at++;
		}
		if (returns == count)
			return;
	}
}

static void
on_any_request(void *opaque, struct peer_request *request)
{
	struct peer_request **held = opaque;

	*held = request;
}

static void
on_any_closed(void *opaque, const struct lf_error *why)
{
	(void)opaque;
	(void)why;
}

static const struct peer_ops hosting_ops = {
    .request = on_any_request, .closed = on_any_closed};

/*
 * A client waits for the end of a fork, and the next thing that it wants is the
 * end of the domain in whose process the fork lives; that process dies.
 */
Test(ends, a_host_may_be_destroyed_by_who_hears_of_the_end_of_its_fork)
{
	struct daemon daemon = {.base = event_base_new()};
	struct peer_request *held = NULL;
	struct domain *host, *fork;
	struct peer *process;
	struct lf_error error;
	int sock, client, sv[2];
	char path[64];

	scratch_make();
	daemon.overlay_dir = scratch;
	cr_assert_eq(registry_init(&daemon.registry, scratch, 0700, &error), 0);
	host = add(&daemon.registry, "host", 0);
	fork = add(&daemon.registry, "fork", 1);
	host->established = fork->established = true;
	fork->host = host->id;
	fork->owner = &daemon;
	start_stand_in(host);
	cr_assert_eq(life_watch(&daemon, host, &error), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(life_link(&daemon, host, sv[0], &error), 0);
	cr_assert_eq(
	    peer_new(daemon.base, sv[1], &hosting_ops, &held, &process, &error),
	    0);
	snprintf(path, sizeof(path), "%s/socket", scratch);
	cr_assert_eq(rundir_listen(path, 4, 0600, &sock, &error), 0);
	client = connect_to(path);
	client_accept(sock, EV_READ, &daemon);
	say_all(client,
	    "{\"execute\":\"destroy\",\"arguments\":{\"domain\":\"fork\"}}"
	    "{\"execute\":\"destroy\",\"arguments\":{\"domain\":\"host\"}}");
	while (held == NULL)
		event_base_loop(daemon.base, EVLOOP_ONCE);
	cr_assert_str_eq(held->name, "destroy");
	process_kill(&host->process);
	hear_returns(&daemon, client, 2);
	cr_assert_eq(daemon.registry.count, 0);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	peer_return(held, json_object(), NULL, 0);
	peer_free(process);
	while (daemon.clients != NULL)
		client_free(daemon.clients);
	registry_done(&daemon.registry);
	event_base_free(daemon.base);
	close(client);
	close(sock);
	scratch_remove();
}
