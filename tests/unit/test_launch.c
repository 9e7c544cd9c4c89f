/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What forkd does for domain processes: overlays made, QEMUs started. Whatever
 * fails on the way, the answer says so and nothing stays: no descriptor, no
 * process, no file, and no file of anybody else is lost.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "forkd/daemon.h"
#include "forkd/launch.h"
#include "forkd/launch_files.h"
#include "forkd/peer.h"
#include "lib/fault.h"
#include "lib/scratch.h"

/* --- overlays --- */

TestSuite(overlays, .init = scratch_make, .fini = scratch_remove);

/*
 * forkd with one domain, whose process is the other end of a connection. The
 * connection's loop is one of its own, so that a fault hits what the daemon
 * does and not how the test asks.
 */
struct scene {
	struct daemon daemon;
	struct domain *domain;
	struct event_base *wire;
	struct peer *asking, *asked;
	struct peer_request *request; /* arrived, not begun */
	unsigned answers;
	bool broken; /* the connection: an answer was lost */
	int rc;      /* the last answer's */
	char message[1024];
	char disk[64]; /* the path that its configuration names */
	char backing[64];
};

static void
on_request(void *opaque, struct peer_request *request)
{
	struct scene *s = opaque;

	s->request = request;
}

static void
on_closed(void *opaque, const struct lf_error *why)
{
	struct scene *s = opaque;

	(void)why;
	s->broken = true;
}

static const struct peer_ops ops = {.request = on_request, .closed = on_closed};

static void
on_answer(void *opaque, const struct lf_error *error, json_t *result,
    struct channel_message *answer)
{
	struct scene *s = opaque;
	const char *path;

	(void)answer;
	path = json_string_value(json_object_get(result, "path"));
	s->answers++;
	s->rc = error != NULL ? error->code : 0;
	snprintf(s->message, sizeof(s->message), "%s",
	    error != NULL  ? error->message
	    : path != NULL ? path
			   : "");
}

static void
connect_scene(struct scene *s)
{
	struct lf_error error;
	int sv[2];

	s->broken = false;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(peer_new(s->wire, sv[0], &ops, s, &s->asking, &error), 0);
	cr_assert_eq(peer_new(s->wire, sv[1], &ops, s, &s->asked, &error), 0);
}

static void
disconnect_scene(struct scene *s)
{
	peer_free(s->asking);
	peer_free(s->asked);
}

static void *
loop_malloc(size_t size)
{
	return sys.malloc(size);
}

static void *
loop_realloc(void *p, size_t size)
{
	return sys.realloc(p, size);
}

static void
open_scene(struct scene *s, const char *qemu_img)
{
	struct lf_domain_config *config = lf_domain_config_new();
	struct lf_error error;
	struct lf_disk *disk;

	/* What an event takes is one of the faults. */
	event_set_mem_functions(loop_malloc, loop_realloc, free);
	*s = (struct scene){.daemon = {.base = event_base_new(),
				.overlay_dir = scratch,
				.options = {.qemu_img = qemu_img}},
	    .wire = event_base_new()};
	snprintf(s->disk, sizeof(s->disk), "%s/fork.qcow2", scratch);
	snprintf(s->backing, sizeof(s->backing), "%s/base.img", scratch);
	scratch_file(s->backing, 0600);
	cr_assert_eq(lf_domain_config_set(&config->name, "one", &error), 0);
	cr_assert_eq(lf_domain_config_add_disk(config, &disk, &error), 0);
	disk->path = strdup(s->disk);
	cr_assert_eq(lf_domain_config_complete(config, &error), 0);
	cr_assert_eq(
	    registry_init(&s->daemon.registry, scratch, 0700, &error), 0);
	cr_assert_eq(registry_add(&s->daemon.registry, config, 0, NULL,
			 &s->domain, &error),
	    0);
	s->domain->owner = &s->daemon;
	cr_assert_eq(registry_add_file(
			 s->domain, &s->domain->backing, s->backing, &error),
	    0);
	connect_scene(s);
}

static void
close_scene(struct scene *s)
{
	disconnect_scene(s);
	registry_done(&s->daemon.registry);
	event_base_free(s->daemon.base);
	event_base_free(s->wire);
}

