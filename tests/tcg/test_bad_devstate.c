/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whole domains made from device states that were cut or changed: given by a
 * user for a fork or a late launch, or in a snapshot that somebody sent. Each
 * is refused in one line or is a domain like any other, and nothing is left of
 * it. QEMU itself is started for a few of them only: for the others it is
 * enough that it would have been.
 */
#include <config.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "lib/fault.h"
#include "lib/guest_vm.h"
#include "qemu/cpuid_probe.h"
#include "qemu/stream.h"
#include "snapshot/snapshot.h"

TestSuite(bad_devstate, .init = guest_setup, .fini = guest_teardown,
    .timeout = 120000);

static struct lf_error error;
#define OK(call) cr_assert_eq((call), 0, "%s: %s", #call, error.message)

/* A frozen parent, its device state, and what is there while nothing is done.
 */
struct scene {
	struct lf_domain_config *config;
	struct lf_domain *parent;
	struct lf_snapshot *snapshot;
	uint8_t *data;
	size_t len;
	struct stream *stream; /* of `data` */
	int file;              /* a memfd for states that are not good */
	int descriptors;
	unsigned files;

	/* Launches nothing, and counts what it should have launched. */
	struct lf_launcher launcher;
	unsigned started;
	/* What the real probe guest told. */
	uint8_t *told;
	size_t told_len;
};

/* --- a launcher that launches nothing --- */

/* Asks the real probe guest, once. */
static void
hear_probe(struct scene *s, const struct lf_qemu_request *request)
{
	struct lf_launcher *real = guest_launcher();
	struct lf_qemu_process process = LF_QEMU_PROCESS_NONE;
	struct cpuid_probe probe;
	ssize_t n = 1;

	s->told = malloc(CPUID_PROBE_BYTES_MAX);
	OK(real->start_qemu(real, request, &process, &error));
	while (cpuid_probe_parse(s->told, s->told_len, &probe, &error) == 0 &&
	       n > 0) {
		n = read(process.qmp_fd, s->told + s->told_len,
		    CPUID_PROBE_BYTES_MAX - s->told_len);
		s->told_len += n > 0 ? (size_t)n : 0;
	}
	cr_assert_gt(n, 0, "the probe guest did not tell all");
	real->end_qemu(real, &process);
}

static int
count_start(struct lf_launcher *launcher, const struct lf_qemu_request *request,
    struct lf_qemu_process *ret_process, struct lf_error *ret_error)
{
	struct scene *s = launcher->opaque;
	int sv[2];

	if (!request->probe) {
		s->started++;
		return error_set(ret_error, ECANCELED, "nothing is started");
	}
	if (s->told == NULL)
		hear_probe(s, request);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	cr_assert_eq(write(sv[1], s->told, s->told_len), (ssize_t)s->told_len);
	close(sv[1]);
	*ret_process = LF_QEMU_PROCESS_NONE;
	ret_process->qmp_fd = sv[0];
	return 0;
}

static void
end_nothing(struct lf_launcher *launcher, struct lf_qemu_process *process)
{
	(void)launcher;
	close_fd(process->qmp_fd);
	*process = LF_QEMU_PROCESS_NONE;
}

static int
make_overlay(struct lf_launcher *launcher,
    const struct lf_overlay_request *request, char **ret_path,
    struct lf_error *ret_error)
{
	cleanup_close int fd = -1;

	(void)launcher;
	(void)ret_error;
	*ret_path = guest_path("%s", request->label);
	fd = open(*ret_path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0, "%s", *ret_path);
	return 0;
}

static void
remove_overlay(struct lf_launcher *launcher, const char *path)
{
	(void)launcher;
	unlink(path);
}

/* --- the scene --- */

