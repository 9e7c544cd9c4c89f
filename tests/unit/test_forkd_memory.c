/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON values for which there is no memory: what is told, asked and written
 * down is whole, or an error.
 */
#include <criterion/criterion.h>
#include <libfork/qemu.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "forkd/command.h"
#include "forkd/domain_launcher.h"
#include "forkd/domain_process.h"
#include "forkd/rundir.h"
#include "lib/scratch.h"
#include "unit/forkd_scene.h"

TestSuite(memory, .timeout = 60);

/* Of the thread that counts. */
static _Thread_local unsigned allocations_left = UINT_MAX / 4;

static void *
fail_once(size_t size)
{
	return allocations_left-- == 0 ? NULL : malloc(size);
}

/* Allocation `number` of this thread will fail. */
static void
begin_fault(unsigned number)
{
	json_set_alloc_funcs(fail_once, free);
	allocations_left = number;
}

/* Whether it came to that. */
static bool
end_fault(void)
{
	bool hit = allocations_left > UINT_MAX / 2;

	allocations_left = UINT_MAX / 4;
	return hit;
}

static void
ignore_end(void *opaque, const struct lf_error *why)
{
	(void)opaque;
	(void)why;
}

/* Two ends of a connection. */
static void
connect_ends(struct event_base *base, const struct peer_ops *b_ops, void *b,
    struct peer **ret_a, struct peer **ret_b)
{
	static const struct peer_ops a_ops = {.closed = ignore_end};
	struct lf_error error;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(peer_new(base, sv[0], &a_ops, NULL, ret_a, &error), 0);
	cr_assert_eq(peer_new(base, sv[1], b_ops, b, ret_b, &error), 0);
}

/* --- a list --- */

struct asking {
	struct peer_request *request; /* as forkd has it */
	bool answered, refused;
	size_t rows, members; /* of the answer, and of all rows */
};

static void
on_request(void *opaque, struct peer_request *request)
{
	struct asking *asking = opaque;

	asking->request = request;
}

static const struct peer_ops asked_ops = {
    .request = on_request, .closed = ignore_end};

static void
on_listed(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct asking *asking = opaque;
	json_t *rows = json_object_get(result, "domains");
	size_t i;

	(void)answer;
	asking->answered = true;
	asking->refused = error != NULL;
	asking->rows = json_array_size(rows);
	for (i = 0; i < asking->rows; i++)
		asking->members += json_object_size(json_array_get(rows, i));
}

/* Lists; whether the allocation failed. */
static bool
list(struct scene *s, struct peer *asker, struct asking *asking,
    unsigned allocation)
{
	struct client client = {.daemon = &s->daemon};
	bool hit;

	*asking = (struct asking){.request = NULL};
	peer_call(asker, "list", NULL, -1, on_listed, asking);
	while (asking->request == NULL)
		event_base_loop(s->daemon.base, EVLOOP_ONCE);
	begin_fault(allocation);
	command_list(&client, NULL, asking->request);
	hit = end_fault();
	while (!asking->answered)
		event_base_loop(s->daemon.base, EVLOOP_ONCE);
	return hit;
}

Test(memory, a_list_has_all_domains_or_is_refused)
{
	struct peer *asker = NULL, *forkd = NULL;
	struct asking asking, whole;
	struct lf_error error;
	struct domain *domain;
	struct scene s;
	unsigned i = 0;
	bool hit;

	scene_open(&s);
	cr_assert_eq(registry_add(&s.daemon.registry, scene_config("fork"), 1,
			 NULL, &domain, &error),
	    0);
	connect_ends(s.daemon.base, &asked_ops, &asking, &asker, &forkd);
	list(&s, asker, &asking, UINT_MAX / 4);
	whole = asking;
	cr_assert_eq(whole.rows, 2);
	do {
		hit = list(&s, asker, &asking, i++);
		if (asking.refused)
			continue;
		cr_assert_eq(asking.rows, whole.rows, "allocation %u", i);
		cr_assert_eq(asking.members, whole.members, "allocation %u", i);
	} while (hit);
	cr_assert_gt(i, 10);
	peer_free(asker);
	peer_free(forkd);
	scene_close(&s);
}

/* --- a domain's file --- */