/* The domain process asks. */
static void
ask_for(struct scene *s, const char *command, json_t *take_arguments,
    const int *fds, size_t fd_count)
{
	const struct peer_load load = {take_arguments, fds, fd_count};

	s->answers = 0;
	s->broken = false;
	s->request = NULL;
	peer_call(s->asking, command, &load, -1, on_answer, s);
	while (s->request == NULL)
		event_base_loop(s->wire, EVLOOP_ONCE);
}

/* ... for an overlay; `path` NULL: forkd chooses one. */
static void
ask(struct scene *s, const char *path)
{
	ask_for(s, "make-overlay",
	    json_pack("{s:i, s:s, s:s, s:I, s:s*}", "domain",
		(int)s->domain->id, "backing", s->backing, "format", "raw",
		"bytes", (json_int_t)65536, "path", path),
	    NULL, 0);
}

/* forkd works until it waits for nothing more. */
static void
work(struct scene *s)
{
	launch_request(&s->daemon, s->domain, s->request);
	event_base_dispatch(s->daemon.base);
}

static void
hear(struct scene *s)
{
	while (s->answers == 0 && !s->broken)
		event_base_loop(s->wire, EVLOOP_ONCE);
	if (!s->broken)
		return;
	disconnect_scene(s);
	cr_assert_eq(s->rc, -EPIPE);
	connect_scene(s);
	s->broken = true;
}

/* Every file of the overlays' directory but the backing file and forkd's. */
static unsigned
count_overlays(void)
{
	char command[64], line[16] = "";
	FILE *out;

	snprintf(command, sizeof(command), "ls %s | grep -c qcow2", scratch);
	out = popen(command, "r");
	cr_assert_not_null(out);
	cr_assert_not_null(fgets(line, sizeof(line), out));
	pclose(out);
	return (unsigned)atoi(line);
}

static void
make_overlay_with_faults(bool named)
{
	struct lf_error error;
	struct scene s;

	/* A qemu-img that fills nothing: what counts is the file's life. */
	open_scene(&s, "true");
	ask(&s, named ? s.disk : NULL);
	FAULT_LOOP(fault)
	{
		const struct file_list *record = &s.domain->overlays;

		work(&s);
		fault_end(&fault);
		hear(&s);
		cr_assert_eq(s.rc < 0, fault.hit, "%s: %d %s", fault.name, s.rc,
		    s.message);
		cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1,
		    "%s failed: a process stayed", fault.name);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors,
		    "%s failed: open files stayed", fault.name);
		/* Made, or made and nobody heard of it: it is on record. */
		cr_assert_eq(count_overlays(), record->count, "%s failed: %s",
		    fault.name, s.message);
		if (s.rc == 0)
			cr_assert(file_list_has(record, s.message));
		else if (!s.broken)
			cr_assert_eq(record->count, 0, "%s failed", fault.name);
		if (record->count > 0)
			registry_drop_overlay(s.domain, record->path[0]);
		cr_assert_eq(registry_save(s.domain, &error), 0);
		if (fault.hit)
			ask(&s, named ? s.disk : NULL);
	}
	close_scene(&s);
}

Test(overlays, one_is_made_or_nothing_stays)
{
	make_overlay_with_faults(false);
}

Test(overlays, one_of_the_configuration_is_made_or_nothing_stays)
{
	make_overlay_with_faults(true);
}

Test(overlays, a_file_that_was_there_stays_whatever_fails)
{
	struct scene s;

	open_scene(&s, "true");
	scratch_file(s.disk, 0600);
	ask(&s, s.disk);
	FAULT_LOOP(fault)
	{
		work(&s);
		fault_end(&fault);
		hear(&s);
		cr_assert_lt(s.rc, 0);
		if (!fault.hit)
			cr_assert_eq(s.rc, -EEXIST, "%s", s.message);
		cr_assert_eq(access(s.disk, F_OK), 0,
		    "%s failed: the file is lost", fault.name);
		cr_assert_eq(s.domain->overlays.count, 0);
		cr_assert_eq(fault_open_descriptors(), fault.descriptors);
		if (fault.hit)
			ask(&s, s.disk);
	}
	close_scene(&s);
}