static unsigned
files(void)
{
	DIR *dir = opendir(guest_dir());
	unsigned count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void
read_state(struct scene *s)
{
	cleanup_close int fd = memfd_create("good", MFD_CLOEXEC);

	OK(lf_snapshot_write_devstate(s->snapshot, fd, &error));
	s->len = (size_t)lseek(fd, 0, SEEK_END);
	s->data = malloc(s->len);
	cr_assert_eq(pread(fd, s->data, s->len, 0), (ssize_t)s->len);
	OK(stream_parse(s->data, s->len, NULL, &s->stream, &error));
}

/* The busy guest: under KVM it can go on without device model. */
static void
open_scene(struct scene *s, bool kvm)
{
	*s = (struct scene){
	    .config = kvm ? guest_busy("parent") : guest_bootless("parent"),
	    .launcher = {.opaque = s,
		.start_qemu = count_start,
		.end_qemu = end_nothing,
		.make_overlay = make_overlay,
		.remove_overlay = remove_overlay}};
	guest_add_disk(s->config, "disk");
	OK(lf_domain_create(s->config, guest_launcher(), &s->parent, &error));
	OK(lf_domain_unpause(s->parent, &error));
	free(guest_wait_text(s->config->serial.path, "tick"));
	OK(lf_domain_freeze(s->parent, &s->snapshot, &error));
	read_state(s);
	s->file = memfd_create("bad", MFD_CLOEXEC);
	s->descriptors = fault_open_descriptors();
	s->files = files();
}

static void
close_scene(struct scene *s)
{
	stream_free(s->stream);
	free(s->data);
	free(s->told);
	close(s->file);
	lf_snapshot_unref(s->snapshot);
	lf_domain_free(s->parent);
	lf_domain_config_free(s->config);
}

/* Nothing is there that was not before. */
static void
check_nothing_left(const struct scene *s)
{
	cr_assert_eq(fault_open_descriptors(), s->descriptors);
	cr_assert_eq(guest_children(), 1);
	cr_assert_eq(files(), s->files);
}

/* An error says why, in one line. */
static void
check_words(int rc)
{
	if (rc >= 0)
		return;
	cr_assert_neq(error.message[0], '\0', "no reason for %d", rc);
	cr_assert_null(strchr(error.message, '\n'), "%s", error.message);
}

/* --- states that are not good --- */

struct damage {
	bool cut; /* at this byte, else it is changed */
	size_t at;
	uint8_t mask;
};

typedef void trial_fn(struct scene *s, const struct damage *damage);

static void
try_damage(struct scene *s, bool cut, size_t at, trial_fn *trial)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	struct damage damage = {cut, at, masks[at % 3]};
	uint8_t byte;

	if (at >= s->len)
		return;
	byte = s->data[at] ^ damage.mask;
	cr_assert_eq(pwrite(s->file, s->data, s->len, 0), (ssize_t)s->len);
	if (cut)
		cr_assert_eq(ftruncate(s->file, (off_t)at), 0);
	else
		cr_assert_eq(pwrite(s->file, &byte, 1, (off_t)at), 1);
	lf_error_clear(&error);
	trial(s, &damage);
	check_nothing_left(s);
}

/*
 * In soak every byte of the devices' sections, and every 16th of the rest: that
 * is memory other than the guest's RAM, and the description. In check some
 * bytes, and where each section begins.
 */
static void
try_all(struct scene *s, bool cut, size_t step, trial_fn *trial)
{
	const struct stream *stream = s->stream;
	bool all = getenv("LF_SOAK") != NULL;
	size_t at, i;

	for (at = 0; at < s->len;) {
		bool device = at >= stream->devices && at <= stream->end;

		try_damage(s, cut, at, trial);
		if (all)
			at += device ? 1 : 16;
		else
			at += device ? step : 4 * step;
	}
	for (i = 0; !all && i < stream->section_count; i++) {
		const struct stream_section *section = &stream->sections[i];

		for (at = section->start - 1; at <= section->start + 1; at++)
			try_damage(s, cut, at, trial);
	}
	for (i = 0; !all && i < 4; i++)
		try_damage(s, cut, stream->end - 1 + i, trial);
}

