/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Launching a device model late, by the pages that the fork wrote. `cold`: a
 * new QEMU; the floor is a QEMU with the same arguments that only starts, from
 * exec to its first answer to query-status. `pool`: a QEMU that waits; the
 * floor is writing the same stream into such a QEMU, from the first byte to
 * its word that it is done. Needs a KVM that can be forked onto; the guest
 * needs no boot, so that a software KVM will do, too.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libfork/dm_pool.h>
#include <libfork/domain_config.h>

#include "base/error.h"
#include "base/sys.h"
#include "bench/bench.h"
#include "domain/backend.h"
#include "domain/qemu_domain.h"
#include "snapshot/snapshot.h"

#define SAMPLES   11
#define MEMORY    (UINT64_C(256) << 20)
#define FIRST_GPA (UINT64_C(16) << 20) /* of the pages that are written */

static struct lf_error error;

#define MUST(call) bench_must((call), error.message)

struct work {
	struct lf_launcher *launcher;
	struct lf_domain *parent;
	struct lf_snapshot *snapshot;
	struct lf_domain_config *config; /* of the forks */
};

static void
set(char **field, const char *before, const char *after)
{
	char text[8192];

	snprintf(text, sizeof(text), "%s%s", before, after);
	MUST(lf_domain_config_set(field, text, &error));
}

static void
boot(struct work *work)
{
	const char *top = bench_top();
	struct lf_domain_config *config = lf_domain_config_new();

	bench_must(config != NULL ? 0 : -1, "no memory");
	bench_guest("bootless");
	set(&config->name, "parent", "");
	config->firmware.type = LF_FIRMWARE_ROM;
	set(&config->firmware.path, top, "/tests/guest/bootless.bin");
	config->serial.type = LF_SERIAL_FILE;
	set(&config->serial.path, bench_dir(), "/serial");
	config->memory_bytes = MEMORY;
	config->accelerator = LF_ACCELERATOR_KVM;
	/* Software KVM knows fewer MSRs than it shows to a host's CPU. */
	set(&config->cpu, "host,-arch-capabilities", "");
	MUST(lf_domain_create(config, work->launcher, &work->parent, &error));
	MUST(lf_domain_unpause(work->parent, &error));
	usleep(500000);
	MUST(lf_domain_freeze(work->parent, &work->snapshot, &error));
	MUST(lf_domain_config_copy(
	    ((struct qemu_domain *)work->parent->impl)->config, &work->config,
	    &error));
	set(&work->config->name, "fork", "");
	set(&work->config->serial.path, bench_dir(), "/fork");
	lf_domain_config_free(config);
}

/* A fork without device model that wrote `pages` pages; NULL: not here. */
static struct lf_domain *
fork_one(struct work *work, unsigned pages)
{
	struct lf_fork_options options;
	struct lf_domain *domain = NULL;
	unsigned i;

	lf_fork_options_init(&options);
	options.backend = LF_BACKEND_KVM;
	options.launcher = work->launcher;
	options.name = "fork";
	if (lf_domain_fork(work->snapshot, &options, &domain, &error) < 0)
		return NULL;
	for (i = 0; i < pages; i++)
		MUST(lf_memory_write(domain, FIRST_GPA + 4096 * (uint64_t)i, &i,
		    sizeof(i), &error));
	return domain;
}

static double
time_launch(struct work *work, unsigned pages, struct lf_dm_pool *pool)
{
	struct lf_launch_options options = {.launcher = work->launcher,
	    .config = work->config,
	    .devstate_fd = -1,
	    .dm_pool = pool};
	struct lf_domain *domain = fork_one(work, pages);
	double begin, end;

	bench_must(domain != NULL ? 0 : -1, error.message);
	if (pool != NULL)
		MUST(lf_dm_pool_fill(pool, &error));
	begin = bench_now_us();
	MUST(lf_domain_launch(domain, &options, &error));
	end = bench_now_us();
	if (pool != NULL && lf_dm_pool_miss(pool) != NULL)
		bench_must(-1, lf_dm_pool_miss(pool));
	lf_domain_free(domain);
	return (end - begin) / 1000;
}

/* --- the floors --- */

static double
time_start(const struct work *work)
{
	struct lf_qemu_request request = {
	    .config = work->config,
	    .ram_fd = ram_file_fd(work->snapshot->image->files[0]),
	};
	struct lf_qemu_process process = LF_QEMU_PROCESS_NONE;
	struct qmp *qmp = NULL;
	double begin = bench_now_us(), end;

	MUST(work->launcher->start_qemu(
	    work->launcher, &request, &process, &error));
	MUST(qmp_new(process.qmp_fd, 30000, &qmp, &error));
	process.qmp_fd = -1;
	MUST(qmp_execute(qmp, "query-status", NULL, NULL, &error));
	end = bench_now_us();
	qmp_free(qmp);
	work->launcher->end_qemu(work->launcher, &process);
	return (end - begin) / 1000;
}

/* The bytes that a launch of a fork with so many pages sends. */
struct bytes {
	int sock; /* that they go to; -1: not seen yet */
	uint8_t *data;
	size_t len;
};

static struct bytes recorded;