Test(overlays, a_qemu_img_that_fails_leaves_no_file_and_is_quoted)
{
	char script[64];
	struct scene s;
	FILE *out;

	open_scene(&s, NULL);
	snprintf(script, sizeof(script), "%s/qemu-img", scratch);
	s.daemon.options.qemu_img = script;
	out = fopen(script, "w");
	cr_assert_not_null(out);
	fputs("#!/bin/sh\necho 'No space left on device' >&2\nexit 1\n", out);
	fclose(out);
	cr_assert_eq(chmod(script, 0700), 0);
	ask(&s, s.disk);
	work(&s);
	hear(&s);
	cr_assert_eq(s.rc, -ENOSPC, "%s", s.message);
	cr_assert_not_null(strstr(s.message,
	    "qemu-img exited with status 1: No space left on device"));
	cr_assert_eq(access(s.disk, F_OK), -1);
	cr_assert_eq(s.domain->overlays.count, 0);
	close_scene(&s);
}

/* --- starting a QEMU --- */

TestSuite(starts, .init = scratch_make, .fini = scratch_remove);

static void
ask_for_qemu(struct scene *s, int ram, bool probe)
{
	ask_for(s, "start-qemu",
	    json_pack("{s:i, s:i, s:b, s:b, s:b}", "domain", (int)s->domain->id,
		"ram", 0, "share-ram", true, "incoming", false, "probe", probe),
	    &ram, 1);
}

/*
 * Nobody lets the QEMU go: whatever the answer was, the end of the pipe that it
 * waits for is all that is left of it.
 */
static void
start_with_faults(bool probe)
{
	int ram = memfd_create("ram", MFD_CLOEXEC);
	char serial[64];
	struct scene s;

	open_scene(&s, NULL);
	s.daemon.options.qemu = "true";
	s.domain->config->accelerator = LF_ACCELERATOR_TCG;
	s.domain->config->serial.type = LF_SERIAL_SOCKET;
	snprintf(serial, sizeof(serial), "%s/serial", scratch);
	s.domain->config->serial.path = strdup(serial);
	scratch_file(s.disk, 0600);
	ask_for_qemu(&s, ram, probe);
	FAULT_LOOP(fault)
	{
		bool unseen;

		launch_request(&s.daemon, s.domain, s.request);
		fault_end(&fault);
		hear(&s);
		event_base_dispatch(s.daemon.base);
		/*
		 * stat() failing stands for: the disk is no block device,
		 * lstat(): no old socket is there.
		 */
		unseen = fault.hit && (strcmp(fault.name, "stat") == 0 ||
					  strcmp(fault.name, "lstat") == 0);
		if (!unseen)
			cr_assert_eq(s.rc < 0, fault.hit, "%s: %d %s",
			    fault.name, s.rc, s.message);
		cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1,
		    "%s failed: a process stayed", fault.name);
		/* The probe has no devices; a lost answer is no failure. */
		if (!s.broken)
			cr_assert_eq(access(serial, F_OK) == 0,
			    s.rc == 0 && !probe,
			    "%s failed: a socket stayed, or is not there",
			    fault.name);
		unlink(serial);
		cr_assert_eq(s.domain->qemu.pidfd, -1);
		cr_assert_eq(s.domain->probe.pidfd, -1);
		/* The guest memory that came with the question is closed. */
		cr_assert_eq(fault_open_descriptors(), fault.descriptors - 1,
		    "%s failed: open files stayed", fault.name);
		if (fault.hit)
			ask_for_qemu(&s, ram, probe);
	}
	close_scene(&s);
	close(ram);
}

Test(starts, a_qemu_waits_in_hand_or_nothing_stays)
{
	start_with_faults(false);
}

Test(starts, a_probe_waits_in_hand_or_nothing_stays)
{
	start_with_faults(true);
}

Test(starts, an_image_of_an_unknown_format_is_not_taken_for_raw)
{
	int ram = memfd_create("ram", MFD_CLOEXEC);
	char message[256];
	struct scene s;

	open_scene(&s, NULL);
	ask_for(&s, "start-qemu",
	    json_pack("{s:i, s:i, s:b, s:b, s:[[{s:s, s:s}, {s:s, s:s}]]}",
		"domain", (int)s.domain->id, "ram", 0, "share-ram", true,
		"incoming", false, "disks", "path", s.disk, "format", "qcow2",
		"path", s.backing, "format", "vmdk"),
	    &ram, 1);
	work(&s);
	hear(&s);
	cr_assert_eq(s.rc, -EINVAL);
	snprintf(message, sizeof(message),
	    "image '%s' has format 'vmdk', only raw and qcow2 are used; "
	    "convert it with 'qemu-img convert'",
	    s.backing);
	cr_assert_str_eq(s.message, message);
	close_scene(&s);
	close(ram);
}