/* Registers and clocks tell one instant from another. */
static bool
is_fingerprint(const struct scene *s, size_t at)
{
	size_t i;

	for (i = 0; i < s->stream->section_count; i++) {
		const struct stream_section *section = &s->stream->sections[i];

		if (at >= section->offset &&
		    at < section->offset + section->length)
			return strcmp(section->name, "cpu") == 0 ||
			       strcmp(section->name, "timer") == 0;
	}
	return false;
}

/* Without its end mark a state is none, and with another cpu another's. */
static bool
must_be_refused(const struct scene *s, const struct damage *damage)
{
	return damage->cut ? damage->at <= s->stream->end
			   : is_fingerprint(s, damage->at);
}

/* --- a full fork from the user's file --- */

static void
fork_from_file(struct scene *s, const struct damage *damage)
{
	struct lf_fork_options options;
	struct lf_domain *fork = NULL;
	unsigned started = s->started;
	int rc, check;

	check = lf_snapshot_check_devstate(s->snapshot, s->file, &error);
	check_words(check);
	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_QEMU;
	options.launcher = &s->launcher;
	options.name = "fork";
	options.devstate_fd = s->file;
	rc = lf_domain_fork(s->snapshot, &options, &fork, &error);
	check_words(rc);
	cr_assert_null(fork);
	cr_assert_eq(rc == -ECANCELED, check == 0, "%s", error.message);
	cr_assert_eq(s->started - started, check == 0);
	if (must_be_refused(s, damage))
		cr_assert_lt(check, 0, "%s at %zu",
		    damage->cut ? "cut" : "changed", damage->at);
}

Test(bad_devstate, a_full_fork_is_given_a_file)
{
	struct scene s;

	open_scene(&s, false);
	try_all(&s, true, 3989, fork_from_file);
	try_all(&s, false, 1499, fork_from_file);
	cr_assert_gt(s.started, 0, "not one was a domain");
	close_scene(&s);
}

/* --- a late launch from the user's file --- */

static struct lf_domain *bare;

static void
launch_from_file(struct scene *s, const struct damage *damage)
{
	const struct lf_launch_options options = {
	    .launcher = &s->launcher, .devstate_fd = s->file};
	unsigned started = s->started;
	int rc = lf_domain_launch(bare, &options, &error);

	cr_assert_lt(rc, 0);
	check_words(rc);
	cr_assert_eq(s->started - started, rc == -ECANCELED);
	if (must_be_refused(s, damage))
		cr_assert_neq(rc, -ECANCELED, "%s at %zu",
		    damage->cut ? "cut" : "changed", damage->at);
	cr_assert_eq(lf_domain_state(bare), LF_DOMAIN_PAUSED);
	cr_assert_eq(lf_domain_backend(bare), LF_BACKEND_KVM);
}

static int
fork_without_device_model(
    struct scene *s, struct lf_snapshot *snapshot, struct lf_domain **ret_fork)
{
	struct lf_fork_options options;

	lf_fork_options_init(&options);
	options.launcher = &s->launcher;
	options.name = "bare";
	return lf_domain_fork(snapshot, &options, ret_fork, &error);
}

Test(bad_devstate, a_late_launch_is_given_a_file)
{
	struct lf_launch_options options = {.devstate_fd = -1};
	struct scene s;

	open_scene(&s, true);
	OK(fork_without_device_model(&s, s.snapshot, &bare));
	s.descriptors = fault_open_descriptors();
	try_all(&s, true, 7919, launch_from_file);
	try_all(&s, false, 3989, launch_from_file);
	cr_assert_gt(s.started, 0, "not one was a domain");

	/* After all this it is what it was, and can be launched. */
	OK(lf_domain_verify(bare, &error));
	options.launcher = guest_launcher();
	OK(lf_domain_launch(bare, &options, &error));
	OK(lf_domain_unpause(bare, &error));
	OK(lf_domain_pause(bare, &error));
	cr_assert_eq(lf_domain_state(bare), LF_DOMAIN_PAUSED);
	lf_domain_free(bare);
	close_scene(&s);
}

/* --- a snapshot that somebody sent --- */