Test(memory, a_domains_file_is_whole_or_as_it_was)
{
	struct lf_error error;
	struct scene s;
	unsigned i = 0;
	char path[256];
	bool hit;

	scene_open(&s);
	snprintf(path, sizeof(path), "%s/domain.json", s.domain->dir);
	s.domain->launch_config = scene_config("late");
	cr_assert_eq(file_list_add(&s.domain->named, "/a.qcow2", &error), 0);
	cr_assert_eq(registry_save(s.domain, &error), 0);
	do {
		json_t *value = NULL;
		int rc;

		begin_fault(i++);
		rc = registry_save(s.domain, &error);
		hit = end_fault();
		cr_assert(hit || rc == 0);
		cr_assert_eq(rundir_read_json(path, &value, &error), 0,
		    "allocation %u: %s", i, error.message);
		cr_assert_not_null(json_object_get(value, "launch-config"),
		    "allocation %u", i);
		cr_assert_eq(
		    json_array_size(json_object_get(value, "named-overlays")),
		    1, "allocation %u", i);
		json_decref(value);
	} while (hit);
	cr_assert_gt(i, 10);
	scene_close(&s);
}

/* --- what a QEMU is to be started with --- */

struct start {
	struct domain_process process;
	struct domain_launcher launcher;
	const struct lf_qemu_request *request;
	unsigned allocation;
	bool hit;
	unsigned heard; /* by forkd */
	atomic_bool over;
};

/* forkd: with fewer files it would take those of the configuration. */
static void
on_start(void *opaque, struct peer_request *request)
{
	struct start *start = opaque;
	const json_t *disks = peer_request_argument(request, "disks");
	const json_t *nvram = peer_request_argument(request, "nvram");
	struct lf_error error;

	start->heard++;
	cr_assert_eq(
	    json_array_size(disks), 1, "allocation %u", start->allocation);
	cr_assert_eq(json_array_size(json_array_get(disks, 0)), 1,
	    "allocation %u", start->allocation);
	cr_assert_eq(
	    json_array_size(nvram), 1, "allocation %u", start->allocation);
	error_set(&error, EBUSY, "not now");
	peer_fail(request, &error);
}

static const struct peer_ops start_ops = {
    .request = on_start, .closed = ignore_end};

static void *
start_qemu(void *opaque)
{
	struct start *start = opaque;
	struct lf_qemu_process process;
	struct lf_error error;

	begin_fault(start->allocation);
	cr_assert_lt(start->launcher.lf.start_qemu(
			 &start->launcher.lf, start->request, &process, &error),
	    0);
	start->hit = end_fault();
	atomic_store(&start->over, true);
	return NULL;
}

Test(memory, a_qemu_is_asked_for_with_all_files_or_not_at_all)
{
	const struct lf_qemu_layer layer = {
	    .path = "/overlay.img", .format = LF_DISK_RAW};
	const struct lf_qemu_chain chain = {.layers = &layer, .count = 1};
	struct lf_domain_config *config = scene_config("one");
	struct lf_qemu_request request = {
	    .config = config, .disks = &chain, .nvram = &chain};
	struct start start = {.request = &request};
	struct domain_process *p = &start.process;
	struct peer *forkd = NULL;
	struct lf_error error;
	struct lf_disk *disk;

	cr_assert_eq(lf_domain_config_add_disk(config, &disk, &error), 0);
	p->base = event_base_new();
	p->wake_fd = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->answered, NULL);
	connect_ends(p->base, &start_ops, &start, &p->peer, &forkd);
	domain_launcher_init(&start.launcher, p, 1);
	do {
		pthread_t thread;

		atomic_store(&start.over, false);
		pthread_create(&thread, NULL, start_qemu, &start);
		while (!atomic_load(&start.over)) {
			domain_need_send(p);
			event_base_loop(p->base, EVLOOP_NONBLOCK);
			usleep(100);
		}
		pthread_join(thread, NULL);
		start.allocation++;
	} while (start.hit);
	cr_assert_gt(start.allocation, 10);
	cr_assert_geq(start.heard, 1);
	peer_free(p->peer);
	peer_free(forkd);
	event_base_free(p->base);
	close(p->wake_fd);
	lf_domain_config_free(config);
}