static void
keep(const void *bytes, size_t len)
{
	recorded.data = realloc(recorded.data, recorded.len + len);
	bench_must(recorded.data != NULL ? 0 : -1, "no memory");
	memcpy(recorded.data + recorded.len, bytes, len);
	recorded.len += len;
}

/* A stream is what begins with QEMU's word for one. */
static ssize_t
recording_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const struct iovec *iov = msg->msg_iov;
	ssize_t n = sendmsg(fd, msg, flags);

	if (n >= 4 && recorded.sock < 0 &&
	    memcmp(iov->iov_base, "QEVM", 4) == 0)
		recorded.sock = fd;
	bench_must(msg->msg_iovlen == 1 ? 0 : -1, "more than one piece");
	if (n > 0 && fd == recorded.sock)
		keep(iov->iov_base, (size_t)n);
	return n;
}

static struct bytes
record(struct work *work, unsigned pages, struct lf_dm_pool *waiting)
{
	ssize_t (*real)(int, const struct msghdr *, int) = sys.sendmsg;

	recorded = (struct bytes){.sock = -1};
	sys.sendmsg = recording_sendmsg;
	time_launch(work, pages, waiting);
	sys.sendmsg = real;
	bench_must(recorded.len > 0 ? 0 : -1, "no stream was sent");
	return recorded;
}

static double
time_write(struct work *work, const struct bytes *bytes)
{
	struct qemu_domain *qemu = NULL;
	json_t *event = NULL;
	double begin, end;
	size_t at = 0;
	int sock = -1;

	MUST(qemu_start_waiting(work->snapshot, work->launcher, work->config,
	    "floor", &qemu, &error));
	MUST(qemu_start_ready(qemu, &sock, &error));
	bench_must(fcntl(sock, F_SETFL, 0), "the socket");
	begin = bench_now_us();
	while (at < bytes->len) {
		ssize_t n = write(sock, bytes->data + at, bytes->len - at);

		bench_must(n > 0 ? 0 : -1, "QEMU takes no stream");
		at += (size_t)n;
	}
	MUST(qmp_wait_event(qemu->qmp, 30000, "MIGRATION", qemu_migration_ended,
	    &event, &error));
	end = bench_now_us();
	bench_must(strcmp(json_string_value(json_object_get(
			      json_object_get(event, "data"), "status")),
		       "completed") == 0
		       ? 0
		       : -1,
	    "QEMU does not accept the stream");
	json_decref(event);
	close(sock);
	qemu_domain_free(qemu);
	return (end - begin) / 1000;
}

/* --- the cases --- */

static void
cold(struct work *work, unsigned pages)
{
	struct bench bench = {.name = "late", .unit = "ms"};
	char label[40];
	unsigned i;

	snprintf(label, sizeof(label), "cold pages=%u", pages);
	bench.label = label;
	if (!bench_wanted(bench.name, bench.label))
		return;
	time_start(work);
	time_launch(work, pages, NULL);
	for (i = 0; i < SAMPLES; i++) {
		double floor = time_start(work);

		bench_add(&bench, time_launch(work, pages, NULL), floor);
	}
	bench_report(&bench, 1.2, false);
}

static void
pool(struct work *work, unsigned pages)
{
	struct bench bench = {.name = "late", .unit = "ms"};
	struct lf_dm_pool *waiting = NULL;
	struct bytes bytes;
	char label[40];
	unsigned i;

	snprintf(label, sizeof(label), "pool pages=%u", pages);
	bench.label = label;
	if (!bench_wanted(bench.name, bench.label))
		return;
	MUST(lf_dm_pool_new(
	    work->snapshot, work->launcher, work->config, 1, &waiting, &error));
	bytes = record(work, pages, waiting);
	for (i = 0; i < SAMPLES; i++) {
		double floor = time_write(work, &bytes);

		bench_add(&bench, time_launch(work, pages, waiting), floor);
	}
	bench_report(&bench, 1.2, false);
	lf_dm_pool_free(waiting);
	free(bytes.data);
}

int
main(void)
{
	static const unsigned pages[] = {1, 256, 4096};
	struct lf_launcher_spawn_options options = {
	    .overlay_dir = bench_dir(), .end_with_thread = true};
	struct work work = {0};
	struct lf_domain *fork;
	unsigned i;

	if (!bench_wanted("late", "cold pages=1") &&
	    !bench_wanted("late", "cold pages=256") &&
	    !bench_wanted("late", "cold pages=4096") &&
	    !bench_wanted("late", "pool pages=1") &&
	    !bench_wanted("late", "pool pages=256") &&
	    !bench_wanted("late", "pool pages=4096"))
		return 0;
	if (!bench_has_kvm("late"))
		return 0;
	MUST(lf_launcher_spawn_new(&options, &work.launcher, &error));
	boot(&work);
	fork = fork_one(&work, 0);
	if (fork == NULL)
		fprintf(stderr, "benchmark late: skipped: %s\n", error.message);
	lf_domain_free(fork);
	for (i = 0; fork != NULL && i < sizeof(pages) / sizeof(pages[0]); i++) {
		cold(&work, pages[i]);
		pool(&work, pages[i]);
	}
	lf_domain_config_free(work.config);
	lf_snapshot_unref(work.snapshot);
	lf_domain_free(work.parent);
	lf_launcher_spawn_free(work.launcher);
	return 0;
}