static struct lf_snapshot *
receive(struct scene *s)
{
	struct lf_snapshot *received = NULL;
	int good = s->snapshot->devstate_fd, sv[2];
	uint64_t length = s->snapshot->devstate_length;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	s->snapshot->devstate_fd = s->file;
	s->snapshot->devstate_length = (uint64_t)lseek(s->file, 0, SEEK_END);
	OK(lf_snapshot_send(sv[0], s->snapshot, &error));
	s->snapshot->devstate_fd = good;
	s->snapshot->devstate_length = length;
	OK(lf_snapshot_receive(sv[1], &received, &error));
	close(sv[0]);
	close(sv[1]);
	return received;
}

static unsigned domains; /* that were made */

/* A domain that was made goes the way of all others. */
static void
use(struct lf_domain *domain)
{
	domains++;
	OK(lf_domain_unpause(domain, &error));
	check_words(lf_domain_pause(domain, &error));
	check_words(lf_domain_reset(domain, &error));
	check_words(lf_domain_verify(domain, &error));
	lf_domain_free(domain);
}

static void
import_sent(struct scene *s, const struct damage *damage)
{
	struct lf_snapshot *received = receive(s);
	struct lf_domain *fork = NULL;
	int rc = fork_without_device_model(s, received, &fork);

	check_words(rc);
	cr_assert_eq(rc == 0, fork != NULL);
	if (damage->cut && damage->at <= s->stream->end)
		cr_assert_lt(rc, 0, "cut at %zu", damage->at);
	if (fork != NULL)
		use(fork);
	lf_snapshot_unref(received);
}

Test(bad_devstate, a_fork_without_device_model_is_made_of_what_was_sent)
{
	struct lf_snapshot *good;
	struct scene s;

	open_scene(&s, true);
	/* /dev/kvm stays open from the first one on. What was imported once is
	 * not read from the stream again: so every time it is sent anew. */
	cr_assert_eq(pwrite(s.file, s.data, s.len, 0), (ssize_t)s.len);
	good = receive(&s);
	OK(fork_without_device_model(&s, good, &bare));
	lf_domain_free(bare);
	lf_snapshot_unref(good);
	s.descriptors = fault_open_descriptors();
	try_all(&s, true, 7919, import_sent);
	cr_assert_eq(domains, 0);
	try_all(&s, false, 499, import_sent);
	cr_assert_gt(domains, 0, "not one was a domain");
	close_scene(&s);
}

/* --- and QEMU itself --- */

static void
fork_sent(struct scene *s, const struct damage *damage)
{
	cleanup_free char *serial = guest_path("parent.serial.fork");
	struct lf_snapshot *received = receive(s);
	struct lf_fork_options options;
	struct lf_domain *fork = NULL;
	int rc;

	(void)damage;
	options = guest_fork_options("fork");
	rc = lf_domain_fork(received, &options, &fork, &error);
	check_words(rc);
	cr_assert_eq(rc == 0, fork != NULL);
	if (fork != NULL) {
		domains++;
		check_words(lf_domain_unpause(fork, &error));
		check_words(lf_domain_pause(fork, &error));
		lf_domain_free(fork);
	}
	/* What a guest wrote to a file stays, by design. */
	unlink(serial);
	lf_snapshot_unref(received);
}

/* Two bytes of some sections in check; in soak every 16th, of all. */
Test(bad_devstate, a_qemu_is_given_what_was_sent)
{
	bool all = getenv("LF_SOAK") != NULL;
	struct scene s;
	size_t i, at;

	open_scene(&s, false);
	for (i = 0; i < s.stream->section_count; i += all ? 1 : 5) {
		const struct stream_section *section = &s.stream->sections[i];
		size_t step = all ? 16 : section->length / 2 + 1;

		for (at = 0; at < section->length; at += step)
			try_damage(&s, false, section->offset + at, fork_sent);
	}
	try_damage(&s, true, s.stream->end, fork_sent);
	cr_assert_gt(domains, 0, "not one was a domain");
	close_scene(&s);
}
